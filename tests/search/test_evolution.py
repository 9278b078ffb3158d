from __future__ import annotations

import numpy as np
import pytest

from nasrec.errors import ConfigError
from nasrec.search import Evolution, EvolutionSettings, search
from nasrec.space import Architecture
from tests.search.toy import SPACE, TINY, toy_score


def naive(settings: EvolutionSettings, seed: int) -> list[str]:
    """Regularised evolution written straight from its description: digests in their order."""
    rng = np.random.default_rng(seed)
    history: list[tuple[float, Architecture]] = []

    def add(draw) -> None:
        architecture = draw()
        while architecture.digest in {a.digest for _, a in history}:
            architecture = draw()
        loss = toy_score(architecture).logloss
        history.append((float("inf") if np.isnan(loss) else loss, architecture))

    for _ in range(settings.population):
        add(lambda: SPACE.sample(rng))
    for generation in range(settings.generations):
        alive = history[-settings.population :]  # the youngest; all older ones have left
        drawn = sorted(rng.choice(len(alive), settings.tournament, replace=False))
        loss, parent = alive[drawn[0]]
        for i in drawn:
            if alive[i][0] < loss:
                loss, parent = alive[i]
        count = 1
        if settings.mutations == "falling":
            total = settings.generations
            count = (total - generation) // max(20, total // 5) + 1
        for _ in range(settings.children):
            add(lambda: SPACE.mutate(parent, rng, mutations=count))  # noqa: B023
    return [a.digest for _, a in history]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "settings",
    [
        EvolutionSettings(population=10, generations=12, tournament=4, children=3),
        EvolutionSettings(population=4, generations=10, tournament=4, children=8),
        EvolutionSettings(
            population=10, generations=41, tournament=1, children=2, mutations="falling"
        ),
    ],
)
def test_against_a_naive_evolution(settings, seed) -> None:
    method = Evolution(SPACE, settings, seed=seed)
    found = sorted(search(method, toy_score), key=lambda c: c.index)
    assert [c.digest for c in found] == naive(settings, seed)
    assert len(found) == method.evaluations
    assert method.ask() == []
    assert "generations are done" in str(method.stopped)


def test_the_oldest_leave_however_good() -> None:
    settings = EvolutionSettings(population=6, generations=5, tournament=6, children=2)
    method = Evolution(SPACE, settings)
    told: list[Architecture] = []
    for generation in range(6):
        for architecture in method.ask(100):
            # the very first is by far the best, then everything gets worse
            method.tell(architecture, [float(len(told))])
            told.append(architecture)
        assert [a for _, a in method.population] == told[-6:]
        if generation:
            assert len(told) == 6 + 2 * generation
    assert told[0] not in [a for _, a in method.population]


def test_children_are_mutants_of_the_best_of_the_tournament() -> None:
    settings = EvolutionSettings(population=20, generations=1, tournament=20, children=5)
    method = Evolution(SPACE, settings)
    first = method.ask(100)
    assert len(first) == 20
    assert method.ask() == []  # their scores are owed
    assert method.stopped is None
    for i, architecture in enumerate(first):
        method.tell(architecture, [abs(i - 13)])
    for child in method.ask(100):
        changed = [a != b for a, b in zip(child.blocks, first[13].blocks, strict=True)]
        assert sum(changed) == 1


def test_the_papers_settings() -> None:
    method = Evolution(SPACE)
    assert method.evaluations == 128 + 240 * 8 == 2048
    assert {method.mutations(g) for g in range(240)} == {1}
    falling = Evolution(SPACE, EvolutionSettings(mutations="falling"))
    counts = [falling.mutations(g) for g in range(240)]
    assert counts[0] == 6
    assert counts[-1] == 1
    assert counts == sorted(counts, reverse=True)


def test_a_space_smaller_than_the_population_ends() -> None:
    method = Evolution(TINY, seed=1)
    found = search(method, toy_score)
    assert 0 < len(found) < 128
    assert "gave no other" in str(method.stopped)


def test_wrong_settings_and_calls() -> None:
    with pytest.raises(ConfigError, match="tournament"):
        EvolutionSettings(population=10, tournament=64)
    with pytest.raises(ConfigError, match="children = 0"):
        EvolutionSettings(children=0)
    with pytest.raises(ValueError, match="asked for"):
        Evolution(SPACE).tell(SPACE.maximal(), [1.0])
