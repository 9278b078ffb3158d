"""Differences between models on the same rows, with the interval chance would move them in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000
GROUPS = 5000
LEVEL = 0.95


def row_losses(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Log loss of each row, (rows,); its mean is `train.log_loss`."""
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    return np.logaddexp(0.0, np.where(y > 0.5, -x, x))


@dataclass(frozen=True)
class Difference:
    """Mean loss of one model less that of another.

    Attributes:
        mean: over rows and seeds.
        low, high: ends of the 95 % interval.
    """

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def paired_difference(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    weights: ArrayLike | None = None,
    seed: int = 0,
) -> Difference:
    """Bootstrap over test rows and over seeds of the difference of two models' mean loss.

    Each of `RESAMPLES` times rows are drawn anew, the same for both models, and seeds anew for
    each model: a model's training with one seed has nothing in common with another's. With one
    seed each, only rows are drawn. Rows are first summed in at most `GROUPS` random groups, whose
    resampling has the same variance, so that any number of rows takes the same time.

    Args:
        one: losses of one model, (its seeds, rows).
        other: of the other, (its seeds, rows).
        weights: how much each row counts, (rows,); all the same if left out.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    rows = one.shape[1]
    w = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    order = rng.permutation(rows)
    starts = np.unique(np.linspace(0, rows, min(rows, GROUPS) + 1).astype(np.int64))[:-1]

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat((values * w)[:, order], starts, axis=1)

    counts = summed(np.ones((1, rows)))[0]
    drawn = rng.poisson(1.0, (RESAMPLES, len(starts)))
    total = np.maximum(drawn @ counts, 1e-300)[:, None]
    found = np.zeros(RESAMPLES)
    for sign, losses in ((1, one), (-1, other)):
        of_seeds = drawn @ summed(losses).T / total  # (resamples, seeds)
        seeds = len(losses)
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
        found += sign * (of_seeds * times).sum(1) / seeds
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = ((one.mean(0) - other.mean(0)) * w).sum() / w.sum()
    return Difference(float(mean), float(low), float(high))
