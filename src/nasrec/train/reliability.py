"""Whether predicted probabilities mean clicks: calibration error and bias ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 20


def calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: Σ_b n_b / n · |mean probability − share of clicks| in bin b.

    The bins hold equally many rows (adaptive bins; Nguyen and O'Connor, 2015). Bins of equal width
    would hold nearly all rows of a log with few clicks in one. Both arguments have shape (rows,);
    NaN for no rows.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not p.size:
        return float("nan")
    # n_b cancels: the sum of differences of a bin is n_b times the difference of its means
    order, starts = _bins(p, bins)
    return float(np.abs(np.add.reduceat((p - y)[order], starts)).sum() / p.size)


def calibration_curve(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Mean probability, share of clicks and number of rows of each bin of `calibration_error`."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not p.size:
        return []
    order, starts = _bins(p, bins)
    rows = np.diff([*starts, p.size])
    means = (np.add.reduceat(values[order], starts) / rows for values in (p, y))
    return [(float(a), float(b), int(n)) for a, b, n in zip(*means, rows, strict=True)]


def _bins(p: NDArray[np.float64], bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of the probabilities, and where in it each bin begins."""
    starts = np.unique(np.linspace(0, p.size, min(bins, p.size) + 1).astype(np.int64))[:-1]
    return np.argsort(p, kind="stable"), starts


def bias_ratio(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Predicted clicks divided by clicks; 1 without bias, NaN without clicks.

    Source: "calibration" in He et al., *Practical Lessons from Predicting Clicks on Ads*, 2014.
    """
    clicks = float(np.asarray(labels, dtype=np.float64).sum())
    predicted = float(np.asarray(probabilities, dtype=np.float64).sum())
    return predicted / clicks if clicks else float("nan")
