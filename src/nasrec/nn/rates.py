"""Click rates of the ids as numbers: what a column's value has meant so far.

Legend: B rows of a batch, F categorical columns, S slots of all of them, V ids of all columns.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from nasrec.nn.inputs import Inputs, ModelOptions

FOLDS = 5
"""A training row's own label is in none of its numbers: it reads rates of the other folds."""
MOST_IDS = 2_000_000
"""Ids of all columns up to which rates are read; where there are more, rows are many too, and
embeddings learn as much. It bounds the memory, 24 bytes an id while training."""
_MIX = (0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64)


def reads_rates(inputs: Inputs, options: ModelOptions) -> bool:
    """Whether networks on these columns read click rates."""
    return options.click_rates and 0 < sum(inputs.vocabulary) <= MOST_IDS


def with_rates(inputs: Inputs) -> Inputs:
    """The columns that a network sees behind `ClickRates`: one number more a categorical column."""
    quantiles = (*inputs.quantiles, *[()] * inputs.sparse) if inputs.quantiles else ()
    return replace(inputs, dense=inputs.dense + inputs.sparse, quantiles=quantiles)


class ClickRates(nn.Module):
    """Appends to the numbers of a row, for each categorical column, the click rate of its id.

    (Micci-Barreca, SIGKDD Explorations 2001.) An id's number is the logit of its smoothed click
    rate in the training rows, scaled to mean 0 and deviation 1 over them. In training a row reads
    the rates of the other folds (as CatBoost's authors advise: Prokhorenkova et al., NeurIPS 2018,
    section 3), so no row sees its own label. The fold of a row is a hash of what it holds: equal
    rows are in one fold, and nothing but the row is needed to know it. Not in the paper.

    All numbers are 0 until `nasrec.train.rates.learn_rates` has seen the training rows.

    Attributes:
        vocabulary: ids of each column.
        table: (V,) numbers of all ids, the columns one after the other; kept with the weights.
        folded: (FOLDS, V) numbers without one fold each; there while a model is trained.
        starts: (S,) where the ids of each slot's column begin.

    Shapes: dense (B, n_dense) and ids (B, S) to (B, n_dense + F).
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        slots = inputs.slots or (1,) * inputs.sparse
        starts = itertools.accumulate(inputs.vocabulary[:-1], initial=0)
        room = torch.tensor(slots)
        first = torch.tensor(list(starts)).repeat_interleave(room)
        column = torch.arange(inputs.sparse).repeat_interleave(room)
        self.vocabulary, self.pooled = inputs.vocabulary, bool(inputs.slots)
        self.table: Tensor
        self.folded: Tensor
        self.starts: Tensor
        self.column_of: Tensor
        self.register_buffer("table", torch.zeros(sum(inputs.vocabulary)))
        self.register_buffer("folded", torch.zeros(0), persistent=False)
        self.register_buffer("starts", first, persistent=False)
        self.register_buffer("column_of", column, persistent=False)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        ids = (sparse.clamp(min=0) if self.pooled else sparse) + self.starts
        if self.training and self.folded.numel():
            ids = ids + (folds_of(dense, sparse) * len(self.table)).unsqueeze(1)
            found = self.folded.flatten()[ids]
        else:
            found = self.table[ids]
        return torch.cat([dense, self._pool(found, sparse) if self.pooled else found], 1)

    def _pool(self, found_BS: Tensor, sparse: Tensor) -> Tensor:
        """The mean of each column's used slots, 0 where there is none: (B, F)."""
        used = (sparse >= 0).to(found_BS.dtype)
        both = torch.stack([found_BS * used, used])
        nothing = both.new_zeros(2, len(sparse), len(self.vocabulary))
        sums = nothing.index_add(2, self.column_of, both)
        return sums[0] / sums[1].clamp(min=1)


def folds_of(dense: Tensor, sparse: Tensor) -> Tensor:
    """The fold of each row, (B,), evenly drawn by a hash of its numbers and ids."""
    bits = dense.contiguous().view(torch.int32).to(torch.int64)
    held = torch.cat([sparse.to(torch.int64), bits], 1)
    places = torch.arange(1, held.shape[1] + 1, device=held.device) * _MIX[0]
    mixed = (held + 1) * _MIX[1] ^ places
    mixed = (mixed ^ (mixed >> 31 & 0x1FFFFFFFF)) * _MIX[0]
    total = (mixed ^ (mixed >> 29 & 0x7FFFFFFFF)).sum(1)
    return ((total ^ (total >> 32)) & 0x7FFFFFFF) % FOLDS


def behind_rates(model: nn.Module, inputs: Inputs) -> None:
    """Make a model that was built for `with_rates(inputs)` read rows of `inputs` themselves."""
    model.rates = ClickRates(inputs)
    model.register_forward_pre_hook(_numbers_first)


def _numbers_first(model: nn.Module, rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    dense, sparse = rows
    return cast("ClickRates", model.rates)(dense, sparse), sparse
