"""What every search method is, and the list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nasrec.space import Architecture, SearchSpace
from nasrec.train.config import Settings

if TYPE_CHECKING:
    from nasrec.data import Split
    from nasrec.nn import SharedWeights


class SearchMethod(ABC):
    """Proposes architectures, learns their scores, proposes better ones.

    What it proposes depends on the space, its settings, the seed and the scores it has been told,
    on nothing else: so a journal can be replayed through it. It never proposes the same network
    (digest) twice.

    Args:
        space: where architectures come from.
        settings: of the class `settings_class`; its defaults when None.
        seed: decides every draw.
        allowed: says whether an architecture may be proposed, such as whether it is cheap enough;
            None allows all.
        start: an architecture that is allowed, to go on from where random draws hardly ever are.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = False
    """Whether `learn` does something."""
    settings_class: ClassVar[type[Settings]] = Settings

    def __init__(
        self,
        space: SearchSpace,
        settings: Settings | None = None,
        *,
        seed: int = 0,
        allowed: Callable[[Architecture], bool] | None = None,
        start: Architecture | None = None,
    ) -> None:
        self.space, self.seed, self.allowed = space, seed, allowed
        self._within = [] if start is None else [start]
        self._draws_in_vain = False
        self.settings = self.settings_class() if settings is None else settings
        self.rng = np.random.default_rng(seed)
        self.seen: set[str] = set()
        self.stopped: str | None = None
        self._begin()

    def _begin(self) -> None:  # noqa: B027  most methods have something, none has to
        """What a method remembers, before it is first asked; SpaceError for a space it cannot."""

    def learn(  # noqa: B027 - most methods have nothing to learn before they ask
        self,
        shared: SharedWeights,
        train: Split,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Learn from the trained shared weights and training rows, before anything is asked for.

        Called again when a search goes on, with the same arguments; so what is learnt depends on
        these and the seed only. Most methods learn from scores alone, and nothing here.

        Args:
            shared: the weights; not to be changed.
            train: training rows.
            progress: called with steps done and planned.
        """

    @property
    @abstractmethod
    def evaluations(self) -> int | None:
        """How many evaluations the method's own settings plan; None for any number."""

    @abstractmethod
    def ask(self, limit: int = 1) -> list[Architecture]:
        """Up to `limit` architectures to score now, none of which needs another's score.

        Empty when scores asked for are still owed, or when the search is over; `stopped` then
        says why. The sequence of architectures does not depend on how large the portions are.
        """

    @abstractmethod
    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Learn how good it is: lower is better, infinite where it is not a number.

        The first loss is that of the criterion, others are of costs (`nasrec.search.goals`); a
        method of one goal goes by the first. Told in the order in which the architectures were
        asked for.
        """

    def new(self, draw: Callable[[], Architecture], tries: int = 1000) -> Architecture | None:
        """An architecture never proposed before, or None after `tries` draws of no new one."""
        for _ in range(tries):
            architecture = draw()
            if architecture.digest in self.seen:
                continue
            if self.allowed is None or self.allowed(architecture):
                self.seen.add(architecture.digest)
                return architecture
        return None

    def new_sample(self) -> Architecture | None:
        """A new architecture drawn from the space; None, and stopped, when there seems none.

        Where there is a start, mutations of what is allowed take the place of draws once 200 of
        them in a row were in vain.
        """
        architecture, tries = None, 200 if self._within else 1000
        if not self._draws_in_vain:
            architecture = self.new(lambda: self.space.sample(self.rng), tries)
        if architecture is None and self._within:
            self._draws_in_vain = True
            architecture = self.new(self._near_start)
            if architecture is not None:
                self._within.append(architecture)
        if architecture is None:
            self.stopped = (
                f"{len(self.seen)} architectures have been tried and 1000 draws from the space "
                "gave no other" + ("" if self.allowed is None else " within the limits")
            )
        return architecture

    def _near_start(self) -> Architecture:
        if self._within[0].digest not in self.seen:
            return self._within[0]
        return self.space.mutate(self._within[self.rng.integers(len(self._within))], self.rng)


METHODS: dict[str, type[SearchMethod]] = {}


def register(method: type[SearchMethod]) -> type[SearchMethod]:
    """Put a method on the list: it gets a name for settings and the whole battery of tests."""
    if METHODS.setdefault(method.name, method) is not method:
        raise ValueError(f"there is a search method {method.name!r} already")
    return method
