"""Non-empty sets of the things 0 … n-1: how many there are, and how one is drawn."""

from __future__ import annotations

from bisect import bisect
from functools import lru_cache
from itertools import accumulate
from math import comb
from typing import Literal, get_args

import numpy as np

CountRule = Literal["subsets", "binomial", "uniform"]
COUNT_RULES: tuple[CountRule, ...] = get_args(CountRule)


def largest_set(n: int, limit: int | None) -> int:
    """Size of the largest allowed set of n things; a limit of None allows all of them."""
    return n if limit is None else min(n, limit)


def count_sets(n: int, limit: int | None) -> int:
    """How many non-empty sets of n things have at most `limit` members."""
    return sum(comb(n, k) for k in range(1, largest_set(n, limit) + 1))


@lru_cache(maxsize=1024)
def _cumulative_sizes(n: int, limit: int | None, rule: CountRule) -> list[int]:
    """Running sum, over the sizes 1, 2, …, of each size's weight."""
    m = largest_set(n, limit)
    weight: dict[CountRule, list[int]] = {
        "subsets": [comb(n, k) for k in range(1, m + 1)],  # every set equally likely
        "binomial": [comb(m - 1, k) for k in range(m)],  # 1 + Binomial(m - 1, 0.5), as released
        "uniform": [1] * m,
    }
    return list(accumulate(weight[rule]))


def draw_one(n: int, rng: np.random.Generator) -> int:
    """One of 0 … n-1, uniformly.

    A scaled float, because `rng.integers` costs several times more per call; for such small n its
    bias is below 1e-15.
    """
    return int(rng.random() * n)


def draw_set(
    n: int, limit: int | None, rule: CountRule, rng: np.random.Generator
) -> tuple[int, ...]:
    """A non-empty set of 0 … n-1 as a sorted tuple: its size by `rule`, then uniform."""
    if n == 1:
        return (0,)
    if limit == 1:
        return (draw_one(n, rng),)
    uniform = rng.random(n + 1).tolist()  # one call: calls are most of the cost
    cumulative = _cumulative_sizes(n, limit, rule)
    missing = 1 + bisect(cumulative, uniform[n] * cumulative[-1])
    chosen = []
    for item in range(n):
        # Selection sampling: each item is taken with (still missing) / (still to come).
        if uniform[item] * (n - item) < missing:
            chosen.append(item)
            missing -= 1
    return tuple(chosen)
