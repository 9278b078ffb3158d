"""NSGA-II (Deb et al., 2002): evolution towards a front of several losses at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from pydantic import Field

from nasrec.search.method import SearchMethod, register
from nasrec.search.pareto import crowding, fronts
from nasrec.space import Architecture
from nasrec.train.config import Settings

_Member = tuple[tuple[float, ...], Architecture]


class NSGA2Settings(Settings):
    """Settings of NSGA-II.

    Attributes:
        population: architectures alive, and children of a generation.
        crossover: share of the children that have two parents; 0.9 (Deb et al., 2002).
    """

    population: int = Field(default=40, ge=1)
    crossover: float = Field(default=0.9, ge=0, le=1)


@register
class NSGA2(SearchMethod):
    """Evolution that keeps the non-dominated and, among equals, the lonely.

    The first generation is random. Then as many children are born as there are parents, and of
    both together the best fronts stay, the last of them by crowding distance. Parents win a
    tournament of two by front, then by crowding distance. A child takes each block from one of
    its two parents, which is valid in every space since a block refers to places and not to what
    stands there, and then one mutation.

    A child that is known already is drawn again; see `SearchMethod.new`.
    """

    name = "nsga2"
    settings_class = NSGA2Settings

    def _begin(self) -> None:
        self.population: list[_Member] = []
        self._born: list[_Member] = []
        self._fitness: list[tuple[int, float]] = []
        self._asked = self._told = 0

    @property
    def evaluations(self) -> int | None:
        """Any number."""
        return None

    @property
    def _s(self) -> NSGA2Settings:
        return cast("NSGA2Settings", self.settings)

    def ask(self, limit: int = 1) -> list[Architecture]:
        """Random architectures first, then one generation of children after the other."""
        asked: list[Architecture] = []
        while len(asked) < limit and self.stopped is None:
            generation, child = divmod(self._asked, self._s.population)
            # a generation is bred from complete scores only
            if child == 0 and self._told < self._asked:
                break
            architecture = self._child() if generation else self.new_sample()
            if architecture is not None:
                self._asked += 1
                asked.append(architecture)
        return asked

    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Add to the generation; when it is complete, the best of it and its parents stay."""
        if self._told >= self._asked:
            raise ValueError("told more scores than were asked for")
        self._told += 1
        self._born.append((tuple(losses), architecture))
        if len(self._born) == self._s.population:
            self._select([*self.population, *self._born])
            self._born.clear()

    def _select(self, members: list[_Member]) -> None:
        size = min(self._s.population, len(members))
        self.population, self._fitness = [], []
        for number, front in enumerate(fronts([losses for losses, _ in members])):
            distance = crowding([members[i][0] for i in front])
            # stable: of equally lonely ones the older stays
            for place in np.argsort(-distance, kind="stable")[: size - len(self.population)]:
                self.population.append(members[front[place]])
                self._fitness.append((number, -float(distance[place])))

    def _child(self) -> Architecture | None:
        child = self.new(self._bred)
        return child if child is not None else self.new_sample()

    def _bred(self) -> Architecture:
        child = self._parent()
        if self.rng.random() < self._s.crossover:
            other = self._parent()
            takes = self.rng.random(len(child.blocks)) < 0.5
            child = Architecture(
                tuple(
                    theirs if take else ours
                    for take, ours, theirs in zip(takes, child.blocks, other.blocks, strict=True)
                )
            )
        return self.space.mutate(child, self.rng)

    def _parent(self) -> Architecture:
        """The winner of a tournament of two, the first drawn of equals."""
        drawn: list[int] = self.rng.integers(len(self.population), size=2).tolist()
        return self.population[min(drawn, key=self._fitness.__getitem__)][1]
