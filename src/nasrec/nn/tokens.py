"""What tokens make of one another: products of all pairs, and FM's pooling.

By compiled kernels, a row at a time in the core's own cache, or in torch.

Legend of shape suffixes: B batch, E embedding width, N tokens, P pairs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasrec.native import in_parts, run, usable


def pair_products(first_BE: Tensor, others_BEN: Tensor, triangle: Tensor) -> Tensor:
    """Products of each two tokens, of `first` and the N `others`: (B, P), P = N (N + 1) / 2.

    They are those of the strict lower triangle, row by row; `triangle` has their places among all
    (N + 1)² products.
    """
    if usable(first_BE, others_BEN) and others_BEN.numel():
        first_BE, others_BEN = first_BE.contiguous(), others_BEN.contiguous()
        products: Tensor = _Pairs.apply(first_BE, others_BEN)  # type: ignore[no-untyped-call]
        return products
    tokens_BEN = torch.cat([first_BE.unsqueeze(2), others_BEN], 2)
    return (tokens_BEN.transpose(1, 2) @ tokens_BEN).flatten(1).index_select(1, triangle)


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, others: Tensor) -> Tensor:
        B, E, N = others.shape
        out = first.new_empty(B, N * (N + 1) // 2)

        def part(at: slice) -> None:
            run("pairs_forward", (at.stop - at.start, E, N), first[at], others[at], out[at])

        in_parts(B, part)
        ctx.save_for_backward(first, others)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        first, others = ctx.saved_tensors
        B, E, N = others.shape
        tensors = (first, others, grad.contiguous())
        gradients = (torch.empty_like(first), torch.empty_like(others))

        def part(at: slice) -> None:
            given = (t[at] for t in (*tensors, *gradients))
            run("pairs_backward", (at.stop - at.start, E, N), *given)

        in_parts(B, part)
        return gradients


def pooled(x_BEN: Tensor) -> Tensor:
    """(Σ_n x_n)² − Σ_n x_n²: (B, E)."""
    if usable(x_BEN) and x_BEN.numel():
        y: Tensor = _Pooled.apply(x_BEN.contiguous())  # type: ignore[no-untyped-call]
        return y
    return x_BEN.sum(2).square() - x_BEN.square().sum(2)


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        B, E, N = x.shape
        y, sums = x.new_empty(B, E), x.new_empty(B, E)

        def part(at: slice) -> None:
            run("pool_forward", ((at.stop - at.start) * E, N), x[at], y[at], sums[at])

        in_parts(B, part)
        ctx.save_for_backward(x, sums)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, sums = ctx.saved_tensors
        B, E, N = x.shape
        tensors = (x, sums, grad.contiguous(), torch.empty_like(x))

        def part(at: slice) -> None:
            run("pool_backward", ((at.stop - at.start) * E, N), *(t[at] for t in tensors))

        in_parts(B, part)
        return tensors[-1]
