"""FinalMLP: Mao et al., *An Enhanced Two-Stream MLP Model*, AAAI 2023."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Fields, Perceptron
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.layers import Linear
from nasrec.nn.parameters import Axis, Maker, constant, fresh, xavier_uniform

#: Most heads of the fusion; there are as many as divide both streams' width.
HEADS = 10


class BilinearFusion(nn.Module):
    """w_1·o_1 + w_2·o_2 + b + Σ_h o_1hᵀ W_h o_2h, with o_h the h-th of H equal pieces of o.

    Shapes: (B, D) twice, to (B,).
    """

    def __init__(self, width: int, make: Maker) -> None:
        super().__init__()
        self.shape = (math.gcd(HEADS, width), width // math.gcd(HEADS, width))
        heads, piece = (Axis.fixed(n) for n in self.shape)
        parts = {"left": Axis.fixed(width), "right": Axis.fixed(width)}
        self.linear = Linear(parts, Axis.fixed(1), bias=True, make=make.child("linear"))
        self.weight = make("weight", heads, piece, piece, init=xavier_uniform(piece, piece))
        self.madds = self.linear.madds + width * piece.size

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        left_HBP, right_HBP = (x.view(-1, *self.shape).transpose(0, 1) for x in (left, right))
        products = torch.bmm(left_HBP, self.weight) * right_HBP
        linear: Tensor = self.linear({"left": left, "right": right})
        return linear.squeeze(1) + products.sum((0, 2))


class FinalMLP(Baseline):
    """Two perceptrons on differently gated fields, joined by a bilinear form.

    v = [x_1 u_1, …, e_1, …, e_F]; o_s = MLP_s(2σ(g_s) ∘ v), s = 1, 2; the logit is the fusion of
    o_1 and o_2. In the paper g_s is a perceptron's reading of some columns that a user names, or
    of a learned constant; here it is such a constant itself, which is as general as a perceptron
    of it, and 0 at first. Numeric columns are fields, so either kind may be absent.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "FinalMLP"
    paper = "Mao et al., AAAI 2023, arXiv 2304.00902"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        widths = (self.fields.width, *options.hidden)
        self.gates = make("gates", Axis.fixed(2), Axis.fixed(widths[0]), init=constant(0))
        streams = [
            Perceptron(widths, make.child(f"streams.{i}"), options, last_relu=True)
            for i in range(2)
        ]
        self.streams = nn.ModuleList(streams)
        self.fusion = BilinearFusion(widths[-1], make.child("fusion"))
        self.madds = sum(stream.madds for stream in streams) + self.fusion.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        flat = self.fields(dense, self.embedding(sparse)).flatten(1)
        gates = 2 * torch.sigmoid(self.gates)
        left, right = (
            stream(flat * gate) for stream, gate in zip(self.streams, gates, strict=True)
        )
        logits: Tensor = self.fusion(left, right)
        return logits
