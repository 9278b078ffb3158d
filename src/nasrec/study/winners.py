"""Searches of the studies: the best candidates of one, and what they are worth from scratch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.config import evolution_for
from nasrec.data import PreparedData
from nasrec.files import write_json
from nasrec.pipeline.candidates import settings_of
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import read_json
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial
from nasrec.search import METHODS, Goals, Journal, Score, Scorer, SearchMethod, search
from nasrec.serve import ModelSpec
from nasrec.space import Architecture
from nasrec.study.config import StudyConfig
from nasrec.study.scores import header, run_name, trained_supernet
from nasrec.study.truth import measured
from nasrec.study.variants import Variant
from nasrec.train.relax import RelaxConfig

KEPT = 20
"""Candidates of a search that are written down."""


def method_for(config: StudyConfig, method: str, seed: int, evaluations: int) -> SearchMethod:
    """A search method with settings for a number of evaluations."""
    settings = settings_of(method, evolution_for(evaluations), RelaxConfig())
    return METHODS[method](config.space, settings, seed=seed)


def best_found(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    name: str,
    supernet: Variant,
    scoring: str,
    seed: int,
    method: str,
    evaluations: int,
    tell: Reporter,
) -> list[Architecture]:
    """Candidates of one search over a variant's scores, best first."""
    folder = path / "searched" / run_name(name, seed)
    file = folder / f"{scoring.replace(' ', '-')}-{method}-{evaluations}.json"
    if not file.is_file():
        searching = method_for(config, method, seed, evaluations)
        shared, _ = trained_supernet(path, data, config, name, supernet, seed, tell)
        settings = config.scorings[scoring]
        about = header(data, config, supernet, settings, seed)
        about |= {"evaluations": evaluations, "method": method}
        if searching.learns:
            with tell.bar(f"Learning choices, {method}", "steps") as progress:
                searching.learn(shared, data.train, progress)
        with (
            Journal(file.with_suffix(".jsonl"), about) as journal,
            tell.bar(f"Searching with {name}, {scoring}, {method}", "candidates") as progress,
        ):
            found = search(
                searching,
                Scorer(shared, data.train, data.valid, settings, seed),
                journal,
                evaluations=evaluations,
                on_progress=lambda c, planned: progress(c.index + 1, planned or c.index + 1),
            )
        write_json(file, {"best": [c.architecture.to_dict() for c in Goals().top(found, KEPT)]})
    return [Architecture.from_dict(one) for one in read_json(file)["best"]]


def best_from_scratch(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    seed: int,
    method: str,
    evaluations: int,
    tell: Reporter,
) -> list[Architecture]:
    """Candidates of a search whose score is validation after training from scratch, best first."""

    def score(architecture: Architecture) -> Score:
        return Score(from_scratch(path, data, config, architecture, seed, tell)["valid"])

    searching = method_for(config, method, seed, evaluations)
    found = search(searching, score, evaluations=evaluations)
    return [candidate.architecture for candidate in found]


def from_scratch(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    architecture: Architecture,
    seed: int,
    tell: Reporter,
) -> dict[str, Any]:
    """One network trained and tested; see `measured`. What was done before is read."""
    spec = ModelSpec("nasrec", inputs_of(data), config.model, architecture)
    name = f"{architecture.digest[:12]}-seed-{seed}"
    trial = Trial(name, "searched", spec, config.training, seed)
    return measured(trial, data, path / "models" / name, tell)


def tested(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    best: list[Architecture],
    seed: int,
    tell: Reporter,
) -> float:
    """Test log loss of the one that validation chooses, each trained from scratch."""
    found = [from_scratch(path, data, config, one, seed, tell) for one in best]
    return float(min(found, key=lambda f: (not np.isfinite(f["valid"]), f["valid"]))["logloss"])


def forget_supernets(path: Path, config: StudyConfig, names: Iterable[str]) -> None:
    """Delete the weights that searches have used."""
    for seed in config.repeats:
        for name in names:
            shutil.rmtree(path / "supernet" / run_name(name, seed), ignore_errors=True)
