"""Embedding tables of all categorical columns as one weight."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Length, Maker


class EmbeddingTable(nn.Module):
    """One row of width E for each id of each column, all tables stacked in one weight.

    The gradient of the weight is a sparse tensor, so a training step costs what its batch touches,
    whatever the vocabulary.

    Args:
        inputs: the columns.
        options: width, cap and dropout.
        make: where the weight comes from.
        dim: a width E other than that of the options.

    Shapes: ids (B, F) integers, `0 <= ids[:, f] < vocabulary[f]`, to (B, F, E).
    """

    def __init__(
        self, inputs: Inputs, options: ModelOptions, make: Maker, dim: int | None = None
    ) -> None:
        super().__init__()
        self.dim = dim = options.embedding_dim if dim is None else dim
        self.dropout, cap = options.embedding_dropout, options.embedding_cap
        self.rows = tuple(min(v, cap) if cap else v for v in inputs.vocabulary)
        self.capped = self.rows != inputs.vocabulary
        starts = [0, *itertools.accumulate(self.rows)]
        self.starts: Tensor
        self.sizes: Tensor
        self.register_buffer(
            "starts", torch.tensor(starts[:-1], dtype=torch.int64), persistent=False
        )
        self.register_buffer("sizes", torch.tensor(self.rows, dtype=torch.int64), persistent=False)

        def xavier_normal(weight: Tensor, generator: torch.Generator, length: Length) -> None:
            for a, b in itertools.pairwise(starts):
                std = math.sqrt(2 / (b - a + dim))
                weight[a:b].normal_(0, std, generator=generator)

        self.weight = make("weight", Axis.fixed(starts[-1]), Axis.fixed(dim), init=xavier_normal)

    def forward(self, ids: Tensor) -> Tensor:
        if self.capped:
            ids = ids % self.sizes
        looked_up = F.embedding(ids + self.starts, self.weight, sparse=True)
        return F.dropout(looked_up, self.dropout, self.training)
