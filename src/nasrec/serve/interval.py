"""Metrics with the interval that other rows of the same kind would move them in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasrec.train.metrics import metrics_of

RESAMPLES = 400
GROUPS = 20_000
LEVEL = 0.95


def report(
    logits: ArrayLike, labels: ArrayLike, seed: int = 0, *, groups: ArrayLike | None = None
) -> dict[str, Any]:
    """Metrics of a model on rows, with a 95 % bootstrap interval of log loss and AUC.

    Args:
        logits: calibrated, (rows,).
        labels: 0 or 1, (rows,).
        seed: of the resampling.
        groups: of the rows, (rows,), where they have any.

    Returns:
        The fields of `Metrics` and `interval`: {"level", "logloss": [low, high], "auc": [...]}.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    measured = metrics_of(x, y, groups=groups).to_dict()
    return {**measured, "interval": {"level": LEVEL, **interval(x, y, seed)}}


def interval(
    logits: NDArray[np.float64], labels: NDArray[np.float64], seed: int = 0
) -> dict[str, list[float]]:
    """Low and high end of log loss and AUC over resampled rows (Poisson bootstrap).

    Rows are gathered, in the order of their logits, into at most `GROUPS` groups of equal number,
    and a group's clicks are drawn together: Poisson counts of single rows add up to Poisson counts
    of groups. So any number of rows takes the same time, and up to `GROUPS` rows nothing is
    approximated.
    """
    n = logits.size
    if not n:
        return {"logloss": [float("nan")] * 2, "auc": [float("nan")] * 2}
    order = np.argsort(logits, kind="stable")
    x, y = logits[order], labels[order]
    starts = np.unique(np.linspace(0, n, min(n, GROUPS) + 1).astype(np.int64))[:-1]
    starts = np.unique(np.searchsorted(x, x[starts], side="left"))  # ties stay together
    counts = np.diff([*starts, n])
    clicks = np.add.reduceat(y, starts)
    others = counts - clicks
    # mean loss of a group's clicks and of its other rows
    of_clicks = np.add.reduceat(y * np.logaddexp(0.0, -x), starts) / np.maximum(clicks, 1)
    of_others = np.add.reduceat((1 - y) * np.logaddexp(0.0, x), starts) / np.maximum(others, 1)
    rng = np.random.default_rng(seed)
    losses, areas = np.empty(RESAMPLES), np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        a, b = rng.poisson(clicks), rng.poisson(others)
        total = a.sum() + b.sum()
        losses[i] = (a @ of_clicks + b @ of_others) / total if total else np.nan
        pairs = float(a.sum()) * float(b.sum())
        below = np.cumsum(b) - b
        areas[i] = (a @ (below + b / 2)) / pairs if pairs else np.nan
    return {"logloss": _ends(losses), "auc": _ends(areas)}


def _ends(values: NDArray[np.float64]) -> list[float]:
    there = values[~np.isnan(values)]
    if not there.size:
        return [float("nan")] * 2
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]
