"""DeepFM: Guo et al., *A Factorization-Machine based Neural Network*, IJCAI 2017."""

from __future__ import annotations

from torch import Tensor

from nasrec.nn.baselines.layers import Baseline, Fields, Perceptron, pair_products
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class DeepFM(Baseline):
    """FM and a perceptron on the same field vectors.

    logit = b + w·x_dense + Σ_f v_f[id_f] + Σ_{i<j} ⟨v_i, v_j⟩ + MLP([v_1, …, v_M]),
    v ∈ {x_1 u_1, …, e_1, …, e_F}: numeric columns are fields, so either kind may be absent.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "DeepFM"
    paper = "Guo et al., IJCAI 2017, arXiv 1703.04247"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        self.first = FirstOrder(inputs, options, make.child("first"))
        widths = (self.fields.width, *options.hidden, 1)
        self.deep = Perceptron(widths, make.child("deep"), options)
        self.madds = self.first.madds + self.deep.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        fields_BME = self.fields(dense, self.embedding(sparse))
        first: Tensor = self.first(dense, sparse)
        deep: Tensor = self.deep(fields_BME.flatten(1))
        return first + pair_products(fields_BME) + deep.squeeze(1)
