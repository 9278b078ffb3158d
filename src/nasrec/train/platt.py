"""A slope and an intercept that make a model's logits mean clicks, fitted on validation rows.

Networks grow surer of themselves from pass to pass than their labels bear out: at an equal AUC much
of a difference in log loss is that, and two numbers mend it (Platt, 1999; Guo et al., *On
Calibration of Modern Neural Networks*, ICML 2017).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nasrec.train.metrics import Metrics, log_loss, metrics_on, normalized_entropy

if TYPE_CHECKING:
    from nasrec.data import Split

Floats = NDArray[np.float64]


class Platt(NamedTuple):
    """slope · logit + intercept; as it is made, nothing changes."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, logits: ArrayLike) -> Floats:
        """Calibrated logits, of the shape given, float64."""
        return self.slope * np.asarray(logits, dtype=np.float64) + self.intercept


#: No calibration.
UNCHANGED = Platt()


def sigmoid(x: Floats) -> Floats:
    """Probabilities of logits, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def calibrated(split: Split, logits: Tensor | ArrayLike) -> tuple[Platt, Metrics]:
    """The calibration that these rows ask for, and what the model scores with it.

    Args:
        split: rows that the model was not trained on.
        logits: of all of them, (rows,).
    """
    x = _vector(logits)
    platt, loss = calibration(x, split.labels, split.weights)
    metrics = metrics_on(split, platt(x))
    entropy = normalized_entropy(loss, split.labels, split.weights)
    return platt, replace(metrics, logloss=loss, normalized_entropy=entropy)


def calibration(
    logits: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    weights: Tensor | ArrayLike | None = None,
) -> tuple[Platt, float]:
    """The calibration that rows ask for, and the log loss with it that others will have.

    Two numbers fitted to n rows flatter the log loss on these rows by 2 / n, as far as can be
    expected (Akaike, 1974). So that is added to it (n is fewer where rows weigh differently: Kish,
    1965), and a calibration that does not gain as much is none: it would be of chance.

    Args:
        logits: of rows that the model was not trained on, (rows,).
        labels: 0 or 1, (rows,).
        weights: how much each row counts, (rows,); all the same if None.
    """
    x, y = _vector(logits), _vector(labels)
    share = None if weights is None else _vector(weights)
    plain = log_loss(x, y, share)
    if not np.isfinite(x).all() or not 0 < y.sum() < len(y):
        return UNCHANGED, plain
    platt = Platt(*fit_platt(x, y, share))
    rows = len(y) if share is None else share.sum() ** 2 / (share**2).sum()
    loss = log_loss(platt(x), y, share) + 2 / float(rows)
    return (platt, loss) if platt.slope > 0 and loss < plain else (UNCHANGED, plain)


def _vector(values: Tensor | ArrayLike) -> Floats:
    given = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(given, dtype=np.float64)


def fit_platt(x: Floats, y: Floats, weights: ArrayLike | None = None) -> tuple[float, float]:
    """Slope and intercept of most likelihood, by Newton's method; the slope is not negative.

    The targets are Platt's: shrunk by one row of either class, so that rows that can be told apart
    without an error have a finite fit.

    Args:
        x: logits, (rows,).
        y: 0 or 1, (rows,), some of either.
        weights: how much each row counts, (rows,); all the same if None.
    """
    clicks = y.sum()
    target = np.where(y > 0.5, (clicks + 1) / (clicks + 2), 1 / (y.size - clicks + 2))
    share = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    scale = float(x.std()) or 1.0
    design = np.stack([x / scale, np.ones_like(x)])
    rate = float(share @ target)
    fitted = np.array([0.0, math.log(rate / (1 - rate))])

    def loss(w: Floats) -> float:
        z = w @ design
        return float(share @ (np.logaddexp(0.0, z) - target * z))

    for _ in range(100):
        p = sigmoid(fitted @ design)
        gradient = design @ (share * (p - target))
        hessian = (design * (share * p * (1 - p))) @ design.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        before, size = loss(fitted), 1.0
        while size > 1e-6 and loss(fitted - size * step) > before:
            size /= 2
        fitted = fitted - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    slope = float(fitted[0]) / scale
    if slope < 0:  # worse than chance: its order may not be turned round, so the base rate is left
        return 0.0, math.log(rate / (1 - rate))
    return slope, float(fitted[1])
