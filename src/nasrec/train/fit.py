"""Training one network from scratch: epochs, validation, early stopping, going on after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nasrec.errors import RunError
from nasrec.files import finite
from nasrec.train.checkpoint import Checkpoints
from nasrec.train.config import TrainConfig
from nasrec.train.criteria import CRITERIA, Criterion
from nasrec.train.device import device_of
from nasrec.train.loop import Pace, steps_per_epoch, train_steps
from nasrec.train.metrics import Metrics, metrics_on, predict_logits
from nasrec.train.optim import build_optimizer
from nasrec.train.platt import UNCHANGED, Platt, calibrated
from nasrec.train.rates import learn_rates

if TYPE_CHECKING:
    from nasrec.data import Split

MEASURED = ("logloss", "auc", "ece", "bias", "grouped_auc", "normalized_entropy")
Log = Callable[[Mapping[str, Any]], None]
Progress = Callable[[int, int], None]

#: Share of its peak that the rate keeps however often it is reduced.
LEAST_RATE = 1e-3


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Attributes:
        best: validation metrics of the weights the model now has; None without validation rows.
        best_step: the step after which they were measured.
        history: one record an evaluation: step, epoch, train_logloss, each of `MEASURED` on
            validation (valid_logloss, ...), slope and intercept of the calibration that these are
            measured with, lr, rows_per_second, seconds.
        steps: steps done; fewer than planned after an early stop.
        seconds: time spent, summed over all runs of a resumed training.
        calibration: of the weights the model now has, with which `best` was measured; none without
            `TrainConfig.calibrate`.
    """

    best: Metrics | None
    best_step: int
    history: list[dict[str, Any]]
    steps: int
    seconds: float
    calibration: Platt = UNCHANGED


def _best(history: list[dict[str, Any]], criterion: Criterion) -> int:
    """Index of the evaluation that is best by the criterion, the first of equals."""
    losses = [criterion.loss_of(record[f"valid_{criterion.field}"]) for record in history]
    return losses.index(min(losses))


def _stopped(history: list[dict[str, Any]], criterion: Criterion, patience: int | None) -> bool:
    if patience is None or not history:
        return False
    return len(history) - 1 - _best(history, criterion) >= patience


def plateau_rate(history: list[dict[str, Any]], criterion: Criterion, config: TrainConfig) -> float:
    """The factor on the learning rate that the schedule `plateau` makes of the evaluations."""
    if config.schedule != "plateau":
        return 1.0
    best, factor = math.inf, 1.0
    for record in history:
        loss = criterion.loss_of(record[f"valid_{criterion.field}"])
        factor *= 1.0 if loss < best else config.plateau_factor
        best = min(best, loss)
    return max(factor, LEAST_RATE)


def _save_weights(model: nn.Module, path: Path) -> None:
    save_file({name: t.detach().contiguous() for name, t in model.state_dict().items()}, path)


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(
            f"the checkpoint's weights do not fit: {error}",
            where=str(path),
            mend="delete the checkpoint folder to train anew",
        ) from None


def _shape(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def fit(
    model: nn.Module,
    train: Split,
    valid: Split | None,
    config: TrainConfig | None = None,
    seed: int = 0,
    *,
    log: Log | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 600.0,
    progress: Progress | None = None,
) -> FitResult:
    """Train a model and leave it with the weights of its best evaluation.

    Validation is measured `config.evaluations_per_epoch` times an epoch; after `config.patience`
    evaluations without a new best of `config.criterion` the training stops. Without validation rows
    all epochs are run and the last weights stay. With `config.calibrate` every evaluation fits a
    slope and an intercept to the validation logits and measures with them.
    The model goes to `config.device` and stays there.

    With `checkpoint`, a training that was killed goes on when called again with the same
    arguments, and ends with the same weights, bit for bit. A finished one is not repeated. The
    folder is the caller's to delete.

    Args:
        model: maps dense (B, n_dense) and sparse (B, F) to logits (B,).
        train: training rows.
        valid: validation rows, or None.
        config: settings.
        seed: decides row order and dropout; the initial weights are the model's.
        log: called with each record of the history as it is made.
        checkpoint: folder of this training alone. Written at every evaluation, and
        checkpoint_seconds: after this much time without one.
        progress: called with steps done and steps planned, after every step.

    Raises:
        ConfigError: the validation rows do not have what the criterion needs, or there is no such
            device.
        DivergenceError: a loss is not finite; it says at which step and for which model.
        RunError: the checkpoint belongs to a training with other settings.
    """
    config = config or TrainConfig()
    learn_rates(model, train)
    model.to(device_of(config.device))
    began, spent = time.perf_counter(), 0.0
    per_epoch = steps_per_epoch(train, config)
    total = per_epoch * config.epochs
    looks = range(1, config.evaluations_per_epoch + 1)
    due = {max(1, round(per_epoch * k / config.evaluations_per_epoch)) for k in looks}
    optimizer = build_optimizer(config)
    patience = None if valid is None else config.patience
    criterion = CRITERIA[config.criterion]
    if valid is not None:
        criterion.require(valid)
    history: list[dict[str, Any]] = []
    pace, done = Pace(), 0
    kept: dict[str, Tensor] = {}  # the best weights, where no checkpoint has them

    store = None
    if checkpoint is not None:
        settings = {
            "kind": "fit",
            "seed": seed,
            "config": config.model_dump(),
            "train_rows": len(train),
            "valid_rows": 0 if valid is None else len(valid),
            "model": _shape(model),
        }
        store = Checkpoints(checkpoint, settings)
        if last := store.latest():
            _load_weights(model, last.path / "weights.safetensors")
            optimizer.load(last.path / "optimizer.safetensors", next(model.parameters()).device)
            history, done, spent = last.state["history"], last.step, last.state["seconds"]
            pace = Pace(last.state["pace"])

    saved = time.perf_counter()

    def seconds() -> float:
        return spent + time.perf_counter() - began

    def write(folder: Path) -> None:
        _save_weights(model, folder / "weights.safetensors")
        optimizer.save(folder / "optimizer.safetensors")

    def save(step: int) -> None:
        nonlocal saved
        if store is not None:
            state = {"history": history, "seconds": seconds(), "pace": pace.state()}
            keep = (
                (history[_best(history, criterion)]["step"],)
                if history and valid is not None
                else ()
            )
            store.save(step, state, write, keep)
            saved = time.perf_counter()

    model.train()
    if not _stopped(history, criterion, patience):
        steps = train_steps(
            lambda _: model,
            train,
            optimizer,
            config,
            seed,
            start=done,
            rate=lambda: 1.0 if valid is None else plateau_rate(history, criterion, config),
        )
        for step in steps:
            done = step.done
            pace.add(step)
            if progress is not None:
                progress(done, total)
            if (done - 1) % per_epoch + 1 in due:
                loss, rate = pace.read()
                record = {
                    "step": done,
                    "epoch": step.epoch,
                    "train_logloss": loss,
                    **{f"valid_{name}": None for name in MEASURED},
                    **UNCHANGED._asdict(),
                    "lr": step.lr,
                    "rows_per_second": rate,
                }
                if valid is not None:
                    logits, platt = predict_logits(model, valid), UNCHANGED
                    if config.calibrate:
                        platt, metrics = calibrated(valid, logits)
                    else:
                        metrics = metrics_on(valid, logits)
                    record |= {f"valid_{name}": getattr(metrics, name) for name in MEASURED}
                    record |= platt._asdict()
                # as it would read back from a checkpoint: NaN is null there
                history.append(finite(record | {"seconds": seconds()}))
                if log is not None:
                    log(history[-1])
                stop = _stopped(history, criterion, patience)
                is_best = _best(history, criterion) == len(history) - 1
                if store is None and is_best and not stop and done < total and valid is not None:
                    kept = {name: t.detach().clone() for name, t in model.state_dict().items()}
                save(done)
                pace.skip()
                if stop:
                    break
            elif store is not None and time.perf_counter() - saved > checkpoint_seconds:
                save(done)
                pace.skip()

    if valid is None:
        return FitResult(None, done, history, done, seconds())
    best = history[_best(history, criterion)]
    if best["step"] != done:
        if store is not None:
            _load_weights(model, store.path(best["step"]) / "weights.safetensors")
        else:
            model.load_state_dict(kept)
    found = {name: best[f"valid_{name}"] for name in MEASURED}
    known = {name: math.nan if value is None else value for name, value in found.items()}
    metrics = Metrics(rows=len(valid), **known)
    platt = Platt(best["slope"], best["intercept"])
    return FitResult(metrics, best["step"], history, done, seconds(), platt)
