"""Choosing the sizes of a search so that it takes about so many minutes here, on these data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from torch import nn

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split
from nasrec.errors import ConfigError
from nasrec.nn import NASRecNet, SharedWeights, build_baseline
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.progress import Reporter
from nasrec.search import Scorer
from nasrec.space import PathSampler
from nasrec.train import (
    LoopConfig,
    Optimizer,
    TrainConfig,
    build_optimizer,
    evaluate,
    train_steps,
)
from nasrec.train.loop import steps_per_epoch
from nasrec.train.metrics import EVALUATION_BATCH

SHARES = {"supernet": 0.35, "search": 0.2, "retrain": 0.45}
"""Parts of the budget. Retraining decides what is taken home, and the supernet whether the right
architectures get there; scoring is cheap."""
MOST = {"supernet_epochs": 8, "evaluations": 2048, "top_k": 15}
"""More does not help: the paper's search has 2048 evaluations and retrains 15."""
FEWEST_EVALUATIONS = 16
_STEPS = 6  # timed steps of each kind; their time varies by a few percent


@dataclass(frozen=True)
class Measured:
    """Speeds of this machine on these data.

    Attributes:
        supernet_rows: rows a second of a supernet's training.
        candidate_seconds: to score one candidate.
        retrain_seconds: for one pass over the training rows and one validation, mean over the
            models that are compared.
    """

    supernet_rows: float
    candidate_seconds: float
    retrain_seconds: float


def seconds_a_step(
    network_for: Callable[[int], nn.Module],
    rows: Split,
    config: LoopConfig,
    optimizer: Optimizer | None = None,
    steps: int = _STEPS,
) -> float:
    """Mean time of a few training steps, without the first, which allocates."""
    optimizer = optimizer or build_optimizer(config)
    taken, last = [], time.perf_counter()
    for _ in islice(train_steps(network_for, rows, optimizer, config, seed=0), steps):
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return float(np.mean(taken[1:] or taken))


def measure(config: SearchConfig, data: PreparedData) -> Measured:
    """Time some steps of each kind, a few seconds in all."""
    inputs, rng = inputs_of(data), np.random.default_rng(config.seed)
    shared = SharedWeights(config.space, inputs, config.supernet_options, seed=config.seed)
    sampler = PathSampler(config.space, total_steps=1, warmup_fraction=0.0)
    batch = min(config.supernet.batch_size, len(data.train))

    supernet, optimizer = config.supernet, build_optimizer(config.supernet, shared.shape)

    def supernet_step(network_for: Callable[[int], nn.Module]) -> float:
        return seconds_a_step(network_for, data.train, supernet, optimizer)

    sampled = supernet_step(lambda i: shared.subnet(sampler.sample(i, rng)))
    # A warm-up of one fifth trains the full supernet in a tenth of all steps.
    full = supernet_step(lambda _: shared.subnet(config.space.maximal(rng)))
    share = supernet.path_warmup_fraction / 2
    step = (1 - share) * sampled + share * full

    scorer = Scorer(shared, data.train, data.valid, config.scoring, config.seed)
    candidates = [config.space.sample(rng) for _ in range(3)]
    scorer(candidates[0])
    began = time.perf_counter()
    for candidate in candidates[1:]:
        scorer(candidate)
    candidate_seconds = (time.perf_counter() - began) / 2

    models: list[nn.Module] = [NASRecNet(config.space.sample(rng), inputs, config.model)]
    models += [build_baseline(name, inputs, config.model) for name in config.baselines]
    passes = [epoch_seconds(model, config.retrain, data) for model in models]
    return Measured(batch / step, candidate_seconds, float(np.mean(passes)))


def epoch_seconds(
    model: nn.Module, config: TrainConfig, data: PreparedData, steps: int = _STEPS
) -> float:
    """Time of one pass over the training rows with its validations, from a few steps and one."""
    one = seconds_a_step(lambda _: model, data.train, config, steps=steps)
    some = some_rows(data.valid, EVALUATION_BATCH, 0)
    began = time.perf_counter()
    evaluate(model, some)
    taken = (time.perf_counter() - began) * len(data.valid) / max(1, len(some))
    looks = config.evaluations_per_epoch * taken
    return one * steps_per_epoch(data.train, config) + looks


def fit_to_budget(
    config: SearchConfig, data: PreparedData, minutes: float, tell: Reporter
) -> tuple[SearchConfig, dict[str, float]]:
    """The settings with the sizes that fit into so many minutes, and what was measured.

    Chosen are the supernet's rows or epochs, the number of evaluations, `top_k`, and how many of
    the recipes are tried. What else is in the settings stays.
    """
    if not minutes > 0:
        raise ConfigError(f"the budget is {minutes} minutes", mend="give a positive number")
    tell.say("Measuring this machine, to fit the search into the budget")
    began = time.perf_counter()
    measured = measure(config, data)
    seconds = max(1.0, 60 * minutes - (time.perf_counter() - began))
    resolved = sized(config, measured, len(data.train), seconds)
    tell.say(
        f"In {minutes:g} minutes: {_supernet_told(resolved, len(data.train))}, "
        f"{resolved.planned_evaluations} candidates scored, "
        f"{resolved.trainings} trainings of each model"
    )
    return resolved, asdict(measured)


def sized(
    config: SearchConfig, measured: Measured, train_rows: int, seconds: float
) -> SearchConfig:
    """The settings with sizes for so many seconds at these speeds."""
    one = config.retrain.epochs * measured.retrain_seconds
    a_training = (1 + len(config.baselines) + bool(config.from_scratch_random)) * one
    fixed = max(0, config.from_scratch_random - 1) * one
    for_retraining = max(0.0, SHARES["retrain"] * seconds - fixed)
    # Recipes go before ranks: they change more. Without time for one more there is no second.
    trainings = max(1, int(for_retraining / a_training))
    recipes = config.recipes[:trainings]
    top_k = min(MOST["top_k"], trainings - len(recipes) + 1)
    left = max(seconds - fixed - (top_k + len(recipes) - 1) * a_training, 0.2 * seconds)
    search = SHARES["search"] / (SHARES["search"] + SHARES["supernet"])
    evaluations = int(left * search / measured.candidate_seconds)
    evaluations = max(FEWEST_EVALUATIONS, top_k, min(MOST["evaluations"], evaluations))
    for_supernet = max(left - evaluations * measured.candidate_seconds, 0.1 * seconds)
    rows = int(for_supernet * measured.supernet_rows)
    epochs = max(1, min(MOST["supernet_epochs"], rows // train_rows))
    return config.replaced(
        top_k=top_k,
        recipes=recipes,
        supernet=config.supernet.model_copy(update={"epochs": epochs}),
        supernet_rows=max(1, rows) if rows < train_rows else None,
        **_evolution(config, evaluations),
    )


def _evolution(config: SearchConfig, evaluations: int) -> dict[str, Any]:
    scaled = config.with_evaluations(max(evaluations, config.top_k))
    return {"evaluations": evaluations, "evolution": scaled.evolution}


def _supernet_told(config: SearchConfig, train_rows: int) -> str:
    if config.supernet_rows is not None:
        return f"the supernet on {config.supernet_rows:,} of {train_rows:,} rows"
    epochs = config.supernet.epochs
    return f"the supernet for {epochs} epoch{'s' if epochs > 1 else ''}"
