"""How long a study will take here, told before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nasrec.data import PreparedData
from nasrec.nn import NASRecNet, SharedWeights
from nasrec.pipeline.budget import seconds_a_step
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.progress import Reporter
from nasrec.search import Scorer
from nasrec.space import Architecture
from nasrec.study.config import StudyConfig
from nasrec.study.scores import files_of, unscored
from nasrec.study.truth import diverged, draw_subnets, folder_of, seeds_for
from nasrec.study.variants import Variant
from nasrec.train import train_supernet
from nasrec.train.loop import steps_per_epoch

_TIMED = 4  # subnets; their times differ by a factor of two or three
_STEPS = 20  # of a supernet: enough for its path warm-up to take its usual share
_FORWARD = 1 / 3  # of a training step: the backward pass is two more forward passes


def truth_seconds(path: Path, data: PreparedData, config: StudyConfig) -> float:
    """Seconds for the trainings from scratch that are not done yet."""
    subnets = draw_subnets(config)
    left = [
        architecture
        for number, architecture in enumerate(subnets)
        for seed in seeds_for(number, config)
        if not (folder_of(path, number, seed) / "test.json").is_file()
    ]
    if not left:
        return 0.0
    return len(left) * training_seconds(data, config, left[:: -(-len(left) // _TIMED)])


def training_seconds(
    data: PreparedData, config: StudyConfig, subnets: Sequence[Architecture] | None = None
) -> float:
    """Seconds of one training from scratch, validation and test included; mean over subnets."""
    training, inputs, steps = config.training, inputs_of(data), []
    for architecture in draw_subnets(config)[:_TIMED] if subnets is None else subnets:
        network = NASRecNet(architecture, inputs, config.model)
        steps.append(seconds_a_step(lambda _, n=network: n, data.train, training))  # type: ignore[misc]
    looks = training.epochs * training.evaluations_per_epoch * len(data.valid) + len(data.test)
    rows = min(training.batch_size, len(data.train))
    count = training.epochs * steps_per_epoch(data.train, training) + looks * _FORWARD / rows
    return count * sum(steps) / len(steps)


def scores_seconds(
    path: Path, data: PreparedData, config: StudyConfig, variants: Mapping[str, Variant]
) -> float:
    """Seconds for the scores that are not there yet, and the supernets that they need."""
    total = 0.0
    subnets = [a for i, a in enumerate(draw_subnets(config)) if not diverged(path, i, config)]
    for name, supernet in variants.items():
        left = {
            (seed, scoring): missing
            for seed in config.supernet_seeds
            for scoring, file in files_of(path, config, name, supernet, seed).items()
            if (missing := len(unscored(file, subnets)))
        }
        if not left:
            continue
        shared = SharedWeights(config.space, inputs_of(data), config.model, seed=config.seed)
        if supernet.trained:
            few = some_rows(data.train, _STEPS * supernet.batch_size, config.seed)
            short = supernet.model_copy(update={"epochs": 1})
            timed = train_supernet(shared, few, short, config.seed)
            rows = supernet.rows_of(data.train, config.seed)
            steps = supernet.epochs * steps_per_epoch(rows, supernet)
            total += len({seed for seed, _ in left}) * timed.seconds * steps / timed.steps
        for scoring in {scoring for _, scoring in left}:
            began = time.perf_counter()
            scorer = Scorer(shared, data.train, data.valid, config.scorings[scoring], config.seed)
            for architecture in subnets[:2]:
                scorer(architecture)
            each = (time.perf_counter() - began) / 2
            total += each * sum(count for (_, one), count in left.items() if one == scoring)
    return total


def tell_time(tell: Reporter, parts: Mapping[str, float]) -> None:
    """Say how long the parts of a study will take, before it starts; nothing where all is done."""
    if not any(parts.values()):
        return
    each = ", ".join(f"{name} {_told(seconds)}" for name, seconds in parts.items() if seconds)
    tell.say(f"This takes about {_told(sum(parts.values()))}: {each}")


def _told(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 2):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
