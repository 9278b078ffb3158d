"""The supernet's opinion: scores of the ground truth's subnets under each way of training it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import DivergenceError
from nasrec.files import write_json
from nasrec.nn import SharedWeights
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import read_json
from nasrec.pipeline.progress import Reporter
from nasrec.search import Journal, ScoreConfig, Scorer
from nasrec.search.candidate import Candidate
from nasrec.search.correlation import Floats
from nasrec.search.journal import read_records
from nasrec.space import Architecture
from nasrec.study.config import StudyConfig
from nasrec.study.variants import Variant
from nasrec.train import CRITERIA, SupernetResult, train_supernet


@dataclass(frozen=True)
class Scores:
    """What one variant says of the subnets.

    Attributes:
        logloss: by scoring, (seeds, n) validation log loss; infinite where it is not a number.
        supernet_seconds: training of the shared weights, mean over seeds.
        score_seconds: by scoring, of one subnet, mean over subnets and seeds.
        failed: why there are none, if a supernet diverged.
    """

    logloss: dict[str, Floats]
    supernet_seconds: float
    score_seconds: dict[str, float]
    failed: str | None = None


def files_of(
    path: Path, config: StudyConfig, name: str, supernet: Variant, seed: int
) -> dict[str, Path]:
    """The journals of one supernet, by scoring."""
    folder = path / "scores" / run_name(name, seed)
    scorings = config.scorings_with(supernet.trained)
    return {scoring: folder / f"{scoring.replace(' ', '-')}.jsonl" for scoring in scorings}


def unscored(journal: Path, subnets: Sequence[Architecture]) -> list[Architecture]:
    """Those whose scores are not in a journal."""
    known = {one["digest"] for one in read_records(journal)} if journal.is_file() else set()
    return [architecture for architecture in subnets if architecture.digest not in known]


def run_name(name: str, seed: int) -> str:
    """Folder of a variant with a seed; a colon is no letter of file names everywhere."""
    return f"{name.replace(':', '-epochs-')}-seed-{seed}"


def trained_supernet(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    name: str,
    supernet: Variant,
    seed: int,
    tell: Reporter,
) -> tuple[SharedWeights, SupernetResult]:
    """Train shared weights, or go on with those in the study's folder; the caller deletes them."""
    shared = SharedWeights(config.space, inputs_of(data), config.model, seed=seed)
    if not supernet.trained:
        return shared, SupernetResult([], 0, 0.0)
    train = supernet.rows_of(data.train, seed)
    batch, folder = min(supernet.batch_size, len(train)), run_name(name, seed)
    with tell.bar(f"Training supernet {folder}", "rows", batch) as progress:
        checkpoint = path / "supernet" / folder
        result = train_supernet(
            shared, train, supernet, seed, checkpoint=checkpoint, progress=progress
        )
    return shared, result


def variant_scores(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    name: str,
    supernet: Variant,
    subnets: list[Architecture],
    tell: Reporter,
) -> Scores:
    """Train one supernet a seed and score all subnets with it, by every scoring.

    What an earlier call has finished is read: a supernet whose scores are there is not trained,
    and its weights are not kept. Where subnets have come since it is trained once more, the same,
    and scores those.
    """
    losses: dict[str, list[Floats]] = {s: [] for s in config.scorings_with(supernet.trained)}
    times: dict[str, list[float]] = {scoring: [] for scoring in losses}
    seconds = []
    for seed in config.supernet_seeds:
        files = files_of(path, config, name, supernet, seed)
        done = next(iter(files.values())).with_name("supernet.json")
        known = read_json(done) if done.is_file() else None
        if known is None or (
            known["failed"] is None and any(unscored(file, subnets) for file in files.values())
        ):
            done.unlink(missing_ok=True)
            try:
                _score_all(path, data, config, name, supernet, seed, subnets, tell)
            except DivergenceError as error:
                write_json(done, {"failed": str(error), "seconds": 0.0})
            shutil.rmtree(path / "supernet" / done.parent.name, ignore_errors=True)
        told = read_json(done)
        if told["failed"] is not None:
            return Scores({}, 0.0, {}, told["failed"])
        seconds.append(told["seconds"])
        for scoring, file in files.items():
            about = header(data, config, supernet, config.scorings[scoring], seed)
            with Journal(file, about) as journal:
                found = {c.digest: c for c in journal.candidates}
            losses[scoring].append(
                np.array([CRITERIA["logloss"].loss(found[a.digest].score) for a in subnets])
            )
            times[scoring] += [c.seconds for c in found.values()]
    return Scores(
        {scoring: np.stack(rows) for scoring, rows in losses.items()},
        float(np.mean(seconds)),
        {scoring: float(np.mean(taken)) for scoring, taken in times.items()},
    )


def _score_all(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    name: str,
    supernet: Variant,
    seed: int,
    subnets: list[Architecture],
    tell: Reporter,
) -> None:
    shared, result = trained_supernet(path, data, config, name, supernet, seed, tell)
    files = files_of(path, config, name, supernet, seed)
    for scoring, file in files.items():
        settings = config.scorings[scoring]
        scorer = Scorer(shared, data.train, data.valid, settings, seed)
        with (
            Journal(file, header(data, config, supernet, settings, seed)) as journal,
            tell.bar(f"Scoring with {name}, {scoring}", "subnets") as progress,
        ):
            for architecture in unscored(file, subnets):
                began, number = time.perf_counter(), len(journal.candidates)
                score = scorer(architecture)
                journal.add(Candidate(architecture, score, number, time.perf_counter() - began))
                progress(number + 1, len(subnets))
    done = next(iter(files.values())).with_name("supernet.json")
    write_json(done, {"failed": None, "seconds": result.seconds})


def header(
    data: PreparedData,
    config: StudyConfig,
    supernet: Variant,
    scoring: ScoreConfig,
    seed: int,
) -> dict[str, Any]:
    """What a journal of scores depends on."""
    return {
        "fingerprint": data.fingerprint,
        "rows": config.rows,
        "seed": seed,
        "space": config.space.to_dict(),
        "supernet": supernet.model_dump(),
        "scoring": scoring.model_dump(),
    }
