"""Random search: the baseline that a search method must beat (paper section 5)."""

from __future__ import annotations

from collections.abc import Sequence

from nasrec.search.method import SearchMethod, register
from nasrec.space import Architecture


@register
class RandomSearch(SearchMethod):
    """Architectures drawn from the space independently, without repetition."""

    name = "random"

    @property
    def evaluations(self) -> int | None:
        """Any number."""
        return None

    def ask(self, limit: int = 1) -> list[Architecture]:
        """New samples of the space."""
        asked: list[Architecture] = []
        while len(asked) < limit and (architecture := self.new_sample()) is not None:
            asked.append(architecture)
        return asked

    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Nothing to learn."""
