"""Whether one order of things is like another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b: pairs in the same order minus pairs in the other, ties allowed for.

    NaN where it is not defined: fewer than two things, or all of them tied.
    """
    signs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)
    ]
    both = sum(x * y for x, y in signs)
    of_a, of_b = sum(x != 0 for x, _ in signs), sum(y != 0 for _, y in signs)
    return float(both / np.sqrt(of_a * of_b)) if of_a and of_b else float("nan")


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, ties share their mean rank."""
    x, y = _ranks(a), _ranks(b)
    if len(x) < 2 or not x.std() or not y.std():
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    ties = (array[:, None] == array[None, :]).sum(axis=1)
    ranks: NDArray[np.float64] = below + (ties - 1) / 2
    return ranks
