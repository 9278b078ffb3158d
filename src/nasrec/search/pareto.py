"""Which of several losses are best at once: fronts, crowding, and a spread choice.

Legend: n points, m losses, lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = Sequence[Sequence[float]] | NDArray[np.float64]


def fronts(points: Points) -> list[list[int]]:
    """Non-dominated sorting: point numbers by front, the best front first, rising within each.

    A point dominates another that is nowhere better and somewhere worse. The first front holds
    the points that none dominates, each further one those that only earlier fronts dominate.
    Source: Deb et al., *A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II*, 2002.
    """
    x = _matrix(points)
    no_worse = np.ones((len(x), len(x)), dtype=np.bool_)
    for losses in x.T:
        no_worse &= losses[:, None] <= losses[None, :]
    dominates = no_worse & ~no_worse.T
    dominators = dominates.sum(axis=0)
    left = np.ones(len(x), dtype=np.bool_)
    found = []
    while left.any():
        front = np.flatnonzero(left & (dominators == 0))
        found.append(front.tolist())
        left[front] = False
        dominators -= dominates[front].sum(axis=0)
    return found


def crowding(points: Points) -> NDArray[np.float64]:
    """(n,) how far each point of a front is from its neighbours: larger is lonelier.

    For each loss, the gap between the two neighbours as a share of the loss's range, summed; the
    ends of every loss are infinitely lonely. Source: as `fronts`.
    """
    x = _matrix(points)
    found = np.zeros(len(x))
    for losses in x.T:
        order = np.argsort(losses, kind="stable")
        found[order[[0, -1]]] = np.inf
        low, high = losses[order[0]], losses[order[-1]]
        if low < high < np.inf:
            found[order[1:-1]] += (losses[order[2:]] - losses[order[:-2]]) / (high - low)
    return found


def spread(points: Points, count: int) -> list[int]:
    """Up to `count` points of the best fronts, spread over them; the best in loss 0 comes first.

    Within a front the next one is the point whose nearest chosen point is farthest, each loss
    measured in its range over the front; ties go to the better loss 0. When a front is used up
    the next one follows.
    """
    x = _matrix(points)
    chosen: list[int] = []
    for front in fronts(x):
        at = np.where(np.isfinite(x[front]), x[front], 0.0)
        low = at.min(axis=0)
        span = at.max(axis=0) - low
        at = (at - low) / np.where(span > 0, span, 1.0)
        distance = np.full(len(front), np.inf)
        for _ in range(min(count - len(chosen), len(front))):
            # -inf marks what is chosen; the first of equals in the order of loss 0 wins
            order = np.argsort(x[front, 0], kind="stable")
            best = int(order[np.argmax(distance[order])])
            chosen.append(front[best])
            distance = np.minimum(distance, np.abs(at - at[best]).max(axis=1))
            distance[best] = -np.inf
    return chosen


def _matrix(points: ArrayLike | Points) -> NDArray[np.float64]:
    """(n, m) float64."""
    x = np.asarray(points, dtype=np.float64)
    return x.reshape(len(x), -1)
