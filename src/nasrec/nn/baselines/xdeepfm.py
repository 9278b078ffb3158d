"""xDeepFM: Lian et al., *Combining Explicit and Implicit Feature Interactions*, KDD 2018."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Fields, FirstOrder, Perceptron, weighted_sum
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.operators import Linear
from nasrec.nn.parameters import Axis, Maker, fresh

#: Feature maps of each layer. The paper has three layers too, of up to 200 maps; those would
#: need more than twenty times the multiply-adds.
MAPS = (32, 32, 32)


class CompressedInteraction(nn.Module):
    """CIN: x^k_h = Σ_i Σ_j W^k_hij (x^{k-1}_i ∘ x^0_j); gives Σ_e x^k_he of all maps h, layers k.

    Shapes: fields (B, M, E) to (B, Σ_k H_k).
    """

    def __init__(self, fields: int, embedding_dim: int, make: Maker) -> None:
        super().__init__()
        counts = (fields, *MAPS)
        self.layers = nn.ModuleList(
            Linear(
                {"x": Axis.fixed(a * fields)}, Axis.fixed(b), bias=False, make=make.child(str(k))
            )
            for k, (a, b) in enumerate(itertools.pairwise(counts))
        )
        self.madds = embedding_dim * sum(a * fields * b for a, b in itertools.pairwise(counts))

    def forward(self, fields_BME: Tensor) -> Tensor:
        first = fields_BME.transpose(1, 2)
        x, sums = first, []
        for layer in self.layers:
            products_BEHM = x.unsqueeze(3) * first.unsqueeze(2)
            x = layer({"x": products_BEHM.flatten(2)})
            sums.append(x.sum(1))
        return torch.cat(sums, 1)


class XDeepFM(Baseline):
    """logit = b + w·x_dense + Σ_f v_f[id_f] + w'·CIN(v) + MLP([v_1, …, v_M]).

    v = {x_1 u_1, …, e_1, …, e_F}: numeric columns are fields, so either kind may be absent. The
    CIN has no activation, which the paper finds best.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "xDeepFM"
    paper = "Lian et al., KDD 2018, arXiv 1803.05170"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        self.first = FirstOrder(inputs, options, make.child("first"))
        self.cin = CompressedInteraction(
            self.fields.count, options.embedding_dim, make.child("cin")
        )
        self.head = weighted_sum(sum(MAPS), make.child("head"))
        widths = (self.fields.width, *options.hidden, 1)
        self.deep = Perceptron(widths, make.child("deep"), options)
        self.madds = self.first.madds + self.cin.madds + self.head.madds + self.deep.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        fields_BME = self.fields(dense, self.embedding(sparse))
        first: Tensor = self.first(dense, sparse)
        crossed: Tensor = self.head({"x": self.cin(fields_BME)})
        deep: Tensor = self.deep(fields_BME.flatten(1))
        return first + (crossed + deep).squeeze(1)
