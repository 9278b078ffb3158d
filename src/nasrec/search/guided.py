"""Evolution whose children a learned ranker chooses (as AutoCTR does: Song et al., KDD 2020).

Kept of AutoCTR: evaluations are dear, so many children are bred for each one that is evaluated,
and a ranker that learns from all evaluations says which. Not kept: its survival by complexity
beside age and quality, its gradient-boosted LambdaRank (here ridge regression of ranks: a few
hundred evaluations teach no more than a linear model), and that evaluating means training from
scratch: the score is whatever the search is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nasrec.search.evolution import Evolution, EvolutionSettings
from nasrec.search.method import register
from nasrec.space import Architecture, SearchSpace

Floats = NDArray[np.float64]


class GuidedSettings(EvolutionSettings):
    """Settings of the guided evolution.

    Attributes:
        bred: children bred for each that is evaluated.
        unguided: share of the children that are evaluated whatever the ranker says: it learns
            from them where it is wrong.
        ridge: weight of the ranker's penalty, in evaluations: so many would count as much.
    """

    bred: int = Field(default=16, ge=1)
    unguided: float = Field(default=0.25, ge=0, le=1)
    ridge: float = Field(default=10.0, gt=0)


def encode(space: SearchSpace, architecture: Architecture) -> Floats:
    """What a ranker sees: operators, log widths, connections and mergers of the live parts.

    Parts that do not reach the logit are zero, so that equal networks are told apart by nothing.
    """
    found: list[float] = []
    pairs = zip(architecture.blocks, architecture.live, strict=True)
    for i, (block, live) in enumerate(pairs, start=1):
        dense = live.dense and block.reads("dense")
        pair = live.dense and block.reads("pair")
        sparse = live.sparse or (live.dense and block.reads("sparse"))
        found += [float(live.dense and op in block.dense_ops) for op in space.dense_ops]
        found += [float(live.sparse and op in block.sparse_ops) for op in space.sparse_ops]
        found += [np.log2(block.dense_dim) * live.dense, np.log2(block.sparse_dim) * live.sparse]
        found += [float(dense and j in block.dense_inputs) for j in range(i)]
        found += [float(sparse and j in block.sparse_inputs) for j in range(i)]
        found += [float(pair and j in (block.left, block.right)) for j in range(i)]
        found += [float(live.dense_to_sparse), float(live.sparse_to_dense)]
    return np.array(found)


class Ranker:
    """Ridge regression of ranks on `encode`; lower is better.

    Args:
        features: (n, d).
        losses: (n,); infinite ones rank last.
        ridge: the penalty.
    """

    def __init__(self, features: Floats, losses: Floats, ridge: float) -> None:
        self.mean = features.mean(0)
        spread = features.std(0)
        self.scale = np.where(spread > 0, spread, 1.0)
        x = (features - self.mean) / self.scale
        ranks = np.argsort(np.argsort(losses, kind="stable"), kind="stable") / max(1, len(x) - 1)
        gram = x.T @ x + ridge * np.eye(x.shape[1])
        self.weights: Floats = np.linalg.solve(gram, x.T @ (ranks - ranks.mean()))

    def __call__(self, features: Floats) -> Floats:
        """(n,) predicted ranks, from the mean on."""
        return np.asarray((features - self.mean) / self.scale @ self.weights)


@register
class Guided(Evolution):
    """Ageing evolution in which a ranker chooses among many children of each parent."""

    name = "guided"
    settings_class = GuidedSettings

    def _begin(self) -> None:
        super()._begin()
        self._features: list[Floats] = []
        self._losses: list[float] = []
        self._ranker: Ranker | None = None

    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Learn from it, then as in evolution."""
        super().tell(architecture, losses)
        self._features.append(encode(self.space, architecture))
        self._losses.append(losses[0])

    def _choose(self) -> Architecture:
        """The parent; a generation's ranker knows all that was told before it."""
        ridge = self._guide.ridge
        self._ranker = Ranker(np.stack(self._features), np.array(self._losses), ridge)
        return super()._choose()

    def _child(self, generation: int) -> Architecture | None:
        if self._ranker is None or self.rng.random() < self._guide.unguided:
            return super()._child(generation)
        bred: list[Architecture] = []
        for _ in range(self._guide.bred):
            child = super()._child(generation)
            if child is None:
                break
            bred.append(child)
        if not bred:
            return None
        self.stopped = None  # fewer children than wanted are still some
        ranks = self._ranker(np.stack([encode(self.space, child) for child in bred]))
        best = bred[int(ranks.argmin())]
        # The others have not been proposed: they may be bred again.
        self.seen -= {child.digest for child in bred} - {best.digest}
        return best

    @property
    def _guide(self) -> GuidedSettings:
        return cast("GuidedSettings", self.settings)
