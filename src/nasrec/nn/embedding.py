"""Embedding tables of all categorical columns as one weight."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.dropout import dropout
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Init, Length, Maker


class EmbeddingTable(nn.Module):
    """One row of width E for each id of each column, all tables stacked in one weight.

    The gradient of the weight is a sparse tensor, so a training step costs what its batch touches,
    whatever the vocabulary.

    Args:
        inputs: the columns.
        options: width, cap and dropout.
        make: where the weight comes from.
        dim: a width E other than that of the options.
        init: a way to begin other than theirs.

    A column of several values gives the mean of their embeddings, and zeros for a row without any.

    Shapes: ids (B, F) integers, `0 <= ids[:, f] < vocabulary[f]`, to (B, F, E). Where columns have
    several slots ids are (B, Σ slots), the slots of a column side by side, -1 in those unused.
    """

    def __init__(
        self,
        inputs: Inputs,
        options: ModelOptions,
        make: Maker,
        dim: int | None = None,
        init: Init | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim = options.embedding_dim if dim is None else dim
        self.dropout, cap = options.embedding_dropout, options.embedding_cap
        self.rows = tuple(min(v, cap) if cap else v for v in inputs.vocabulary)
        self.capped = self.rows != inputs.vocabulary
        starts = [0, *itertools.accumulate(self.rows)]
        slots = inputs.slots or (1,) * inputs.sparse
        self.columns = inputs.sparse
        self.pooled = bool(inputs.slots)
        self.starts: Tensor
        self.sizes: Tensor
        self.column_of: Tensor
        for name, of_columns in (
            ("starts", starts[:-1]),
            ("sizes", self.rows),
            ("column_of", range(inputs.sparse)),
        ):
            of_slots = [value for value, n in zip(of_columns, slots, strict=True) for _ in range(n)]
            values = torch.tensor(of_slots, dtype=torch.int64)
            self.register_buffer(name, values, persistent=False)

        def normal(weight: Tensor, generator: torch.Generator, length: Length) -> None:
            for a, b in itertools.pairwise(starts):
                std = options.embedding_std or math.sqrt(2 / (b - a + dim))  # Xavier
                weight[a:b].normal_(0, std, generator=generator)

        self.weight = make("weight", Axis.fixed(starts[-1]), Axis.fixed(dim), init=init or normal)

    def forward(self, ids: Tensor) -> Tensor:
        used = ids >= 0 if self.pooled else None
        if used is not None:
            ids = ids.clamp(min=0)
        if self.capped:
            ids = ids % self.sizes
        vectors = F.embedding(ids + self.starts, self.weight, sparse=True)
        if used is not None:
            vectors = self._pool(vectors, used)
        return dropout(vectors, self.dropout, self.training)

    def _pool(self, vectors_BSE: Tensor, used_BS: Tensor) -> Tensor:
        """The mean of each column's used slots: (B, F, E)."""
        weight = used_BS.to(vectors_BSE.dtype)
        rows = vectors_BSE.shape[0]
        counts = weight.new_zeros(rows, self.columns).index_add(1, self.column_of, weight)
        total = vectors_BSE.new_zeros(rows, self.columns, self.dim)
        total = total.index_add(1, self.column_of, vectors_BSE * weight.unsqueeze(2))
        return total / counts.clamp(min=1).unsqueeze(2)
