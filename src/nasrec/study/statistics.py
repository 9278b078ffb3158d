"""How well one ordering agrees with another, with bootstrap intervals over the things ordered.

A bootstrap resample is a row of *counts*: how often each thing was drawn. All statistics are
written for counts, so that thousands of resamples are a few matrix products; the first row is the
sample itself. Drawn twice, a thing ties with itself.

Legend: n things, R rows of counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from nasrec.search.correlation import Floats, kendall, pearson, spearman

RESAMPLES = 2000
"""The ends of a 95 % interval then vary by a few percent of its length."""
FEWEST = 5
"""Things that a correlation needs. Among the better half there are then three."""


def resample_counts(n: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """(1 + resamples, n) counts: all ones, then draws of n with replacement."""
    rng = np.random.default_rng([seed, n])
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn.astype(np.float64)])


def better_half(truth: Floats, counts: Floats) -> Floats:
    """(R, n) the counts of each resample's better (lower) half, rounded up."""
    order = np.argsort(truth, kind="stable")
    sorted_counts = counts[:, order]
    before = np.cumsum(sorted_counts, 1) - sorted_counts
    half = np.ceil(counts.sum(1, keepdims=True) / 2)
    kept = np.empty_like(counts)
    kept[:, order] = np.clip(half - before, 0, sorted_counts)
    return kept


def regret(score: Floats, truth: Floats, counts: Floats, k: int) -> Floats:
    """(R,) how much worse than the best is the best of the k with the lowest scores."""
    order = np.argsort(score, kind="stable")
    sorted_counts = counts[:, order]
    before = np.cumsum(sorted_counts, 1) - sorted_counts
    chosen = (sorted_counts > 0) & (before < k)
    found = np.where(chosen, truth[order], np.inf).min(1)
    return np.asarray(found - np.where(counts > 0, truth, np.inf).min(1))


Statistic = Callable[[Floats, Floats, Floats], Floats]

#: By name: from scores, truth and counts to (R,) values. Lower is better in scores and truth.
STATISTICS: dict[str, Statistic] = {
    "kendall": kendall,
    "kendall_better_half": lambda s, t, c: kendall(s, t, better_half(t, c)),
    "spearman": spearman,
    "pearson": pearson,
    "regret_1": lambda s, t, c: regret(s, t, c, 1),
    "regret_5": lambda s, t, c: regret(s, t, c, 5),
}


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % bootstrap interval (percentiles); NaN where it is not defined."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Estimate:
        """From (R,) values: the sample's own, then those of its resamples."""
        rest = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(rest, [0.025, 0.975]) if len(rest) else (np.nan, np.nan)
        return cls(float(values[0]), float(low), float(high))

    def to_dict(self) -> dict[str, float]:
        """Plain types."""
        return asdict(self)

    def text(self, digits: int = 2) -> str:
        """Value and interval, say `0.61 (0.42, 0.75)`."""
        if not np.isfinite(self.value):
            return "not defined"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}, {self.high:.{digits}f})"


def statistic(name: str, scores: Floats, truth: Floats, counts: Floats) -> Floats:
    """(R,) a statistic of `STATISTICS`, its mean over the rows of `scores` (repeats, n)."""
    return np.asarray(np.mean([STATISTICS[name](row, truth, counts) for row in scores], axis=0))


def repeatability(repeats: Floats, counts: Floats) -> Floats | None:
    """(R,) mean Kendall τ between two rows of (repeats, n): how far one run orders as another.

    Of the columns without NaN; None for fewer than two repeats.
    """
    whole = np.isfinite(repeats).all(0)
    repeats, counts = repeats[:, whole], counts[:, whole]
    pairs = [kendall(repeats[a], repeats[b], counts) for a in range(len(repeats)) for b in range(a)]
    return np.asarray(np.mean(pairs, axis=0)) if pairs else None
