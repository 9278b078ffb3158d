"""The Transformer encoder layer of the attention operator, by the compiled kernels.

It computes what `Attention` computes in torch: heads, residuals, norms and feed-forward of a row at
once, while they are in the core's cache. Nothing of the size of the attention weights is written
for the way back, which computes them again.

Legend: B batch, E width, N tokens, H heads, d head width.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasrec.native import added, address, in_parts, run, usable

WIDTHS = (1, 2, 4)
"""Head widths the kernels know."""


def fits(x_BEN: Tensor, heads: int) -> bool:
    """Whether the kernels can do the layer."""
    return x_BEN.shape[1] // heads in WIDTHS and x_BEN.numel() > 0 and usable(x_BEN)


def encode(x_BEN: Tensor, heads: int, weights: Sequence[Tensor]) -> Tensor:
    """One layer: (B, E, N) to (B, E, N).

    Args:
        x_BEN: the tokens.
        heads: their number H; E / H is one of `WIDTHS`.
        weights: matrix and bias of the queries, keys and values together, of the mixing of heads,
            then gain and bias of the first norm, matrix and bias of the feed-forward's two
            linears, gain and bias of the second norm.
    """
    x_BEN = x_BEN.contiguous()
    weights = [w.contiguous() for w in weights]
    if torch.is_grad_enabled():
        y: Tensor = _Encoder.apply(  # type: ignore[no-untyped-call]
            x_BEN, x_BEN.shape[1] // heads, *weights
        )
        return y
    return _forward(x_BEN, x_BEN.shape[1] // heads, weights, None, None)


def _pointers(weights: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(weights))(*(address(w) for w in weights))


def _forward(
    x: Tensor, d: int, weights: Sequence[Tensor], mixed: Tensor | None, shares: Tensor | None
) -> Tensor:
    B, E, N = x.shape
    y, pointers = torch.empty_like(x), _pointers(weights)

    def part(at: slice) -> None:
        kept = [None if t is None else t[at] for t in (mixed, shares)]
        run("encoder_forward", (at.stop - at.start, E, N, d), pointers, x[at], y[at], *kept)

    in_parts(B, part)
    return y


class _Encoder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, d: int, *weights: Tensor) -> Tensor:
        B, E, N = x.shape
        mixed, shares = torch.empty_like(x), x.new_empty(B, E // d, N)
        y = _forward(x, d, weights, mixed, shares)
        ctx.d = d
        ctx.save_for_backward(x, mixed, shares, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, mixed, shares, *weights = ctx.saved_tensors
        grad = grad.contiguous()
        B, E, N = x.shape
        dx, pointers, d = torch.empty_like(x), _pointers(weights), ctx.d
        counts = [w.numel() for w in weights]

        def part(at: slice) -> Tensor:
            gradients = torch.empty(sum(counts))
            given = (t[at] for t in (x, mixed, shares, grad, dx))
            sizes = (at.stop - at.start, E, N, d)
            run("encoder_backward", sizes, pointers, *given, gradients)
            return gradients

        parts = torch.split(added(in_parts(B, part)), counts)
        return dx, None, *(g.view(w.shape) for g, w in zip(parts, weights, strict=True))
