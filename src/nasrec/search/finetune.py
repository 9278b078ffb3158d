"""Fine-tuning of more than the last FC: gains of norms, or all weights, of a copy of a network."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from nasrec.errors import DivergenceError
from nasrec.nn import NASRecNet
from nasrec.nn.layers import LayerNorm
from nasrec.train.loop import name_of, weighted_loss
from nasrec.train.metrics import to_device
from nasrec.train.optim import Adagrad, clip_grad_norm

if TYPE_CHECKING:
    from nasrec.data import Batch

Scope = Literal["head", "norms", "all"]
CLIP_NORM = 5.0
"""As in all trainings; a last FC alone needs none."""


def fine_tune(
    network: NASRecNet,
    scope: Scope,
    rows: Batch,
    batch: int,
    steps: int,
    eps: float,
    rate: Callable[[int], float],
) -> None:
    """Train a network in place, in the order of the rows, again and again where steps need more.

    Args:
        network: of its own weights.
        scope: what is trained: the last FC; that and gains and biases of LayerNorms; or all.
        rows: whole mini-batches.
        batch: rows a step.
        steps: number of steps.
        eps: of Adagrad.
        rate: Adagrad's learning rate in a step, from 0.

    Raises:
        DivergenceError: a loss is not finite.
    """
    trained = {
        f"{name}.{parameter}" if name else parameter
        for name, module in network.named_modules()
        for parameter, _ in module.named_parameters(recurse=False)
        if scope == "all"
        or name.split(".")[0] == "head"
        or (scope == "norms" and isinstance(module, LayerNorm))
    }
    named = []
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in trained)
        if name in trained:
            named.append((name, weight))
    optimizer, device = Adagrad(eps=eps), named[0][1].device
    network.train()
    for step in range(steps):
        low = step * batch % len(rows.labels)
        part = to_device(rows.map(operator.itemgetter(slice(low, low + batch))), device)
        loss = weighted_loss(network(part.dense, part.sparse), part)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm((weight for _, weight in named), CLIP_NORM)
        if not math.isfinite(norm):
            raise DivergenceError(
                f"the gradient norm is {norm}",
                where=f"fine-tuning step {step}, {name_of(network)}",
                mend=f"fine-tune at a lower learning rate than {rate(step)}",
            )
        optimizer.step(named, rate(step))
        for _, weight in named:
            weight.grad = None
    network.eval()
