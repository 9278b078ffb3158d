"""Scoring candidates side by side: each trained from scratch, or from its supernet's weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split
from nasrec.errors import DivergenceError
from nasrec.nn import NASRecNet
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.supernet import untrained
from nasrec.pipeline.workers import Workers
from nasrec.search import Journal, Score, Scorer
from nasrec.search.candidate import Candidate
from nasrec.space import Architecture
from nasrec.train import Criterion, fit


@dataclass(frozen=True)
class SideBySide:
    """Scores architectures in workers; a score does not depend on what else is scored beside it.

    Attributes:
        one: gives the score of one; a function that another process can import, or a `partial`.
        workers: one thread each.
    """

    one: Callable[[Architecture], Score]
    workers: Workers

    def score(self, architecture: Architecture) -> Score:
        """The score of one."""
        return self.score_many([architecture])[0]

    __call__ = score

    def score_many(self, architectures: Sequence[Architecture]) -> list[Score]:
        """The score of each."""
        scores = dict(self.workers.each([(self.one, (a,)) for a in architectures]))
        return [scores[i] for i in range(len(architectures))]


def from_scratch(data: Path, config: SearchConfig, workers: Workers) -> SideBySide:
    """Scores as the retraining will: by `retrain` and the first recipe, on the search's rows.

    It is what a small log affords instead of a supernet.
    """
    return SideBySide(partial(trained_score, data, config), workers)


def from_copies(
    data: Path, weights: Path | None, config: SearchConfig, workers: Workers
) -> SideBySide:
    """Scores as those of `nasrec.search.Scorer` where it trains a copy of each candidate.

    Args:
        data: the prepared folder.
        weights: file of the trained shared weights; the workers map it and share its memory. None
            where copies start from scratch.
        config: of the search.
        workers: where they are computed.
    """
    return SideBySide(partial(copied_score, data, weights, config.model_dump_json()), workers)


def copied_score(
    data: Path, weights: Path | None, settings: str, architecture: Architecture
) -> Score:
    """The score of one architecture after a few steps of a copy."""
    return _scorer(data, weights, settings)(architecture)


@lru_cache(1)
def _scorer(folder: Path, weights: Path | None, settings: str) -> Scorer:
    data, config = PreparedData.open(folder), SearchConfig(**json.loads(settings))
    shared = untrained(data, config)
    if weights is not None:
        shared.load(weights)
    return Scorer(shared, data.train, data.valid, config.score_recipe, config.seed)


def all_scored(scorer: SideBySide, journal: Journal, architectures: Sequence[Architecture]) -> None:
    """Score all, in their order, into the journal; those it has already are not scored again."""
    while portion := architectures[len(journal.candidates) :][: scorer.workers.jobs]:
        began = time.perf_counter()
        scores = scorer.score_many(portion)
        seconds = (time.perf_counter() - began) / len(portion)
        for architecture, score in zip(portion, scores, strict=True):
            journal.add(Candidate(architecture, score, len(journal.candidates), seconds))


def second_looks(
    scorer: SideBySide,
    journal: Journal,
    best: Sequence[Candidate],
    criterion: Criterion,
    *,
    alone: bool = False,
) -> list[Candidate]:
    """The candidates in the order of the mean of their score and of one with another seed.

    The best of many on the same rows is best by luck in part, and luck does not come twice: the
    second training, which had no part in the choice, tells (docs/compare.md).

    Args:
        scorer: of the other seed.
        journal: its scores; what is there already is not trained again.
        best: the candidates, best first.
        criterion: what they are ordered by.
        alone: the other score decides by itself.
    """
    all_scored(scorer, journal, [first.architecture for first in best])

    def mean(place: int) -> float:
        again = criterion.loss(journal.candidates[place].score)
        return again if alone else (criterion.loss(best[place].score) + again) / 2

    return [best[place] for place in sorted(range(len(best)), key=mean)]


def trained_score(path: Path, config: SearchConfig, architecture: Architecture) -> Score:
    """The score of one architecture; one whose training diverges is the worst."""
    data, recipe = PreparedData.open(path), config.recipes[0]
    train, valid = _rows(path, data.fingerprint, config.search_rows, config.seed)
    options = recipe.model(config.model)
    network = NASRecNet(architecture, inputs_of(data), options, seed=config.seed)
    try:
        found = fit(network, train, valid, recipe.training(config.training), config.seed)
    except DivergenceError:
        return Score(math.inf, rows=len(valid))
    best = found.best
    assert best is not None  # there are validation rows: the search has asked for them
    return Score(best.logloss, best.auc, best.rows, best.grouped_auc, best.normalized_entropy)


@lru_cache(2)
def _rows(path: Path, fingerprint: str, most: int | None, seed: int) -> tuple[Split, Split]:
    """Training and validation rows of candidates, each at most so many; kept for the next one."""
    data = PreparedData.open(path)
    return some_rows(data.train, most, seed), some_rows(data.valid, most, seed)
