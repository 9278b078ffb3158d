"""A linear over several parts, and LayerNorm with the ReLU behind it: each one step of autograd.

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
    if len(parts) == 1:
        return F.linear(parts[0], weights[0], bias)
    shape = (*parts[0].shape[:-1], weights[0].shape[0])
    rows = [x.flatten(0, -2) for x in parts]
    if torch.compiler.is_compiling():
        y = F.linear(rows[0], weights[0], bias)
        for x, weight in zip(rows[1:], weights[1:], strict=True):
            y = torch.addmm(y, x, weight.t())
    elif torch.is_grad_enabled():
        y = _Linear.apply(bias, *rows, *weights)  # type: ignore[no-untyped-call]
    else:
        y = _sum(rows, weights, bias)
    return y.view(shape)


def _sum(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    y = F.linear(parts[0], weights[0], bias)
    for x, weight in zip(parts[1:], weights[1:], strict=True):
        y.addmm_(x, weight.t())
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bias: Tensor | None, *tensors: Tensor) -> Tensor:
        count = len(tensors) // 2
        ctx.save_for_backward(*tensors)
        return _sum(tensors[:count], tensors[count:], bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad
        count = len(tensors) // 2
        parts, weights = tensors[:count], tensors[count:]
        return (
            grad.sum(0) if needed[0] else None,
            *(grad @ w if need else None for w, need in zip(weights, needed[1:], strict=False)),
            *(
                grad.t() @ x if need else None
                for x, need in zip(parts, needed[1 + count :], strict=True)
            ),
        )


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


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, relu: bool) -> Tensor:
        moments = x.new_empty(x.numel() // x.shape[-1], 2)
        ctx.relu = relu
        ctx.save_for_backward(x, gain, bias, moments)
        return _norm(x, gain, bias, relu, moments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, bias, moments = ctx.saved_tensors
        dx, grad = torch.empty_like(x), grad.contiguous()
        width = x.shape[-1]
        rows, up, down = (t.view(-1, width) for t in (x, grad, dx))

        def part(at: slice) -> Tensor:
            weights = torch.empty(2, width)
            sizes = (at.stop - at.start, width, ctx.relu)
            given = (moments[at], up[at], down[at], weights)
            run("norm_backward", sizes, rows[at], gain, bias, *given)
            return weights

        total = added(in_parts(len(rows), part))
        return dx, total[0], total[1], None
