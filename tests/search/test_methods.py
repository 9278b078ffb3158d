"""The battery that every search method has to pass; a new one joins by registering itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from nasrec.errors import RunError
from nasrec.search import METHODS, Journal, register, search
from nasrec.search.random import RandomSearch
from tests.search.toy import (
    SPACE,
    TINY,
    build,
    goals_of,
    run,
    summary,
    toy_costs,
    toy_losses,
    toy_score,
)

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.parametrize("name", sorted(METHODS))


def test_the_seed_decides(name) -> None:
    assert summary(run(name)) == summary(run(name))
    kw = {"goals": goals_of(name), "costs": toy_costs}
    other = search(build(name, seed=4), toy_score, evaluations=26, **kw)
    assert summary(other) != summary(run(name))


def test_no_repetition_and_valid_architectures(name) -> None:
    found = run(name)
    assert len({c.digest for c in found}) == len(found)
    for candidate in found:
        SPACE.validate(candidate.architecture)


def test_the_budget_is_kept(name) -> None:
    for budget in (1, 5, 26):
        assert len(run(name, evaluations=budget)) == budget
    assert [c.index for c in sorted(run(name), key=lambda c: c.index)] == list(range(26))


def test_ranked_best_first_with_nan_last(name) -> None:
    found = run(name)
    losses = [math.inf if math.isnan(c.score.logloss) else c.score.logloss for c in found]
    assert list(zip(losses, [c.digest for c in found], strict=True)) == sorted(
        zip(losses, [c.digest for c in found], strict=True)
    )
    goals = goals_of(name)
    assert goals.top(found, 3) == found[:3]
    assert len(goals.top(found + found, 100)) == len(found)


def test_tiny_spaces_end(name) -> None:
    method = build(name, TINY)
    found = search(method, toy_score, goals=goals_of(name), costs=toy_costs, evaluations=1000)
    assert method.stopped is not None
    reachable = {TINY.sample(method.rng).digest for _ in range(500)}
    assert {c.digest for c in found} == reachable


def test_portions_do_not_change_the_sequence(name) -> None:
    one, many = build(name), build(name)
    sequence: list[str] = []
    while len(sequence) < 26 and (asked := many.ask(limit=5)):
        for architecture in asked:
            many.tell(architecture, toy_losses(name, architecture))
        sequence += [architecture.digest for architecture in asked]
    for digest in sequence:
        (architecture,) = one.ask()
        assert architecture.digest == digest
        one.tell(architecture, toy_losses(name, architecture))


@pytest.mark.parametrize("at", [0, 1, 7, 8, 12, 25, 26])
def test_replay_from_a_journal_cut_anywhere(name, at, tmp_path: Path) -> None:
    expected = summary(run(name, tmp_path))
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 27
    path.write_bytes(b"".join(lines[: at + 1]))
    assert summary(run(name, tmp_path)) == expected
    again = path.read_bytes().splitlines()
    strip = [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in again]
    assert strip == [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]


@pytest.mark.parametrize("at", [0, 5, 11, 25])
def test_scoring_in_portions_changes_nothing(name, at, tmp_path: Path) -> None:
    sizes = []

    def many(architectures):
        sizes.append(len(architectures))
        return [toy_score(a) for a in architectures]

    expected = summary(run(name))
    assert summary(run(name, tmp_path, score_many=many)) == expected
    assert max(sizes) > 1
    assert sum(sizes) == 26
    path = tmp_path / "journal.jsonl"  # killed, perhaps in the middle of writing a portion
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: at + 1]))
    assert summary(run(name, tmp_path, score_many=many)) == expected
    assert sum(sizes) == 26 + 26 - at


def test_a_time_limit_ends_the_search_and_a_longer_one_goes_on(name, tmp_path: Path) -> None:
    some = run(name, tmp_path, max_seconds=0.0)
    assert len(some) == 1
    assert summary(run(name, tmp_path, max_seconds=0.0)) == summary(some)
    assert summary(run(name, tmp_path, max_seconds=1e9)) == summary(run(name))


def test_a_journal_of_another_search_is_refused(name, tmp_path: Path) -> None:
    kw = {"goals": goals_of(name), "costs": toy_costs}
    with Journal(tmp_path / "j", {}) as journal:
        search(build(name, seed=4), toy_score, journal, evaluations=3, **kw)
    with Journal(tmp_path / "j", {}) as journal, pytest.raises(RunError, match="new folder"):
        search(build(name, seed=3), toy_score, journal, evaluations=3, **kw)


def test_a_name_is_taken_once(name) -> None:
    class Twin(RandomSearch):
        pass

    Twin.name = name
    with pytest.raises(ValueError, match=name):
        register(Twin)
