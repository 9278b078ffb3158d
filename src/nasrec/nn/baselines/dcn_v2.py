"""DCN-V2: Wang et al., *Improved Deep & Cross Network*, WWW 2021."""

from __future__ import annotations

from torch import Tensor

from nasrec.nn.baselines.dcn import DCN, Cross
from nasrec.nn.layers import Linear
from nasrec.nn.parameters import Axis, Maker


class MatrixCross(Cross):
    """x_{l+1} = x_0 ∘ (W x_l + b) + x_l: (B, D) twice, to (B, D)."""

    def __init__(self, width: int, make: Maker) -> None:
        super().__init__(width, make)
        axis = Axis.fixed(width)
        self.weight = Linear({"x": axis}, axis, bias=True, make=make.child("weight"))
        self.madds = self.weight.madds

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        y: Tensor = first * self.weight({"x": x}) + x
        return y


class DCNV2(DCN):
    """DCN with a full matrix in each cross layer, cross layers and perceptron in parallel.

    x_0 = [x_dense, e_1, …, e_F]; x_{l+1} = x_0 ∘ (W_l x_l + b_l) + x_l; logit = w·x_L + MLP(x_0).
    The matrices are whole; the paper's mixture of low-rank experts only makes them cheaper.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "DCN-V2"
    paper = "Wang et al., WWW 2021, arXiv 2008.13535"
    layer = MatrixCross
