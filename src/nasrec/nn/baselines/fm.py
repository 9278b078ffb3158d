"""FM: Rendle, *Factorization Machines*, ICDM 2010."""

from __future__ import annotations

from torch import Tensor

from nasrec.nn.baselines.layers import Baseline, Fields, pair_products
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class FM(Baseline):
    """Logistic regression, and the products of all pairs of fields.

    logit = b + w·x_dense + Σ_f v_f[id_f] + Σ_{i<j} ⟨v_i, v_j⟩, v ∈ {x_1 u_1, …, e_1, …, e_F}.
    A numeric column is a feature of value x, so nothing changes where one kind of column is absent.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "FM"
    paper = "Rendle, ICDM 2010"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        self.first = FirstOrder(inputs, options, make.child("first"))
        self.madds = self.first.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        first: Tensor = self.first(dense, sparse)
        return first + pair_products(self.fields(dense, self.embedding(sparse)))
