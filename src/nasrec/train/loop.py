"""The one training loop, for standalone networks and for the supernet.

`train_steps` is a generator: it does one step whenever its consumer asks for the next, and the
consumer decides what happens between steps (measuring, logging, writing checkpoints, stopping).
A step depends on the seed, its own number and the weights before it, on nothing else; so a
training that goes on from a checkpoint ends bit for bit where an undisturbed one ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.errors import DataError, DivergenceError
from nasrec.nn import Members
from nasrec.train.config import LoopConfig
from nasrec.train.memory import keep_freed_memory
from nasrec.train.metrics import to_device
from nasrec.train.optim import Optimizer, clip_grad_norm, learning_rate

if TYPE_CHECKING:
    from nasrec.data import Batch, Split

# One stream of random numbers for each use, so that none depends on how much another has drawn.
SHUFFLE_STREAM, DROPOUT_STREAM, PATH_STREAM, DEAL_STREAM = 1, 2, 3, 4


def derive_seed(seed: int, *path: int) -> int:
    """A seed for one use, from the run's seed and numbers that say which use; 0 to 2**63 - 1."""
    state = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@dataclass(frozen=True)
class Step:
    """One training step that has been done.

    Attributes:
        done: number of steps done, this one included.
        total: number of steps of the whole training.
        epoch: its epoch, from 0.
        loss: mean log loss of its rows before the update; of several members the mean of theirs.
        rows: rows of its batch.
        lr: its learning rate.
        grad_norm: global gradient norm before clipping, of several members the largest; NaN where
            nothing is clipped.
    """

    done: int
    total: int
    epoch: int
    loss: float
    rows: int
    lr: float
    grad_norm: float


def name_of(network: nn.Module) -> str:
    """What to call a network in a message: its architecture, or its class."""
    architecture = getattr(network, "architecture", None)
    if architecture is None:
        return type(network).__name__
    return f"architecture {architecture.digest[:12]} {architecture.to_json()}"


def steps_per_epoch(split: Split, config: LoopConfig) -> int:
    """Number of batches of one pass; DataError when there is no row to train on."""
    batches = math.ceil(len(split) / config.batch_size)
    if not batches:
        raise DataError("there are no training rows", mend="give a larger click log")
    return batches


def weighted_loss(logits: Tensor, batch: Batch, targets: Tensor | None = None) -> Tensor:
    """Mean log loss of a batch, each row counted by its weight.

    `targets` are probabilities (B,) to learn instead of the labels.
    """
    targets = batch.labels if targets is None else targets
    if batch.weights is None:
        return F.binary_cross_entropy_with_logits(logits, targets)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * batch.weights).sum() / batch.weights.sum()


def members_of(network: nn.Module) -> list[nn.Module]:
    """The networks that learn for themselves: its members, or it alone."""
    return list(network.members) if isinstance(network, Members) else [network]


def label_loss(network: nn.Module, batch: Batch) -> Tensor:
    """What a step minimises if nothing else is asked for: the sum over members, if it has some."""
    if isinstance(network, Members):
        logits = network.each(batch.dense, batch.sparse)
        return torch.stack([weighted_loss(of_one, batch) for of_one in logits]).sum()
    return weighted_loss(network(batch.dense, batch.sparse), batch)


def train_steps(
    network_for: Callable[[int], nn.Module],
    split: Split,
    optimizer: Optimizer,
    config: LoopConfig,
    seed: int,
    *,
    start: int = 0,
    rate: Callable[[], float] = lambda: 1.0,
    loss_of: Callable[[nn.Module, Batch], Tensor] = label_loss,
) -> Iterator[Step]:
    """Train step by step.

    Args:
        network_for: gives the network that a step trains, from the step's number (from 0). It
            should be in training mode.
        split: the training rows; shuffled anew in every epoch.
        optimizer: updates the network's named parameters.
        config: batch size, epochs, schedule, clipping.
        seed: decides the order of the rows and every dropout mask.
        start: number of steps done before.
        rate: asked before each update for a factor on the scheduled learning rate.
        loss_of: what a step minimises.

    Raises:
        DivergenceError: a loss or gradient norm is not finite. The weights are those before the
            step: nothing has been updated with it.
    """
    keep_freed_memory()
    callers_state = torch.get_rng_state()
    # Gradients that fade out on their way through a deep network fall below the least normal
    # number, and a processor multiplies those many times slower: they are zeros instead.
    keeps_denormals = bool(torch.tensor(1e-38) * 0.1 != 0)
    torch.set_flush_denormal(True)
    try:
        yield from _steps(network_for, split, optimizer, config, seed, start, rate, loss_of)
    finally:
        torch.set_flush_denormal(not keeps_denormals)
        torch.set_rng_state(callers_state)


def _steps(
    network_for: Callable[[int], nn.Module],
    split: Split,
    optimizer: Optimizer,
    config: LoopConfig,
    seed: int,
    done: int,
    rate: Callable[[], float],
    loss_of: Callable[[nn.Module, Batch], Tensor],
) -> Iterator[Step]:
    per_epoch = steps_per_epoch(split, config)
    total = per_epoch * config.epochs
    while done < total:
        epoch, skip = divmod(done, per_epoch)
        batches = split.batches(
            config.batch_size,
            shuffle_seed=derive_seed(seed, SHUFFLE_STREAM, epoch),
            start=skip,
        )
        for batch in batches:
            network = network_for(done)
            named = list(network.named_parameters())
            device = named[0][1].device
            _seed_masks(derive_seed(seed, DROPOUT_STREAM, done), device)
            batch = to_device(batch, device)
            loss = loss_of(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            norm, parts = math.nan, members_of(network)
            if config.clip_norm is not None:  # each for itself, so that none feels the others
                norms = [clip_grad_norm(part.parameters(), config.clip_norm) for part in parts]
                norm = float(np.max(norms))  # NaN if any is
            value = loss.item() / len(parts)
            if (
                not math.isfinite(value)
                or math.isinf(norm)
                or (config.clip_norm is not None and math.isnan(norm))
            ):
                what = "loss" if not math.isfinite(value) else "gradient norm"
                raise DivergenceError(
                    f"the {what} is {value if what == 'loss' else norm}",
                    where=f"step {done} of {total}, {name_of(network)}",
                    mend=f"lower the learning rate (it is {config.learning_rate}) or set clip_norm",
                )
            lr = learning_rate(config, done, total) * rate()
            optimizer.step(named, lr)
            for _, parameter in named:
                parameter.grad = None
            done += 1
            yield Step(done, total, epoch, value, len(batch.labels), lr, norm)


def _seed_masks(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, which draw the dropout masks, so that a step's masks need no
    earlier step. `torch.manual_seed` seeds those of all devices, at 0.2 ms a call."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


class Pace:
    """Mean loss since the last reading, and rows a second in this process."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.loss_sum: float = state.get("loss_sum", 0.0)
        self.rows: int = state.get("rows", 0)
        self._timed_rows, self._since = 0, time.perf_counter()

    def add(self, step: Step) -> None:
        """Count a step."""
        self.loss_sum += step.loss * step.rows
        self.rows += step.rows
        self._timed_rows += step.rows

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the mean loss to go on exactly."""
        return {"loss_sum": self.loss_sum, "rows": self.rows}

    def read(self) -> tuple[float, float]:
        """Mean loss and rows a second since the last reading; starts anew."""
        now = time.perf_counter()
        loss = self.loss_sum / self.rows if self.rows else math.nan
        rate = self._timed_rows / max(now - self._since, 1e-9)
        self.loss_sum, self.rows, self._timed_rows, self._since = 0.0, 0, 0, now
        return loss, rate

    def skip(self) -> None:
        """Leave out the time that has gone by (measuring, writing) from the rate."""
        self._timed_rows, self._since = 0, time.perf_counter()
