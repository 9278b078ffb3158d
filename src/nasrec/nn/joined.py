"""A linear over several parts, LayerNorm with its ReLU, and one after the other: each one step of
autograd.

Torch's own operators compute the same in more passes over memory: adding a product copies the sum
so far, a gradient of a slice is laid out anew, and LayerNorm of short rows is slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasrec.native import added, in_parts, run, usable


def linear(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """Σ_j x_j W_jᵀ (+ b) on the last axis: x_j (..., N_j), W_j (M, N_j), to (..., M)."""
    if len(parts) == 1 and weights[0].is_contiguous():  # torch lays a slice's gradient out anew
        return F.linear(parts[0], weights[0], bias)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        y: Tensor = _Linear.apply(bias, *parts, *weights)  # type: ignore[no-untyped-call]
        return y
    return _sum(parts, weights, bias)


def _sum(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    y = F.linear(parts[0].flatten(0, -2), weights[0], bias)
    # In place is faster; a graph that is exported has nothing in place.
    add = torch.addmm if torch.compiler.is_compiling() else Tensor.addmm_
    for x, weight in zip(parts[1:], weights[1:], strict=True):
        y = add(y, x.flatten(0, -2), weight.t())
    return y.view(*parts[0].shape[:-1], len(weights[0]))


def _sum_gradients(
    grad: Tensor, tensors: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Those of parts and weights, where they are asked for, from that of their linear."""
    count, up = len(tensors) // 2, grad.flatten(0, -2)
    parts, weights = tensors[:count], tensors[count:]
    pairs = list(zip(parts, weights, strict=True))
    of_parts = [
        (up @ w).view(x.shape) if need else None
        for (x, w), need in zip(pairs, needed[:count], strict=True)
    ]
    of_weights = [
        up.t() @ x.flatten(0, -2) if need else None
        for (x, _), need in zip(pairs, needed[count:], strict=True)
    ]
    return of_parts + of_weights


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bias: Tensor | None, *tensors: Tensor) -> Tensor:
        count = len(tensors) // 2
        ctx.save_for_backward(*tensors)
        return _sum(tensors[:count], tensors[count:], bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad
        of_bias = grad.flatten(0, -2).sum(0) if needed[0] else None
        return (of_bias, *_sum_gradients(grad, ctx.saved_tensors, needed[1:]))


def norm(x: Tensor, gain: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """LayerNorm over the last axis, then ReLU if asked for."""
    if not (x.numel() and usable(x)):
        y = F.layer_norm(x, gain.shape, gain, bias)
        return F.relu(y) if relu else y
    x, gain, bias = x.contiguous(), gain.contiguous(), bias.contiguous()
    if torch.is_grad_enabled():
        z: Tensor = _Norm.apply(x, gain, bias, relu)  # type: ignore[no-untyped-call]
        return z
    return _norm(x, gain, bias, relu, None)


def _norm(x: Tensor, gain: Tensor, bias: Tensor, relu: bool, moments: Tensor | None) -> Tensor:
    y = torch.empty_like(x)
    width = x.shape[-1]
    rows, out = x.view(-1, width), y.view(-1, width)

    def part(at: slice) -> None:
        kept = None if moments is None else moments[at]
        sizes = (at.stop - at.start, width, relu)
        run("norm_forward", sizes, rows[at], gain, bias, out[at], kept)

    in_parts(len(rows), part)
    return y


def _norm_gradients(
    grad: Tensor, x: Tensor, gain: Tensor, bias: Tensor, relu: bool, moments: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Those of x, gain and bias."""
    dx, grad = torch.empty_like(x), grad.contiguous()
    width = x.shape[-1]
    rows, up, down = (t.view(-1, width) for t in (x, grad, dx))

    def part(at: slice) -> Tensor:
        weights = torch.empty(2, width)
        sizes = (at.stop - at.start, width, relu)
        given = (moments[at], up[at], down[at], weights)
        run("norm_backward", sizes, rows[at], gain, bias, *given)
        return weights

    total = added(in_parts(len(rows), part))
    return dx, total[0], total[1]


def _moments(x: Tensor) -> Tensor:
    """Room for two numbers of each row."""
    return x.new_empty(x.numel() // x.shape[-1], 2)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, relu: bool) -> Tensor:
        moments, ctx.relu = _moments(x), relu
        ctx.save_for_backward(x, gain, bias, moments)
        return _norm(x, gain, bias, relu, moments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, bias, moments = ctx.saved_tensors
        return (*_norm_gradients(grad, x, gain, bias, ctx.relu, moments), None)


def projection(
    parts: Sequence[Tensor], weights: Sequence[Tensor], gain: Tensor, bias: Tensor, relu: bool
) -> Tensor:
    """`linear` without bias, then `norm`."""
    if not (torch.is_grad_enabled() and gain.numel() and parts[0].numel() and usable(*parts)):
        return norm(linear(parts, weights, None), gain, bias, relu)
    y: Tensor = _Projection.apply(relu, gain, bias, *parts, *weights)  # type: ignore[no-untyped-call]
    return y


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, relu: bool, gain: Tensor, bias: Tensor, *tensors: Tensor) -> Tensor:
        count = len(tensors) // 2
        x = _sum(tensors[:count], tensors[count:], None)
        moments, ctx.relu = _moments(x), relu
        ctx.save_for_backward(x, gain, bias, moments, *tensors)
        return _norm(x, gain, bias, relu, moments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, bias, moments, *tensors = ctx.saved_tensors
        dx, dgain, dbias = _norm_gradients(grad, x, gain, bias, ctx.relu, moments)
        return (None, dgain, dbias, *_sum_gradients(dx, tensors, ctx.needs_input_grad[3:]))
