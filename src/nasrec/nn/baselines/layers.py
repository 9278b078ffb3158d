"""Layers that several hand-made models share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.operators import Linear
from nasrec.nn.parameters import Axis, Maker


class Perceptron(nn.Module):
    """Linear layers of the given widths with ReLU between them: (B, widths[0]) to (B, widths[-1]).

    Args:
        widths: of the input, the hidden layers and the output.
        make: where parameters come from.
        dropout: share of each hidden layer's outputs that a training step drops.
        last_relu: make the last layer a hidden one too.
    """

    def __init__(
        self, widths: Sequence[int], make: Maker, dropout: float = 0.0, last_relu: bool = False
    ) -> None:
        super().__init__()
        self.dropout, self.last_relu = dropout, last_relu
        self.layers = nn.ModuleList(
            Linear({"x": Axis.fixed(a)}, Axis.fixed(b), bias=True, make=make.child(f"layers.{i}"))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.madds = sum(a * b for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers, start=1):
            x = layer({"x": x})
            if i < len(self.layers) or self.last_relu:
                x = F.dropout(F.relu(x), self.dropout, self.training)
        return x
