"""The logarithm of counts: most are small and come often, so they are looked up."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nasrec.native import library

TABLE = 1 << 14
"""Counts with a place in the table, which stays in the second cache."""


def log1p(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) the logarithm of 1 more than each number, 0 for those below 0, NaN for NaN."""
    kernels = library()
    if kernels is None or len(numbers) < TABLE:
        return _log1p(numbers)
    numbers, table = np.ascontiguousarray(numbers, np.float64), _table()
    found = np.empty(len(numbers), np.float32)
    kernels.from_table.restype = ctypes.c_long
    others = kernels.from_table(
        ctypes.c_long(len(numbers)), ctypes.c_void_p(numbers.ctypes.data), ctypes.c_long(TABLE),
        *(ctypes.c_void_p(x.ctypes.data) for x in (table, found)),
    )  # fmt: skip
    if others:
        rest = np.flatnonzero(found < 0)
        found[rest] = _log1p(numbers[rest])
    return found


def _log1p(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.log1p(np.maximum(numbers, 0.0)).astype(np.float32)


@cache
def _table() -> NDArray[np.float32]:
    """Of 0, 1, ..., and NaN."""
    return _log1p(np.append(np.arange(TABLE, dtype=np.float64), np.nan))
