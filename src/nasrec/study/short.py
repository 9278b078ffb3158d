"""A few steps from scratch as a score: what the supernet's scores have to beat.

It needs no supernet, and costs as much as a score of the recipe `whole`: the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import DivergenceError
from nasrec.files import write_json
from nasrec.nn import NASRecNet
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.folder import read_json
from nasrec.pipeline.progress import Reporter
from nasrec.search import SCORE_RECIPES
from nasrec.search.correlation import Floats
from nasrec.space import Architecture
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import training_seconds
from nasrec.train import evaluate
from nasrec.train.loop import derive_seed, steps_per_epoch, train_steps
from nasrec.train.optim import build_optimizer

STEPS, BATCH = SCORE_RECIPES["whole"].finetune_steps, SCORE_RECIPES["whole"].finetune_batch
_STREAM = 23


def short_training(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    subnets: Sequence[Architecture],
    tell: Reporter,
) -> Floats:
    """(seeds, n) validation log loss after `STEPS` steps from scratch, on as many rows as scores.

    The schedule is that of a training of this length. One that diverges is infinitely bad. What an
    earlier call has finished is read.
    """
    return np.array(
        [_of_seed(path, data, config, subnets, seed, tell) for seed in config.supernet_seeds]
    )


def short_seconds(path: Path, data: PreparedData, config: StudyConfig) -> float:
    """About how many seconds of it are left, judged by the first seed's file."""
    file = path / "scores" / f"short-seed-{config.seed}.json"
    done = len(read_json(file)["losses"]) if file.is_file() else 0
    steps = config.training.epochs * steps_per_epoch(data.train, config.training)
    one = training_seconds(data, config) * STEPS / steps if done < config.subnets else 0.0
    return len(config.supernet_seeds) * (config.subnets - done) * one


def _of_seed(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    subnets: Sequence[Architecture],
    seed: int,
    tell: Reporter,
) -> list[float]:
    training = config.training.model_copy(update={"epochs": 1, "batch_size": BATCH})
    about = {"training": training.model_dump(), "valid_rows": config.scoring.valid_rows}
    file = path / "scores" / f"short-seed-{seed}.json"
    losses: dict[str, float | None] = {}
    if file.is_file() and (found := read_json(file))["about"] == about:
        losses = found["losses"]
    left = [a for a in subnets if a.digest not in losses]
    if left:
        train = some_rows(data.train, STEPS * BATCH, derive_seed(seed, _STREAM))
        valid = some_rows(data.valid, config.scoring.valid_rows, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tell.bar("Training for a few steps", "networks") as progress:
            for done, architecture in enumerate(left, start=1):
                network = NASRecNet(architecture, inputs_of(data), config.model, seed=seed)
                optimizer = build_optimizer(training)
                steps = train_steps(lambda _, n=network: n, train, optimizer, training, seed)  # type: ignore[misc]
                losses[architecture.digest] = _loss_after(steps, network, valid)
                write_json(file, {"about": about, "losses": losses})
                progress(done, len(left))
    return [np.inf if (loss := losses[a.digest]) is None else loss for a in subnets]


def _loss_after(steps: Any, network: NASRecNet, valid: Any) -> float | None:
    """Validation log loss after all steps; None where it is not a number."""
    try:
        for _ in steps:
            pass
        loss = evaluate(network, valid).logloss
    except DivergenceError:
        return None
    return loss if np.isfinite(loss) else None
