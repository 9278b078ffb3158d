"""Regularised evolution (Real et al., 2019), as the paper uses it (section 4.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal, cast

from pydantic import Field, model_validator

from nasrec.search.method import SearchMethod, register
from nasrec.space import Architecture
from nasrec.train.config import Settings


class EvolutionSettings(Settings):
    """Settings of the evolution; the defaults are the paper's.

    Attributes:
        population: architectures alive; the first ones are random.
        generations: number of times that children are born.
        tournament: members drawn for each generation, of whom the best is the parent.
        children: children of a generation, and number of the oldest that leave.
        mutations: how many mutations make a child. `one` (paper), or `falling`: from 6 in the
            first generations to 1 in the last (released code, at 240 generations).
    """

    population: int = Field(default=128, ge=1)
    generations: int = Field(default=240, ge=0)
    tournament: int = Field(default=64, ge=1)
    children: int = Field(default=8, ge=1)
    mutations: Literal["one", "falling"] = "one"

    @model_validator(mode="after")
    def _fits(self) -> EvolutionSettings:
        if self.tournament > self.population:
            raise ValueError(
                f"tournament ({self.tournament}) may not exceed population ({self.population})"
            )
        return self


@register
class Evolution(SearchMethod):
    """Ageing evolution: the best of a random sample has children, the oldest leave.

    Each generation draws `tournament` members of the population without replacement. The best of
    them is the parent of `children` new architectures. When all are scored they join, and as many
    of the oldest leave, however good they are.

    A child that is known already is drawn again. After 1000 draws a random new architecture takes
    its place, and where there is none either the search is over: so tiny spaces end.
    """

    name = "evolution"
    settings_class = EvolutionSettings

    def _begin(self) -> None:
        self.population: deque[tuple[float, Architecture]] = deque()
        self._asked = self._told = 0
        self._born: list[tuple[float, Architecture]] = []
        self._parent: Architecture | None = None

    @property
    def evaluations(self) -> int | None:
        """population + generations * children."""
        s = self._s
        return s.population + s.generations * s.children

    @property
    def _s(self) -> EvolutionSettings:
        return cast("EvolutionSettings", self.settings)

    def mutations(self, generation: int) -> int:
        """Number of mutations of each child of a generation (from 0)."""
        total = self._s.generations
        if self._s.mutations == "one":
            return 1
        return (total - generation) // max(20, total // 5) + 1

    def ask(self, limit: int = 1) -> list[Architecture]:
        """Random architectures for the first population, then children of one parent."""
        asked: list[Architecture] = []
        while len(asked) < limit and self.stopped is None:
            generation, child = divmod(self._asked - self._s.population, self._s.children)
            if generation >= self._s.generations:
                self.stopped = f"all {self._s.generations} generations are done"
                break
            if child == 0 or self._parent is None:
                # a generation is bred from complete scores only
                if generation >= 0 and self._told < self._asked:
                    break
                self._parent = self._choose() if generation >= 0 else None
            architecture = self._child(generation) if generation >= 0 else self.new_sample()
            if architecture is not None:
                self._asked += 1
                asked.append(architecture)
        return asked

    def _choose(self) -> Architecture:
        """The best of a tournament; of equals, the oldest."""
        drawn = self.rng.choice(len(self.population), self._s.tournament, replace=False)
        return min((self.population[i] for i in sorted(drawn)), key=lambda m: m[0])[1]

    def _child(self, generation: int) -> Architecture | None:
        parent, count = self._parent, self.mutations(generation)
        assert parent is not None
        child = self.new(lambda: self.space.mutate(parent, self.rng, count))
        return child if child is not None else self.new_sample()

    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Add to the population; a complete generation pushes out the oldest."""
        if self._told >= self._asked:
            raise ValueError("told more scores than were asked for")
        self._told += 1
        loss = losses[0]
        if self._told <= self._s.population:
            self.population.append((loss, architecture))
            return
        self._born.append((loss, architecture))
        if len(self._born) == self._s.children:
            self.population.extend(self._born)
            self._born.clear()
            for _ in range(self._s.children):
                self.population.popleft()
