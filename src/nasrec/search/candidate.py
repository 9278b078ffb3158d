"""What a search speaks of: a score, a candidate, their order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nasrec.space import Architecture


@dataclass(frozen=True)
class Score:
    """How good an architecture is, on validation rows.

    Attributes:
        logloss: what is minimised; not finite counts as the worst.
        auc: NaN where there is one class only.
        rows: number of validation rows it was measured on.
    """

    logloss: float
    auc: float = math.nan
    rows: int = 0

    @property
    def order(self) -> float:
        """The log loss to sort by: infinite where it is not a number."""
        return self.logloss if math.isfinite(self.logloss) else math.inf


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        architecture: the first spelling of it that the search met.
        score: its score.
        index: number of the evaluation, from 0.
        seconds: what the evaluation took.
    """

    architecture: Architecture
    score: Score
    index: int
    seconds: float

    @property
    def digest(self) -> str:
        """The architecture's digest."""
        return self.architecture.digest


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first by log loss; ties by digest, so that the order does not depend on the search."""
    return sorted(candidates, key=lambda c: (c.score.order, c.digest))


def top(candidates: Iterable[Candidate], k: int) -> list[Candidate]:
    """The k best that are distinct by digest, best first."""
    best: dict[str, Candidate] = {}
    for candidate in ranked(candidates):
        best.setdefault(candidate.digest, candidate)
    return list(best.values())[:k]
