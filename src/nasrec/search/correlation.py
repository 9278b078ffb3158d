"""How well one ordering agrees with another, for many resamples of the things ordered at once.

A resample is a row of *counts*: how often each thing was drawn. Drawn twice, a thing ties with
itself. The sample itself is a row of ones.

Legend: n things, R rows of counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pearson(x: Floats, y: Floats, counts: Floats) -> Floats:
    """(R,) Pearson's ρ; x and y are (n,) or (R, n). NaN where one of them does not vary."""
    total = counts.sum(1, keepdims=True)

    def centred(v: Floats) -> Floats:
        v = np.broadcast_to(v, counts.shape)
        return np.asarray(v - (counts * v).sum(1, keepdims=True) / total)

    a, b = centred(x), centred(y)
    squares = (counts * a * a).sum(1) * (counts * b * b).sum(1)
    return _ratio((counts * a * b).sum(1), np.sqrt(squares))


def spearman(x: Floats, y: Floats, counts: Floats) -> Floats:
    """(R,) Pearson's ρ of the ranks within each resample, equal values at their mean rank."""
    return pearson(_ranks(x, counts), _ranks(y, counts), counts)


def kendall(x: Floats, y: Floats, counts: Floats) -> Floats:
    """(R,) Kendall's τ-b (Kendall, 1945): pairs in the same less pairs in the other order."""
    a, b = _signs(x), _signs(y)

    def pairs(matrix: Floats) -> Floats:
        return np.asarray(((counts @ matrix) * counts).sum(1))

    return _ratio(pairs(a * b), np.sqrt(pairs(np.abs(a)) * pairs(np.abs(b))))


def _signs(x: Floats) -> Floats:
    return np.sign(x[:, None] - x[None, :])


def _ranks(x: Floats, counts: Floats) -> Floats:
    less = (x[None, :] < x[:, None]).astype(np.float64)  # [i, j]: j is below i
    same = (x[None, :] == x[:, None]).astype(np.float64)
    return np.asarray(counts @ less.T + (counts @ same.T + 1) / 2)


def _ratio(above: Floats, below: Floats) -> Floats:
    # A resample of one thing alone has no correlation; rounding leaves tiny sums of squares.
    defined = below > 1e-300
    return np.where(defined, above / np.where(defined, below, 1), np.nan)
