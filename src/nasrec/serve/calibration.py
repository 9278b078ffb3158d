"""From a model's logits to probabilities that mean clicks.

A calibration maps logits to logits, and never turns their order round:

- `platt`: slope · x + intercept, fitted by maximum likelihood (Platt, 1999);
- `isotonic`: a rising line through points fitted by pooling adjacent violators (Zadrozny and
  Elkan, 2002), on the logit scale and constant beyond its ends;
- a negative rate r: where only a share r of the rows without a click was kept for training, the
  odds of a click are 1 / r times too high, so log(r) is added (He et al., 2014, section 6.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from nasrec.errors import ConfigError, DataError
from nasrec.train.platt import UNCHANGED, Platt, fit_platt

Floats = NDArray[np.float64]
METHODS = ("none", "platt", "isotonic")
#: An isotonic fit sees groups of this many neighbouring rows or more, and at most so many groups:
#: rates of fewer rows are noise, and more points than this no curve needs.
GROUP_ROWS, GROUPS = 50, 1000


@dataclass(frozen=True)
class Calibration:
    """How logits become calibrated logits; the identity by default.

    Attributes:
        method: `none`, `platt` or `isotonic`.
        slope, intercept: of `platt`.
        x, y: the points of `isotonic`, both rising: logits before and after.
        negative_rate: share of the rows without a click that the training rows hold; 1 for all.
    """

    method: str = "none"
    slope: float = 1.0
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    negative_rate: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(map(float, self.x)))
        object.__setattr__(self, "y", tuple(map(float, self.y)))
        if self.method not in METHODS:
            raise ConfigError(
                f"there is no calibration {self.method!r}", mend=f"use {', '.join(METHODS)}"
            )
        if not 0 < self.negative_rate <= 1:
            raise ConfigError(
                f"the negative rate is {self.negative_rate}",
                mend="give the share of rows without a click that was kept: above 0, at most 1",
            )
        if not all(map(math.isfinite, (self.slope, self.intercept, *self.x, *self.y))):
            raise ConfigError("the calibration holds a number that is not finite")
        rising = list(self.x) == sorted(set(self.x)) and list(self.y) == sorted(self.y)
        if len(self.x) != len(self.y) or not rising or (self.method == "isotonic") != bool(self.x):
            raise ConfigError("the calibration's points do not rise")

    def __call__(self, logits: ArrayLike) -> Floats:
        """Calibrated logits, (rows,) float64."""
        given = np.asarray(logits, dtype=np.float64)
        if self.method == "isotonic":
            given = np.interp(given, self.x, self.y)
        else:
            given = self.slope * given + self.intercept
        return np.asarray(given + math.log(self.negative_rate))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def of(cls, platt: Platt) -> Calibration:
        """What a training has fitted on its validation rows."""
        return cls() if platt == UNCHANGED else cls("platt", platt.slope, platt.intercept)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """What `to_dict` gave; ConfigError if it is something else."""
        try:
            return cls(**content)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"not a calibration: {error}") from None

    def for_rows_like_training(self) -> Calibration:
        """The same without the correction for rows left out, which such rows have left out too."""
        return replace(self, negative_rate=1.0)


def fit_calibration(
    method: str, logits: ArrayLike, labels: ArrayLike, negative_rate: float = 1.0
) -> Calibration:
    """Fit a calibration to rows that were not trained on.

    Args:
        method: `none`, `platt` or `isotonic`.
        logits: of the model, (rows,).
        labels: 0 or 1, (rows,).
        negative_rate: share of the rows without a click that these rows (and the training rows)
            hold.

    Raises:
        ConfigError: no such method, or a rate out of range.
        DataError: the rows hold one class only.
    """
    plain = Calibration(method if method == "none" else "platt", negative_rate=negative_rate)
    if method == "none":
        return plain
    if method not in METHODS:
        return Calibration(method)  # raises
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if not 0 < y.sum() < y.size:
        raise DataError(
            "a calibration needs rows with and without clicks", mend="give more rows to fit it on"
        )
    if method == "platt":
        slope, intercept = fit_platt(x, y)
        return replace(plain, slope=slope, intercept=intercept)
    points, values = fit_isotonic(x, y)
    return Calibration("isotonic", x=tuple(points), y=tuple(values), negative_rate=negative_rate)


def fit_isotonic(x: Floats, y: Floats) -> tuple[list[float], list[float]]:
    """Points (logit, calibrated logit) of the rising curve of most likelihood."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    groups = max(1, min(GROUPS, x.size // GROUP_ROWS))
    starts = np.linspace(0, x.size, groups + 1).astype(np.int64)[:-1]
    # Rows of one logit belong together: a group begins where a new value does.
    starts = np.unique(np.searchsorted(x, x[starts], side="left"))
    counts = np.diff([*starts, x.size])
    clicks = np.add.reduceat(y, starts)
    centres = np.add.reduceat(x, starts) / counts
    block = pool_adjacent(clicks / counts, counts.astype(np.float64))
    ends = np.flatnonzero(np.diff(block)) + 1
    begins = np.concatenate([[0], ends])
    n, k = np.add.reduceat(counts, begins), np.add.reduceat(clicks, begins)
    middle = np.add.reduceat(centres * counts, begins) / n
    # Half a row of either class keeps a block without clicks from certainty.
    rates = np.maximum.accumulate((k + 0.5) / (n + 1))
    return middle.tolist(), np.log(rates / (1 - rates)).tolist()


def pool_adjacent(values: Floats, weights: Floats) -> Floats:
    """The rising sequence nearest to `values` in weighted squares, (n,): pool adjacent violators.

    Source: Ayer et al., 1955.
    """
    means: list[float] = []
    sums: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        sums.append(weight)
        sizes.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            total = sums[-2] + sums[-1]
            means[-2] = (means[-2] * sums[-2] + means[-1] * sums[-1]) / total
            sums[-2], sizes[-2] = total, sizes[-2] + sizes[-1]
            means.pop()
            sums.pop()
            sizes.pop()
    return np.repeat(means, sizes)


class CalibrationModule(nn.Module):
    """A calibration as a network, for export: logits (B,) to calibrated logits (B,)."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.slope, self.intercept = calibration.slope, calibration.intercept
        self.shift = math.log(calibration.negative_rate)
        self.points = len(calibration.x)
        x = np.asarray(calibration.x or (0.0,))
        y = np.asarray(calibration.y or (0.0,))
        # y(x) is y_0 plus, for each piece between two points, its slope times the way within it.
        slopes = np.diff(y) / np.maximum(np.diff(x), 1e-12)
        self.first = float(y[0])
        self.starts: Tensor
        self.widths: Tensor
        self.slopes: Tensor
        self.register_buffer("starts", torch.tensor(x[:-1], dtype=torch.float64))
        self.register_buffer("widths", torch.tensor(np.diff(x), dtype=torch.float64))
        self.register_buffer("slopes", torch.tensor(slopes, dtype=torch.float64))

    def forward(self, logits: Tensor) -> Tensor:
        """In float32 as given; an isotonic curve is summed in float64."""
        if self.points == 0:
            return self.slope * logits + (self.intercept + self.shift)
        if self.points == 1:
            return torch.zeros_like(logits) + (self.first + self.shift)
        way = (logits.double().unsqueeze(1) - self.starts).clamp(min=0.0)
        risen = (torch.minimum(way, self.widths) * self.slopes).sum(1)
        return (risen + (self.first + self.shift)).float()
