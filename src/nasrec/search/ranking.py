"""The search loop: ask, score, write down, tell; and replay of what was written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from nasrec.errors import RunError
from nasrec.search.candidate import Candidate, Score
from nasrec.search.goals import Goals
from nasrec.search.journal import Journal
from nasrec.search.method import SearchMethod
from nasrec.space import Architecture

OnProgress = Callable[[Candidate, int | None], None]
PORTION = 8
"""Candidates scored together at most: the children of one parent in the paper's evolution."""


def search(
    method: SearchMethod,
    score: Callable[[Architecture], Score],
    journal: Journal | None = None,
    *,
    score_many: Callable[[Sequence[Architecture]], Sequence[Score]] | None = None,
    goals: Goals | None = None,
    costs: Callable[[Architecture], Mapping[str, float]] | None = None,
    evaluations: int | None = None,
    max_seconds: float | None = None,
    on_progress: OnProgress | None = None,
) -> list[Candidate]:
    """Run a search method and return all it evaluated, best first by the criterion.

    What the journal holds is told to the method instead of being scored again. So a search that
    was killed at any moment goes on when called again with the same method, settings, seed and
    journal, and ends like one that was never killed.

    Args:
        method: proposes architectures; newly made, not used before.
        score: scores one architecture, deterministically.
        journal: where evaluations are written; None keeps them in memory only.
        score_many: scores several at once, each as `score` does, but in less time. A kill then
            loses the portion that was being scored.
        goals: what is minimised; log loss by default.
        costs: of the standalone network of an architecture, at least those that are goals;
            the same whenever it is called.
        evaluations: stop after this many; by default as many as the method plans.
        max_seconds: score nothing more after this time, which includes the seconds that the
            journal says were spent before. Where it cuts a search short depends on the machine;
            what is in the journal counts in any case. At least one candidate is scored.
        on_progress: called after every evaluation, replayed ones included, with the candidate
            and the number of evaluations planned (None: no end but the time).

    Raises:
        RunError: the journal holds another sequence than the method proposes.
    """
    goals = goals or Goals()
    planned = method.evaluations if evaluations is None else evaluations
    if planned is None and max_seconds is None:
        raise ValueError("a search without an end: give evaluations or max_seconds")
    past: Sequence[Candidate] = [] if journal is None else list(journal.candidates)
    done: list[Candidate] = []
    spent, began = sum(c.seconds for c in islice(past, planned)), time.perf_counter()
    while planned is None or len(done) < planned:
        replay = len(done) < len(past)
        elapsed = spent + time.perf_counter() - began
        if max_seconds is not None and done and not replay and elapsed >= max_seconds:
            break
        limit = 1 if replay or score_many is None else PORTION
        asked = method.ask(limit if planned is None else min(limit, planned - len(done)))
        if not asked:
            break
        for candidate in (
            [_replayed(past[len(done)], asked[0], journal)]
            if replay
            else _scored(asked, score, score_many, costs, len(done))
        ):
            if journal is not None and not replay:
                journal.add(candidate)
            method.tell(candidate.architecture, goals.of(candidate))
            done.append(candidate)
            if on_progress is not None:
                on_progress(candidate, planned)
    return goals.ranked(done)


def _replayed(candidate: Candidate, asked: Architecture, journal: Journal | None) -> Candidate:
    """The candidate of the journal, if it is what the search asks for."""
    if candidate.digest == asked.digest:
        return replace(candidate, architecture=asked)
    raise RunError(
        f"evaluation {candidate.index} is of architecture {candidate.digest[:12]}, "
        f"but the search proposes {asked.digest[:12]}",
        where=str(journal.path) if journal else None,
        mend="the journal is of another search, or of another version of this "
        "library; start the search in a new folder",
    )


def _scored(
    asked: Sequence[Architecture],
    score: Callable[[Architecture], Score],
    score_many: Callable[[Sequence[Architecture]], Sequence[Score]] | None,
    costs: Callable[[Architecture], Mapping[str, float]] | None,
    index: int,
) -> list[Candidate]:
    """Candidates from number `index`; those scored together share the time it took."""
    start = time.perf_counter()
    scores = [score(a) for a in asked] if score_many is None else score_many(asked)
    seconds = (time.perf_counter() - start) / len(asked)
    return [
        Candidate(a, found, index + i, seconds, {} if costs is None else costs(a))
        for i, (a, found) in enumerate(zip(asked, scores, strict=True))
    ]
