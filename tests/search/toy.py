"""A toy search: a score that needs no network. `python -m tests.search.toy METHOD FOLDER`."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from nasrec.search import (
    METHODS,
    Candidate,
    EvolutionSettings,
    Goals,
    GuidedSettings,
    Journal,
    NSGA2Settings,
    Score,
    SearchMethod,
    search,
)
from nasrec.space import NASREC_FULL, Architecture, SearchSpace

SPACE = NASREC_FULL.with_(name="toy", blocks=3, dense_dims=(8, 16, 32), sparse_dims=(4, 8))
TINY = SearchSpace("tiny", ("FC",), ("EFC",), (4, 8), (2,), blocks=1)
SMALL_EVOLUTION = EvolutionSettings(population=8, generations=6, tournament=4, children=3)


def toy_score(architecture: Architecture) -> Score:
    """Wide is good, many connections are bad; some noise by digest; a NaN now and then."""
    noise = int(hashlib.md5(architecture.digest.encode()).hexdigest()[:6], 16) / 16**6
    if noise < 0.03:
        return Score(float("nan"))
    loss = sum(len(b.dense_inputs) - b.dense_dim / 32 for b in architecture.blocks)
    return Score(loss + noise, 0.5, 10)


def toy_costs(architecture: Architecture) -> dict[str, float]:
    """Wide is dear."""
    return {"madds": float(sum(b.dense_dim + b.sparse_dim for b in architecture.blocks))}


def goals_of(name: str) -> Goals:
    """Two goals for the methods that go by several."""
    return Goals(costs=("madds",) if name == "nsga2" else ())


def toy_losses(name: str, architecture: Architecture) -> tuple[float, ...]:
    return goals_of(name).losses(toy_score(architecture), toy_costs(architecture))


def build(name: str, space: SearchSpace = SPACE, seed: int = 3) -> SearchMethod:
    settings = {
        "evolution": SMALL_EVOLUTION,
        "guided": GuidedSettings(**SMALL_EVOLUTION.model_dump()),
        "nsga2": NSGA2Settings(population=8),
    }.get(name)
    return METHODS[name](space, settings, seed=seed)


def run(name: str, folder: Path | None = None, pause: float = 0.0, **kw) -> list[Candidate]:
    def score(architecture: Architecture) -> Score:
        time.sleep(pause)
        return toy_score(architecture)

    kw.setdefault("evaluations", 26)
    goals = {"goals": goals_of(name), "costs": toy_costs}
    if folder is None:
        return search(build(name), score, **kw, **goals)
    with Journal(folder / "journal.jsonl", {"method": name, "seed": 3}) as journal:
        return search(build(name), score, journal, **kw, **goals)


def summary(candidates: list[Candidate]) -> list[tuple]:
    return [(c.digest, c.index, json.dumps(c.score.logloss)) for c in candidates]


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), pause=0.05)
    print("finished")
