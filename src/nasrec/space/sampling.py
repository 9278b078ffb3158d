"""Which subnet each step of supernet training trains (paper section 4.1)."""

from __future__ import annotations

import dataclasses
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

    Where operators are `fair`, they are dealt like cards: of as many steps in a row as a branch has
    operators, each block is given every one once (after FairNAS: Chu et al., ICCV 2021, which also
    adds up the gradients of such a round; here each step is an update of its own). Connections and
    widths are drawn as ever.

    Args:
        space: where architectures come from.
        strategy: `single-any` (one operator, any connections: the paper's), `single-single`
            or `any-any`. It replaces the space's `max_ops_per_branch`.
        total_steps: number of training steps.
        warmup_fraction: share of the steps that warm up; 0 turns it off.
        fair: deal operators; needs a strategy of one operator.
    """

    def __init__(
        self,
        space: SearchSpace,
        strategy: Strategy = "single-any",
        *,
        total_steps: int,
        warmup_fraction: float = 0.2,
        fair: bool = False,
    ) -> None:
        if strategy not in _CHANGES:
            raise ConfigError(f"strategy is {strategy!r}", mend=f"use one of {', '.join(_CHANGES)}")
        if total_steps < 1:
            raise ConfigError(f"total_steps is {total_steps!r}", mend="give a positive integer")
        if not 0 <= warmup_fraction <= 1:
            raise ConfigError(
                f"warmup_fraction is {warmup_fraction!r}", mend="give a number from 0 to 1"
            )
        if fair and strategy == "any-any":
            raise ConfigError(
                "strategy any-any draws any number of operators, which cannot be dealt",
                mend="choose single-any, or leave out fair",
            )
        self.fair = fair
        self.space = space.with_(**_CHANGES[strategy])
        self._warmup_steps = warmup_fraction * total_steps

    def full_probability(self, step: int) -> float:
        """How likely step `step` (from 0) is to train the full supernet."""
        if step >= self._warmup_steps:
            return 0.0
        return 1.0 - step / self._warmup_steps

    def sample(self, step: int, rng: np.random.Generator, seed: int = 0) -> Architecture:
        """The architecture to train in step `step`, counted from 0.

        Args:
            step: its number.
            rng: of this step alone.
            seed: decides how operators are dealt, the same for all steps.
        """
        # The full supernet's `left` and `right` are random, so that every source's share of the
        # binary operators' weights is warmed up.
        if rng.random() < self.full_probability(step):
            return self.space.maximal(rng)
        drawn = self.space.sample(rng)
        return self._dealt(drawn, step, seed) if self.fair else drawn

    def _dealt(self, architecture: Architecture, step: int, seed: int) -> Architecture:
        """The same with the operators of its blocks' hands in this step."""
        hands: dict[str, list[str]] = {}
        for branch, ops in (
            ("dense_ops", self.space.dense_ops),
            ("sparse_ops", self.space.sparse_ops),
        ):
            deal, card = divmod(step, len(ops))
            rng = np.random.default_rng([seed, deal, len(ops), branch == "dense_ops"])
            hands[branch] = [ops[rng.permutation(len(ops))[card]] for _ in architecture.blocks]
        return Architecture(
            tuple(
                dataclasses.replace(block, dense_ops=(dense,), sparse_ops=(sparse,))
                for block, dense, sparse in zip(architecture.blocks, *hands.values(), strict=True)
            )
        )
