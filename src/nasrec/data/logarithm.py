"""The logarithm of counts: most are small and come often, so kernels look them up."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

TABLE = 1 << 14
"""Counts with a place in the table, which stays in the second cache."""


def log1p(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) the logarithm of 1 more than each number, 0 for those below 0, NaN for NaN."""
    return np.log1p(np.maximum(numbers, 0.0)).astype(np.float32)


@cache
def table() -> NDArray[np.float32]:
    """(TABLE + 1,) of 0, 1, ..., and of NaN."""
    return log1p(np.append(np.arange(TABLE, dtype=np.float64), np.nan))
