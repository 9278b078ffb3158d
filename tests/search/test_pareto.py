"""Fronts and NSGA-II against plain loops over their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec.errors import ConfigError
from nasrec.search import NSGA2, Goals, NSGA2Settings, Score, search
from nasrec.search.goals import parse_objectives
from nasrec.search.pareto import crowding, fronts, spread
from tests.search.toy import SPACE, toy_costs, toy_score

value = st.one_of(st.integers(0, 4).map(float), st.just(math.inf))
points_of = st.integers(1, 3).flatmap(
    lambda m: st.lists(st.tuples(*[value] * m), min_size=1, max_size=25)
)


def dominates(a, b) -> bool:
    better = False
    for x, y in zip(a, b, strict=True):
        if x > y:
            return False
        better = better or x < y
    return better


def naive_fronts(points) -> list[list[int]]:
    left, found = list(range(len(points))), []
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        found.append(front)
        left = [i for i in left if i not in front]
    return found


def naive_crowding(points) -> list[float]:
    found = [0.0] * len(points)
    for k in range(len(points[0])):
        order = sorted(range(len(points)), key=lambda i: points[i][k])
        low, high = points[order[0]][k], points[order[-1]][k]
        found[order[0]] = found[order[-1]] = math.inf
        if high == low or math.isinf(high):
            continue
        for before, i, after in zip(order, order[1:], order[2:], strict=False):
            found[i] += (points[after][k] - points[before][k]) / (high - low)
    return found


@given(points_of)
def test_fronts_and_crowding_against_loops(points) -> None:
    assert fronts(points) == naive_fronts(points)
    assert crowding(points).tolist() == pytest.approx(naive_crowding(points))


@given(points_of, st.integers(1, 30))
def test_a_spread_choice_takes_better_fronts_first(points, count) -> None:
    chosen = spread(points, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(points))
    rank = {i: number for number, front in enumerate(naive_fronts(points)) for i in front}
    assert [rank[i] for i in chosen] == sorted(rank[i] for i in chosen)
    assert points[chosen[0]][0] == min(points[i][0] for i in rank if rank[i] == 0)


def test_a_spread_choice_has_the_ends_and_then_the_middle() -> None:
    line = [(float(i), float(10 - i)) for i in range(11)]
    assert spread(line, 3) == [0, 10, 5]
    assert spread([*line, (99.0, 99.0)], 12)[-1] == 11


def naive_nsga2(population: int, evaluations: int, seed: int, goals: Goals) -> list[str]:
    """The method written straight from its description: digests in their order."""
    rng = np.random.default_rng(seed)
    history = []

    def add(draw) -> None:
        architecture = draw()
        while architecture.digest in {a.digest for _, a in history}:
            architecture = draw()
        losses = goals.losses(toy_score(architecture), toy_costs(architecture))
        history.append((losses, architecture))

    alive: list[tuple[tuple[int, float], tuple, object]] = []

    def parent():
        i, j = rng.integers(len(alive), size=2)
        return (alive[j] if alive[j][0] < alive[i][0] else alive[i])[2]

    def child():
        a = parent()
        if rng.random() < 0.9:
            b = parent()
            coins = rng.random(len(a.blocks)) < 0.5
            blocks = [b.blocks[i] if c else a.blocks[i] for i, c in enumerate(coins)]
            a = type(a)(tuple(blocks))
            SPACE.validate(a)
        return SPACE.mutate(a, rng)

    while len(history) < evaluations:
        born = len(history)
        for _ in range(population):
            add(child if born else lambda: SPACE.sample(rng))
        pool = [(losses, a) for _, losses, a in alive] + history[born:]
        alive = []
        for number, front in enumerate(naive_fronts([losses for losses, _ in pool])):
            lonely = naive_crowding([pool[i][0] for i in front])
            ordered = sorted(zip(front, lonely, strict=True), key=lambda pair: -pair[1])
            for i, distance in ordered:
                if len(alive) < population:
                    alive.append(((number, -distance), *pool[i]))
    return [a.digest for _, a in history][:evaluations]


@pytest.mark.parametrize("seed", [0, 1])
def test_against_a_naive_nsga2(seed) -> None:
    goals = Goals(costs=("madds",))
    method = NSGA2(SPACE, NSGA2Settings(population=7), seed=seed)
    found = search(method, toy_score, goals=goals, costs=toy_costs, evaluations=42)
    by_order = sorted(found, key=lambda c: c.index)
    assert [c.digest for c in by_order] == naive_nsga2(7, 42, seed, goals)


def test_it_finds_a_better_front_than_random_search() -> None:
    """Dominated area left of a reference point, the mean over seeds."""

    def area(method) -> float:
        goals = Goals(costs=("madds",))
        found = search(method, toy_score, goals=goals, costs=toy_costs, evaluations=120)
        points = sorted(p for c in found if math.isfinite((p := goals.of(c))[0]))
        total, best = 0.0, math.log(200)
        for loss, cost in points:
            if cost < best:
                total, best = total + (best - cost) * (10 - loss), cost
        return total

    seeds = range(5)
    from nasrec.search import RandomSearch

    evolved = np.mean([area(NSGA2(SPACE, NSGA2Settings(population=20), seed=s)) for s in seeds])
    drawn = np.mean([area(RandomSearch(SPACE, seed=s)) for s in seeds])
    assert evolved > drawn


def test_goals() -> None:
    score = Score(0.5, 0.7, 10, math.nan, 0.9)
    assert Goals().losses(score, {}) == (0.5,)
    assert Goals("auc").losses(score, {}) == (-0.7,)
    assert Goals("auc", ("madds", "bytes")).losses(score, {"madds": 1, "bytes": math.e}) == (
        -0.7, 0.0, 1.0,
    )  # fmt: skip
    assert Goals("grouped-auc", ("madds",)).losses(score, {"madds": 5}) == (math.inf, math.inf)


def test_objectives_by_name() -> None:
    assert parse_objectives("logloss, madds") == ("logloss", ("madds",))
    assert parse_objectives("latency,bytes") == (None, ("latency", "bytes"))
    for text, match in (
        ("logloss,mads", "did you mean 'madds'"),
        ("logloss,auc,madds", "both criteria"),
        ("madds,madds", "twice"),
    ):
        with pytest.raises(ConfigError, match=match):
            parse_objectives(text)
