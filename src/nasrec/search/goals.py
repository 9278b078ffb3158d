"""What a search minimises: one criterion of quality, and costs beside it if asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nasrec.errors import ConfigError, nearest
from nasrec.search.candidate import Candidate, Score
from nasrec.train.criteria import CRITERIA

#: Costs of a network by name, and what tables call them. All are of the standalone network.
COSTS = {
    "madds": "multiply-adds a row",
    "weights": "weights beside the embeddings",
    "bytes": "bytes of the stored model",
    "latency": "median milliseconds a batch",
}


@dataclass(frozen=True)
class Goals:
    """What is sought.

    Attributes:
        criterion: name in `CRITERIA`.
        costs: names in `COSTS` to be low as well; () for the criterion alone.
    """

    criterion: str = "logloss"
    costs: tuple[str, ...] = ()

    def losses(self, score: Score, costs: Mapping[str, float]) -> tuple[float, ...]:
        """What is minimised, the criterion first; all infinite if one is not a number.

        Costs are logarithms: half the cost is as far at any size.
        """
        loss = CRITERIA[self.criterion].loss(score)
        found = (loss, *(math.log(max(costs[name], 1e-9)) for name in self.costs))
        return found if all(map(math.isfinite, found)) else (math.inf,) * len(found)

    def of(self, candidate: Candidate) -> tuple[float, ...]:
        """`losses` of a candidate."""
        return self.losses(candidate.score, candidate.costs)

    def ranked(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Best first by the criterion; ties by digest, so that the order is not the search's."""
        return sorted(candidates, key=lambda c: (self.of(c)[0], c.digest))

    def distinct(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Those that are distinct by digest, best first by the criterion."""
        best: dict[str, Candidate] = {}
        for candidate in self.ranked(candidates):
            best.setdefault(candidate.digest, candidate)
        return list(best.values())

    def top(self, candidates: Iterable[Candidate], k: int) -> list[Candidate]:
        """The k best that are distinct by digest, and by score before others come in again.

        Candidates of exactly the same log loss and AUC are one network in two spellings: under
        LayerNorm a single number, for one, is a constant, whatever feeds it.
        """
        own: list[Candidate] = []
        again: list[Candidate] = []
        seen = set()
        for candidate in self.distinct(candidates):
            score = candidate.score.logloss, candidate.score.auc
            (again if score in seen else own).append(candidate)
            seen.add(score)
        return [*own, *again][:k]


def parse_objectives(text: str) -> tuple[str | None, tuple[str, ...]]:
    """The criterion, if one is named, and the costs of `logloss,madds`.

    Raises:
        ConfigError: an unknown name, with the nearest; a second criterion; a name given twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [*CRITERIA, *COSTS]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no objective {name!r}", mend=nearest(name, known))
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"the objective {twice[0]} is given twice", mend="give it once")
    criteria = [name for name in names if name in CRITERIA]
    if len(criteria) > 1:
        raise ConfigError(
            f"{' and '.join(criteria)} are both criteria of quality",
            mend=f"give one of them, and costs: {', '.join(COSTS)}",
        )
    return criteria[0] if criteria else None, tuple(name for name in names if name in COSTS)
