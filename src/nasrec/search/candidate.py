"""What a search speaks of: a score, a candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nasrec.space import Architecture


@dataclass(frozen=True)
class Score:
    """How good an architecture is, on validation rows; see `nasrec.train.metrics`.

    Attributes:
        logloss: not finite counts as the worst.
        auc: NaN where there is one class only.
        rows: number of validation rows it was measured on.
        grouped_auc: NaN where rows belong to no groups.
        normalized_entropy: NaN where there is one class only.
    """

    logloss: float
    auc: float = math.nan
    rows: int = 0
    grouped_auc: float = math.nan
    normalized_entropy: float = math.nan


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        architecture: the first spelling of it that the search met.
        score: its score.
        index: number of the evaluation, from 0.
        seconds: what the evaluation took.
        costs: of the standalone network, by the names of `nasrec.search.goals.COSTS`.
    """

    architecture: Architecture
    score: Score
    index: int
    seconds: float
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The architecture's digest."""
        return self.architecture.digest
