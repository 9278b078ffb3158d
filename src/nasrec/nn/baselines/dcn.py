"""DCN: Wang et al., *Deep & Cross Network for Ad Click Predictions*, ADKDD 2017."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Perceptron, weighted_sum
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant, fresh


class Cross(nn.Module):
    """A layer that reads x_0 and x_l, both (B, D), and gives x_{l+1}; `madds` are for one row."""

    madds: int

    def __init__(self, width: int, make: Maker) -> None:
        super().__init__()


class VectorCross(Cross):
    """x_{l+1} = x_0 (w·x_l) + b + x_l: (B, D) twice, to (B, D)."""

    def __init__(self, width: int, make: Maker) -> None:
        super().__init__(width, make)
        self.weight = weighted_sum(width, make.child("weight"))
        self.bias = make("bias", Axis.fixed(width), init=constant(0))
        self.madds = self.weight.madds

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        y: Tensor = first * self.weight({"x": x}) + self.bias + x
        return y


class DCN(Baseline):
    """Cross layers beside a perceptron, on numeric columns and embeddings side by side.

    x_0 = [x_dense, e_1, …, e_F]; x_{l+1} = x_0 (w_l·x_l) + b_l + x_l; logit = w·x_L + MLP(x_0).
    The perceptron's last layer is the half of the paper's joint output layer that reads it. There
    are `options.cross_layers` cross layers; the paper tries 1 to 6.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "DCN"
    paper = "Wang et al., ADKDD 2017, arXiv 1708.05123"
    layer: ClassVar[type[Cross]] = VectorCross

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        width = inputs.dense + inputs.sparse * options.embedding_dim
        layers = [self.layer(width, make.child(f"cross.{i}")) for i in range(options.cross_layers)]
        self.cross = nn.ModuleList(layers)
        self.head = weighted_sum(width, make.child("head"))
        self.deep = Perceptron((width, *options.hidden, 1), make.child("deep"), options)
        self.madds = sum(layer.madds for layer in layers) + self.head.madds + self.deep.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        first = torch.cat([dense, self.embedding(sparse).flatten(1)], 1)
        x = first
        for layer in self.cross:
            x = layer(first, x)
        logits: Tensor = self.head({"x": x}) + self.deep(first)
        return logits.squeeze(1)
