"""Layers that several hand-made models share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.batch_norm import BatchNorm
from nasrec.nn.dropout import dropout
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.layers import Linear
from nasrec.nn.parameters import Axis, Maker, normal, xavier_uniform


class Baseline(nn.Module):
    """What every hand-made model offers: dense (B, n_dense), sparse ids (B, F), to logits (B,).

    A subclass takes `(inputs, options, *, seed=0)`.

    Attributes:
        title: how tables call it.
        paper: authors, place and year; the arXiv number where there is one.
        embedding: its tables of width `embedding_dim` (1 in logistic regression).
        madds: multiply-adds a row: matrix products, no embedding, no element-wise work.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    embedding: EmbeddingTable
    madds: int


class Perceptron(nn.Module):
    """Linear layers of the given widths with ReLU between them: (B, widths[0]) to (B, widths[-1]).

    A hidden layer is Dropout(ReLU(BN(W x + b))), with dropout and BatchNorm as the options say.

    Args:
        widths: of the input, the hidden layers and the output.
        make: where parameters come from.
        options: dropout and BatchNorm of the hidden layers; None is neither.
        last_relu: make the last layer a hidden one too.
    """

    def __init__(
        self,
        widths: Sequence[int],
        make: Maker,
        options: ModelOptions | None = None,
        last_relu: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = options.dropout if options else 0.0
        hidden = widths[1:] if last_relu else widths[1:-1]
        self.hidden = len(hidden)
        self.norms = nn.ModuleList(
            BatchNorm(Axis.fixed(width), make.child(f"norms.{i}"))
            for i, width in enumerate(hidden if options and options.batch_norm else ())
        )
        self.layers = nn.ModuleList(
            Linear({"x": Axis.fixed(a)}, Axis.fixed(b), bias=True, make=make.child(f"layers.{i}"))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.madds = sum(a * b for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer({"x": x})
            if i < self.hidden:
                x = self.norms[i](x) if self.norms else x
                x = dropout(F.relu(x), self.dropout, self.training)
        return x


class Fields(nn.Module):
    """One vector a column: x_j u_j for numeric column j, then the embeddings e_f.

    With u_j learned, this is how a factorization machine reads a number, and the papers after it.
    The u_j begin with the spread that the options give embeddings.

    Shapes: dense (B, n_dense), embeddings (B, F, E), to (B, M, E) with M = n_dense + F.
    """

    def __init__(self, inputs: Inputs, options: ModelOptions, make: Maker) -> None:
        super().__init__()
        columns, width = Axis.fixed(inputs.dense), Axis.fixed(options.embedding_dim)
        std = options.embedding_std
        init = normal(std) if std else xavier_uniform(columns, width)
        self.weight = make("weight", columns, width, init=init)
        self.count = inputs.dense + inputs.sparse
        self.width = self.count * options.embedding_dim

    def forward(self, dense: Tensor, embedded_BFE: Tensor) -> Tensor:
        if not len(self.weight):
            return embedded_BFE
        return torch.cat([dense.unsqueeze(2) * self.weight, embedded_BFE], 1)


def weighted_sum(width: int, make: Maker, bias: bool = False) -> Linear:
    """w·x (+ b): {"x": (B, width)} to (B, 1), the part of a logit that one branch gives."""
    return Linear({"x": Axis.fixed(width)}, Axis.fixed(1), bias=bias, make=make)


def pair_products(fields_BME: Tensor) -> Tensor:
    """Σ_{i<j} ⟨v_i, v_j⟩ = ½ Σ_e ((Σ_i v_ie)² − Σ_i v_ie²), linear in M: (B, M, E) to (B,)."""
    return 0.5 * (fields_BME.sum(1).square() - fields_BME.square().sum(1)).sum(1)
