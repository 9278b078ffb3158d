"""What the click rates of ids are, from the training rows (`nasrec.nn.rates`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasrec.nn.rates import FOLDS, ClickRates, folds_of

if TYPE_CHECKING:
    from nasrec.data import Split

SMOOTHING = 20.0
"""The rate of a rare id is drawn to that of all rows, as if so many rows of those were added."""
FURTHEST = 5.0
"""Deviations from the mean beyond which a number does not go."""
LEAST_DEVIATION = 0.05
"""Of a column's logits, where they differ by less: chance is not blown up."""
LEAST_SPREAD = 0.4
"""Share of an id's other rows that are in other folds than a row: 0.8 where rows differ enough for
their hashes to deal them out. Where a log has few columns of few values most rows of an id can be
in one fold, the other folds say little of it, and its column has no rates."""
SEVERAL = 2 * FOLDS
"""Rows from which on an id's are looked at for that."""
_BLOCK = 1 << 16


def learn_rates(model: nn.Module, train: Split) -> None:
    """Fill the `ClickRates` of a model, if it has some, from all training rows.

    Once through the rows, weights counted; the same for all members of a model.
    """
    found = [module for module in model.modules() if isinstance(module, ClickRates)]
    if not found:
        return
    first, *others = found
    learn(first, train)
    for other in others:
        other.table, other.folded = first.table.clone(), first.folded


def learn(rates: ClickRates, train: Split) -> None:
    """Fill one, where its buffers are."""
    device, ids = rates.table.device, len(rates.table)
    rows, clicks = torch.zeros(2, FOLDS * ids, dtype=torch.float64)
    starts = rates.starts.cpu()
    for low in range(0, len(train), _BLOCK):
        part = train.rows(low, min(low + _BLOCK, len(train)))
        fold = folds_of(part.dense, part.sparse).unsqueeze(1)
        used = part.sparse >= 0
        place = (part.sparse + starts + fold * ids)[used]
        weight = torch.ones_like(part.labels) if part.weights is None else part.weights
        weights = weight.double().unsqueeze(1).expand(used.shape)
        labels = part.labels.double().unsqueeze(1)
        rows.index_add_(0, place, weights[used])
        clicks.index_add_(0, place, (weights * labels)[used])
    table, folded = _numbers(
        rows.view(FOLDS, ids), clicks.view(FOLDS, ids), torch.tensor(rates.vocabulary)
    )
    rates.table, rates.folded = table.to(device), folded.to(device)


def _numbers(rows_KV: Tensor, clicks_KV: Tensor, sizes_F: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of ids from all rows, (V,), and without each fold's, (K, V)."""
    rows_V, clicks_V = rows_KV.sum(0), clicks_KV.sum(0)
    column_V = torch.arange(len(sizes_F)).repeat_interleave(sizes_F)

    def of_columns(values_V: Tensor) -> Tensor:
        return values_V.new_zeros(len(sizes_F)).index_add(0, column_V, values_V)

    rows_F = of_columns(rows_V).clamp(min=1e-9)
    rate_V = (of_columns(clicks_V) / rows_F).clamp(1e-6, 1 - 1e-6)[column_V]

    def logit(clicks: Tensor, rows: Tensor) -> Tensor:
        return ((clicks + SMOOTHING * rate_V) / (rows + SMOOTHING)).logit()

    all_V, folded_KV = logit(clicks_V, rows_V), logit(clicks_V - clicks_KV, rows_V - rows_KV)
    mean_V = (of_columns((rows_KV * folded_KV).sum(0)) / rows_F)[column_V]
    square_F = of_columns((rows_KV * (folded_KV - mean_V) ** 2).sum(0)) / rows_F
    scale_F = 1 / square_F.sqrt().clamp(min=LEAST_DEVIATION)
    several_V = rows_V * (rows_V >= SEVERAL)
    elsewhere_V = (rows_KV * (1 - rows_KV / rows_V.clamp(min=1e-9))).sum(0)
    spread_F = of_columns(elsewhere_V * (rows_V >= SEVERAL)) / of_columns(several_V).clamp(min=1e-9)
    dealt_F = (spread_F >= LEAST_SPREAD) | (of_columns(several_V) == 0)
    scale_V = (scale_F * dealt_F)[column_V]

    def scaled(logits: Tensor) -> Tensor:
        return ((logits - mean_V) * scale_V).clamp(-FURTHEST, FURTHEST).float()

    return scaled(all_V), scaled(folded_KV)
