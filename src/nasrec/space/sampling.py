"""Which subnet each step of supernet training trains (paper section 4.1)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from nasrec.errors import ConfigError
from nasrec.space.architecture import Architecture
from nasrec.space.space import SearchSpace

Strategy = Literal["single-single", "any-any", "single-any"]

#: What each strategy changes in the space: operators, then connections. "any" connections keep
#: the space's own limit and count rule.
_CHANGES: dict[Strategy, dict[str, Any]] = {
    "single-single": {"max_ops_per_branch": 1, "max_connections": 1},
    "any-any": {"max_ops_per_branch": None},
    "single-any": {"max_ops_per_branch": 1},
}
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class PathSampler:
    """Draws the architecture of each training step.

    During the first `warmup_fraction` of the steps one coin per step decides whether the full
    supernet is trained instead of a sample, with a probability falling linearly from 1 to 0.

    Args:
        space: where architectures come from.
        strategy: `single-any` (one operator, any connections: the paper's), `single-single`
            or `any-any`. It replaces the space's `max_ops_per_branch`.
        total_steps: number of training steps.
        warmup_fraction: share of the steps that warm up; 0 turns it off.
    """

    def __init__(
        self,
        space: SearchSpace,
        strategy: Strategy = "single-any",
        *,
        total_steps: int,
        warmup_fraction: float = 0.2,
    ) -> None:
        if strategy not in _CHANGES:
            raise ConfigError(f"strategy is {strategy!r}", mend=f"use one of {', '.join(_CHANGES)}")
        if total_steps < 1:
            raise ConfigError(f"total_steps is {total_steps!r}", mend="give a positive integer")
        if not 0 <= warmup_fraction <= 1:
            raise ConfigError(
                f"warmup_fraction is {warmup_fraction!r}", mend="give a number from 0 to 1"
            )
        self.space = space.with_(**_CHANGES[strategy])
        self._warmup_steps = warmup_fraction * total_steps

    def full_probability(self, step: int) -> float:
        """How likely step `step` (from 0) is to train the full supernet."""
        if step >= self._warmup_steps:
            return 0.0
        return 1.0 - step / self._warmup_steps

    def sample(self, step: int, rng: np.random.Generator) -> Architecture:
        """The architecture to train in step `step`, counted from 0."""
        # The full supernet's `left` and `right` are random, so that every source's share of the
        # binary operators' weights is warmed up.
        if rng.random() < self.full_probability(step):
            return self.space.maximal(rng)
        return self.space.sample(rng)
