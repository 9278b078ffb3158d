"""Optimisers that know what a supernet needs: state by name, on slices, with sparse rows.

Parameters of one name may come in other sizes from step to step: leading slices of one shared
tensor. The optimiser keeps the state of the whole and works on the matching slice. Adagrad's
state of an entry changes with that entry's gradient only, so Adagrad on slices *is* Adagrad on
the whole under gradients that are zero elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nasrec.errors import ConfigError, RunError
from nasrec.files import written_aside
from nasrec.nn.parameters import leading
from nasrec.train.config import LoopConfig
from nasrec.train.rows import (
    Update,
    adagrad_matrices,
    adagrad_rows,
    adam_matrices,
    distinct_rows,
)

NamedParameters = Iterable[tuple[str, nn.Parameter]]
ShapeOf = Callable[[str], Sequence[int]]
Factors = Callable[[Sequence[tuple[str, nn.Parameter]]], Mapping[str, float]]


def no_factors(named: Sequence[tuple[str, nn.Parameter]]) -> Mapping[str, float]:
    """All parameters have the same learning rate."""
    return {}


def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scale gradients to a global norm of at most `max_norm`; returns the norm before that.

    Equal to `torch.nn.utils.clip_grad_norm_`, which refuses sparse gradients. Those are coalesced
    here (and left so), for a row that a batch reads twice has one gradient, the sum. A norm that
    is not finite is returned and nothing is scaled.
    """
    values = []
    for parameter in parameters:
        grad = parameter.grad
        if grad is None:
            continue
        if grad.is_sparse:
            parameter.grad = grad = distinct_rows(grad)
            grad = grad.values()
        values.append(grad)
    if not values:
        return 0.0
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(values))))
    scale = max_norm / (norm + 1e-6)  # 1e-6 as torch has it
    if scale < 1 and math.isfinite(norm):
        torch._foreach_mul_(values, scale)
    return norm


class Optimizer:
    """State by parameter name, and the way of a step through dense and sparse gradients.

    Args:
        eps: added to the denominator; None is the class's default.
        embedding_l2: L2 on parameters with sparse gradients, added to these.
        all_rows: update all rows of those parameters, as with a dense gradient. If not, rows that
            a batch does not touch are left and not decayed, so the cost does not grow with the
            table.
        weight_decay: L2 on parameters with dense gradients.
        shape_of: gives a name's full shape, where parameters are slices of larger tensors.
        factors: gives factors on the learning rate by name, from the parameters of a step; those
            it does not name have 1.
    """

    slots: ClassVar[tuple[str, ...]]
    default_eps: ClassVar[float]

    def __init__(
        self,
        *,
        eps: float | None = None,
        embedding_l2: float = 0.0,
        all_rows: bool = False,
        weight_decay: float = 0.0,
        shape_of: ShapeOf | None = None,
        factors: Factors = no_factors,
    ) -> None:
        self.eps = self.default_eps if eps is None else eps
        self.embedding_l2, self.weight_decay = embedding_l2, weight_decay
        self.all_rows = all_rows
        self.shape_of = shape_of
        self.factors = factors
        self.state: dict[str, dict[str, Tensor]] = {slot: {} for slot in self.slots}

    @torch.no_grad()
    def step(self, named_parameters: NamedParameters, lr: float) -> None:
        """Update every parameter that has a gradient; gradients are left as they are."""
        named = list(named_parameters)
        rates = {name: lr * factor for name, factor in self.factors(named).items()}
        dense = []
        for name, parameter in named:
            grad = parameter.grad
            if grad is None:
                continue
            rate = rates.get(name, lr)
            state = [self._slice(slot, name, parameter) for slot in self.slots]
            if not grad.is_sparse or self.all_rows:
                decay = self.embedding_l2 if grad.is_sparse else self.weight_decay
                grad = grad.to_dense() if grad.is_sparse else grad
                if decay:
                    grad = grad.add(parameter, alpha=decay)
                dense.append(Update(name, parameter, grad, state, rate))
                continue
            grad = distinct_rows(grad)  # nothing to do where the clipping has done it
            rows, values = grad.indices()[0], grad.values()
            if self.embedding_l2:
                values = values.add(parameter.index_select(0, rows), alpha=self.embedding_l2)
            self._rows(Update(name, parameter, values, state, rate), rows)
        self._all_dense(dense)

    def _all_dense(self, updates: Sequence[Update]) -> None:
        """Update all weights with dense gradients."""
        for u in updates:
            self._dense(u.name, u.weight, u.grad, list(u.state), u.rate)

    def _rows(self, update: Update, rows: Tensor) -> None:
        """Update the rows of a table that a batch has touched."""
        # Gather, the dense rule, scatter: 5 times faster than index_add_, and the arithmetic
        # is to the bit that of a dense gradient.
        weight = update.weight.index_select(0, rows)
        touched = [whole.index_select(0, rows) for whole in update.state]
        self._sparse(update.name, weight, update.grad, touched, update.rate)
        update.weight.index_copy_(0, rows, weight)
        for whole, part in zip(update.state, touched, strict=True):
            whole.index_copy_(0, rows, part)

    def _dense(
        self, name: str, weight: Tensor, grad: Tensor, state: list[Tensor], lr: float
    ) -> None:
        """Update weight and state in place; all have the weight's shape."""
        raise TypeError(f"{type(self).__name__} has no rule for a step")

    def _sparse(
        self, name: str, weight: Tensor, grad: Tensor, state: list[Tensor], lr: float
    ) -> None:
        """The same for the rows a batch has touched."""
        self._dense(name, weight, grad, state, lr)

    def _slice(self, slot: str, name: str, parameter: Tensor) -> Tensor:
        whole = self.state[slot].get(name)
        if whole is None:
            shape = parameter.shape if self.shape_of is None else self.shape_of(name)
            whole = torch.zeros(tuple(shape), dtype=parameter.dtype, device=parameter.device)
            self.state[slot][name] = whole
        return leading(whole, parameter.shape)

    # -- files ------------------------------------------------------------------------------

    def _tensors(self) -> dict[str, Tensor]:
        return {f"{slot}/{name}": t for slot in self.slots for name, t in self.state[slot].items()}

    def save(self, path: Path) -> None:
        """Write the state to a safetensors file, whole or not at all."""
        with written_aside(path) as aside:
            save_file(self._tensors(), aside, metadata={"optimizer": type(self).__name__})

    def load(self, path: Path, device: torch.device | str = "cpu") -> None:
        """Take over the state that `save` wrote."""
        try:
            tensors = load_file(path, device=str(device))
        except (OSError, SafetensorError) as error:
            raise RunError(f"optimiser state cannot be read: {error}", where=str(path)) from None
        self._restore(tensors, path)

    def _restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        state: dict[str, dict[str, Tensor]] = {slot: {} for slot in self.slots}
        for key, tensor in tensors.items():
            slot, _, name = key.partition("/")
            if slot not in state:
                raise RunError(
                    f"holds {slot!r}, which is not state of {type(self).__name__}", where=str(path)
                )
            state[slot][name] = tensor
        self.state = state


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011): each weight's rate falls with its summed squared gradients.

    Equal to `torch.optim.Adagrad` without its rate decay, on dense and on sparse gradients.
    Default eps 1e-2 (released code).
    """

    slots = ("sum",)
    default_eps = 1e-2

    def _dense(
        self, name: str, weight: Tensor, grad: Tensor, state: list[Tensor], lr: float
    ) -> None:
        (total,) = state
        total.addcmul_(grad, grad)
        weight.addcdiv_(grad, total.sqrt().add_(self.eps), value=-lr)

    def _all_dense(self, updates: Sequence[Update]) -> None:
        super()._all_dense(adagrad_matrices(updates, self.eps))

    def _rows(self, update: Update, rows: Tensor) -> None:
        (total,) = update.state
        if not adagrad_rows(update.weight, total, rows, update.grad, update.rate, self.eps):
            super()._rows(update, rows)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), equal to `torch.optim.Adam` on dense gradients.

    On sparse ones only the rows touched move, with their moments: `torch.optim.SparseAdam`.
    The number of steps, for the bias correction, is counted by name.
    """

    slots = ("exp_avg", "exp_avg_sq")
    default_eps = 1e-8
    betas = (0.9, 0.999)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.steps: dict[str, int] = {}

    def _count(self, name: str) -> tuple[float, float]:
        """Count a step; bias of the first moment after it, and the root of the second's."""
        self.steps[name] = step = self.steps.get(name, 0) + 1
        first, second = self.betas
        return 1 - first**step, math.sqrt(1 - second**step)

    def _moments(self, grad: Tensor, state: list[Tensor]) -> None:
        """Advance both moments."""
        mean, square = state
        first, second = self.betas
        mean.lerp_(grad, 1 - first)
        square.mul_(second).addcmul_(grad, grad, value=1 - second)

    def _all_dense(self, updates: Sequence[Update]) -> None:
        biases = {u.name: self._count(u.name) for u in updates}
        for u in adam_matrices(updates, list(biases.values()), self.eps, self.betas):
            mean_bias, root_bias = biases[u.name]
            self._moments(u.grad, list(u.state))
            denominator = u.state[1].sqrt().div_(root_bias).add_(self.eps)
            u.weight.addcdiv_(u.state[0], denominator, value=-u.rate / mean_bias)

    def _sparse(
        self, name: str, weight: Tensor, grad: Tensor, state: list[Tensor], lr: float
    ) -> None:
        mean_bias, root_bias = self._count(name)
        self._moments(grad, state)
        # SparseAdam adds eps before the correction, not after it
        denominator = state[1].sqrt().add_(self.eps)
        weight.addcdiv_(state[0], denominator, value=-lr * root_bias / mean_bias)

    def _tensors(self) -> dict[str, Tensor]:
        steps = {f"steps/{name}": torch.tensor(count) for name, count in self.steps.items()}
        return super()._tensors() | steps

    def _restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        steps = {key: int(t) for key, t in tensors.items() if key.startswith("steps/")}
        super()._restore({key: t for key, t in tensors.items() if key not in steps}, path)
        self.steps = {key.removeprefix("steps/"): count for key, count in steps.items()}


OPTIMIZERS: dict[str, type[Optimizer]] = {"adagrad": Adagrad, "adam": Adam}


def build_optimizer(
    config: LoopConfig, shape_of: ShapeOf | None = None, factors: Factors = no_factors
) -> Optimizer:
    """The optimiser a training's settings ask for."""
    return OPTIMIZERS[config.optimizer](
        eps=config.eps,
        embedding_l2=config.embedding_l2,
        all_rows=config.embedding_rows == "all",
        weight_decay=config.weight_decay,
        shape_of=shape_of,
        factors=factors,
    )


# -- learning rates ---------------------------------------------------------------------------


def _warm_up(step: int, total: int, fraction: float) -> tuple[int, float]:
    """The number of warm-up steps and the share of the peak that this step has at most."""
    warm = int(total * fraction)
    return warm, min(1.0, (step + 1) / warm) if warm else 1.0


def cosine(
    step: int, total: int, peak: float, warmup_fraction: float = 0.1, floor: float = 1e-8
) -> float:
    """Learning rate of `step` (from 0): a linear rise to `peak`, then half a cosine to `floor`.

    Released code: 10 % warm-up, floor 1e-8.
    """
    warm, share = _warm_up(step, total, warmup_fraction)
    if step < warm:
        return peak * share
    done = min(1.0, (step - warm) / max(1, total - warm))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def constant(step: int, total: int, peak: float, warmup_fraction: float = 0.1) -> float:
    """Learning rate of `step` (from 0): a linear rise to `peak`, which it keeps."""
    return peak * _warm_up(step, total, warmup_fraction)[1]


SCHEDULES: dict[str, Callable[[int, int, float, float], float]] = {
    "cosine": cosine,
    "constant": constant,
    "plateau": constant,  # what has been measured scales it: `train_steps`
}


def learning_rate(config: LoopConfig, step: int, total: int) -> float:
    """The rate of one step of a training."""
    if not 0 <= step < max(1, total):
        raise ConfigError(f"step {step} is outside a training of {total} steps")
    schedule = SCHEDULES[config.schedule]
    return schedule(step, total, config.learning_rate, config.warmup_fraction)
