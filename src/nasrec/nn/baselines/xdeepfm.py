"""xDeepFM: Lian et al., *Combining Explicit and Implicit Feature Interactions*, KDD 2018."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Fields, Perceptron, weighted_sum
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.layers import Linear
from nasrec.nn.parameters import Axis, Maker, fresh


class CompressedInteraction(nn.Module):
    """CIN: x^k_h = Σ_i Σ_j W^k_hij (x^{k-1}_i ∘ x^0_j); gives Σ_e x^k_he of all maps h, layers k.

    Shapes: fields (B, M, E) to (B, Σ_k H_k).
    """

    def __init__(self, fields: int, maps: Sequence[int], embedding_dim: int, make: Maker) -> None:
        super().__init__()
        counts = (fields, *maps)
        self.layers = nn.ModuleList(
            Linear(
                {"x": Axis.fixed(a * fields)}, Axis.fixed(b), bias=False, make=make.child(str(k))
            )
            for k, (a, b) in enumerate(itertools.pairwise(counts))
        )
        *inner, last = (a * fields * b for a, b in itertools.pairwise(counts))
        self.madds = embedding_dim * (sum(inner) + counts[-2] * fields) + last

    def forward(self, fields_BME: Tensor) -> Tensor:
        first_BEM = fields_BME.transpose(1, 2).contiguous()
        x_BEH, sums = first_BEM, []
        *inner, last = self.layers
        for layer in inner:
            x_BEH = _weighted_products(x_BEH, first_BEM, layer.get_parameter("weight.x"))
            sums.append(x_BEH.sum(1))
        # Only the sums over e of the last layer's maps are read, and Σ_e (x_ie f_je) may be taken
        # before the weights: E times fewer multiply-adds.
        products_BHM = x_BEH.transpose(1, 2) @ first_BEM
        sums.append(last({"x": products_BHM.flatten(1)}))
        return torch.cat(sums, 1)


def _weighted_products(x_BEH: Tensor, first_BEM: Tensor, weight: Tensor) -> Tensor:
    """Σ_i Σ_j W_h,ij x_i first_j with W (maps, H · M): (B, E, maps).

    One matrix product a field j, of x scaled by it: all products x_i first_j at once would be M
    times as large as x, and writing and reading them, more than their arithmetic, would take the
    time.
    """
    x, first = x_BEH.flatten(0, 1), first_BEM.flatten(0, 1)
    slabs_MHK = weight.view(len(weight), x.shape[1], first.shape[1]).permute(2, 1, 0).contiguous()
    y = (x * first[:, :1]) @ slabs_MHK[0]
    for j in range(1, first.shape[1]):
        y = torch.addmm(y, x * first[:, j : j + 1], slabs_MHK[j])
    return y.view(*x_BEH.shape[:2], y.shape[1])


class XDeepFM(Baseline):
    """logit = b + w·x_dense + Σ_f v_f[id_f] + w'·CIN(v) + MLP([v_1, …, v_M]).

    v = {x_1 u_1, …, e_1, …, e_F}: numeric columns are fields, so either kind may be absent. The
    CIN has no activation, which the paper finds best; `options.cin` are its maps H_k.

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
            self.fields.count, options.cin, options.embedding_dim, make.child("cin")
        )
        self.head = weighted_sum(sum(options.cin), make.child("head"))
        widths = (self.fields.width, *options.hidden, 1)
        self.deep = Perceptron(widths, make.child("deep"), options)
        self.madds = self.first.madds + self.cin.madds + self.head.madds + self.deep.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        fields_BME = self.fields(dense, self.embedding(sparse))
        first: Tensor = self.first(dense, sparse)
        crossed: Tensor = self.head({"x": self.cin(fields_BME)})
        deep: Tensor = self.deep(fields_BME.flatten(1))
        return first + (crossed + deep).squeeze(1)
