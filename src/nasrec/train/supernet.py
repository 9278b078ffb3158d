"""Training the shared weights: each mini-batch trains one sampled subnet (paper section 4.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import nn

from nasrec.nn import SharedWeights
from nasrec.space import PathSampler
from nasrec.space.sampling import Strategy
from nasrec.train.calm import head_factors, start_at_base_rate
from nasrec.train.checkpoint import Checkpoints
from nasrec.train.config import SupernetConfig
from nasrec.train.loop import (
    DEAL_STREAM,
    PATH_STREAM,
    Pace,
    derive_seed,
    label_loss,
    steps_per_epoch,
    train_steps,
)
from nasrec.train.optim import build_optimizer, no_factors
from nasrec.train.sandwich import Sandwich, at_widths, sandwich_loss

if TYPE_CHECKING:
    from nasrec.data import Split

LOG_STEPS = 50  # steps a record; the mean loss of 25,600 rows is steady to about 0.002


@dataclass(frozen=True)
class SupernetResult:
    """How the training went.

    Attributes:
        history: one record every 50 steps: step, epoch, train_logloss (mean over the sampled
            subnets), lr, rows_per_second, seconds.
        steps: steps done.
        seconds: time spent, summed over all runs of a resumed training.
    """

    history: list[dict[str, Any]]
    steps: int
    seconds: float


def train_supernet(
    shared: SharedWeights,
    train: Split,
    config: SupernetConfig | None = None,
    seed: int = 0,
    *,
    log: Callable[[Mapping[str, Any]], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> SupernetResult:
    """Train a search space's shared weights in place.

    Step t draws its subnet from a random stream of (seed, t), so no generator's state is saved.
    With `checkpoint`, a training that was killed goes on when called again with the same
    arguments and ends with the same weights, bit for bit; a finished one is not repeated.

    Args:
        shared: the weights.
        train: training rows.
        config: settings; the paper's by default.
        seed: decides row order and sampled subnets; the initial weights are the store's.
        log: called with each record of the history as it is made.
        checkpoint: folder of this training alone.
        checkpoint_seconds: time between checkpoints; one is written at the end in any case.
        progress: called with steps done and steps planned, after every step.

    Raises:
        DivergenceError: a loss is not finite; it says at which step and for which architecture.
        RunError: the checkpoint belongs to a training with other settings.
    """
    config = config or SupernetConfig()
    began, spent = time.perf_counter(), 0.0
    total = steps_per_epoch(train, config) * config.epochs
    sampler = PathSampler(
        shared.space,
        cast("Strategy", config.strategy),
        total_steps=total,
        warmup_fraction=config.path_warmup_fraction,
        fair=config.fair,
    )
    deals = derive_seed(seed, DEAL_STREAM)
    calm = config.head == "calm"
    optimizer = build_optimizer(config, shared.shape, head_factors if calm else no_factors)
    history: list[dict[str, Any]] = []
    pace, done = Pace(), 0

    store = None
    if checkpoint is not None:
        settings = {
            "kind": "supernet",
            "seed": seed,
            "config": config.model_dump(),
            "train_rows": len(train),
            "space": shared.space.to_dict(),
            "weights_seed": shared.seed,
            "options": vars(shared.options),
            "inputs": vars(shared.inputs),
        }
        store = Checkpoints(checkpoint, settings)
        if last := store.latest():
            shared.load(last.path / "weights.safetensors")
            optimizer.load(last.path / "optimizer.safetensors", shared.device)
            history, done, spent = last.state["history"], last.step, last.state["seconds"]
            pace = Pace(last.state["pace"])
    if calm and not done:
        start_at_base_rate(shared, train.click_rate)

    def seconds() -> float:
        return spent + time.perf_counter() - began

    def write(folder: Path) -> None:
        shared.save(folder / "weights.safetensors")
        optimizer.save(folder / "optimizer.safetensors")

    def network_for(step: int) -> nn.Module:
        rng = np.random.default_rng(derive_seed(seed, PATH_STREAM, step))
        path = sampler.sample(step, rng, deals)
        if not config.sandwich:
            return shared.subnet(path)
        ends = [at_widths(shared.space, path, largest) for largest in (True, False)]
        return Sandwich(shared, [*ends, sampler.sample(step, rng, deals)])

    saved = time.perf_counter()
    loss_of = sandwich_loss if config.sandwich else label_loss
    for step in train_steps(
        network_for, train, optimizer, config, seed, start=done, loss_of=loss_of
    ):
        done = step.done
        pace.add(step)
        if progress is not None:
            progress(done, total)
        if done % LOG_STEPS == 0 or done == total:
            loss, rate = pace.read()
            record = {
                "step": done,
                "epoch": step.epoch,
                "train_logloss": loss,
                "lr": step.lr,
                "rows_per_second": rate,
                "seconds": seconds(),
            }
            history.append(record)
            if log is not None:
                log(record)
        if store is not None and (
            done == total or time.perf_counter() - saved > checkpoint_seconds
        ):
            state = {"history": history, "seconds": seconds(), "pace": pace.state()}
            store.save(done, state, write)
            saved = time.perf_counter()
            pace.skip()
    return SupernetResult(history, done, seconds())
