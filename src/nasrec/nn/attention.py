"""Softmax attention over heads that are a few numbers wide.

With 8 heads on 16 numbers a head is two wide, and the work is all in the (N, N) matrices of
weights: `scaled_dot_product_attention` goes over each several times, back and forth. For so narrow
heads what the gradients need of these matrices are a few moments of their rows and columns, so one
exponential and one thin product are enough in each direction. With p the weights, O the outputs,
k, v keys and values, q the scaled queries, and D_i = dO_i · O_i:

    dq_i = (Σ_j p_ij k_j v_jᵀ) dO_i - D_i Σ_j p_ij k_j        moments over j, kept by the forward
    dv_j =  Σ_i p_ij dO_i
    dk_j = (Σ_i p_ij q_i dO_iᵀ) v_j - Σ_i p_ij D_i q_i

It is the same function, not an approximation of it. Rows are taken in chunks whose matrices stay
in the processor's cache.

Legend: B batch, H heads, d head width, N tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

WIDEST = 4
"""Head width up to which the moments, d² + 2 d + 1 a row, are less work than the matrices."""
CHUNK = 1 << 17
"""Entries of a chunk's matrices: 0.5 MB, which stays in a core's own cache."""
SAFE = 60.0
"""Logits up to which exponentials and their sums stay within 32-bit floats."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(qᵀ k / √d) v for each head; all of shape (B, H, d, N), and so is the result."""
    if q.shape[2] > WIDEST or q.device.type != "cpu" or torch.compiler.is_compiling():
        q, k, v = (x.transpose(2, 3) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(2, 3)
    shape = q.shape
    q, k, v = (x.flatten(0, 1) for x in (q * shape[2] ** -0.5, k, v))
    if torch.is_grad_enabled():
        mixed: Tensor = _Attention.apply(q, k, v)  # type: ignore[no-untyped-call]
    else:
        mixed = _forward(q, k, v, moments=False)[0]
    return mixed.view(shape)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """(M, d, N) and (M, e, N) to (M, d e, N)."""
    return (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1, 2)


def _weighted(left: Tensor, right: Tensor, rows: Tensor, exact: bool) -> Tensor:
    """rows (M, n, N) @ exp(left (M, N, d) @ right (M, d, N)), with a row of N maxima if `exact`.

    With `exact`, each column of the exponentials is divided by its greatest, whose logarithms come
    last in the result: (M, n + exact, N).
    """
    M, N, _ = left.shape
    step = max(1, CHUNK // max(1, N * N))
    out = rows.new_empty(M, rows.shape[1] + exact, N)
    # One room for all chunks: memory that is new each time costs page faults.
    room = rows.new_empty(min(step, M), N, N)
    for low in range(0, M, step):
        at = slice(low, low + step)
        weights, y = room[: len(left[at])], out[at]
        torch.bmm(left[at], right[at], out=weights)
        if exact:
            top = weights.amax(1, keepdim=True)
            weights -= top
            y[:, -1:] = top
        torch.bmm(rows[at], weights.exp_(), out=y[:, : rows.shape[1]])
    return out


def _forward(q: Tensor, k: Tensor, v: Tensor, moments: bool) -> tuple[Tensor, Tensor, bool]:
    """Outputs of (M, d, N) tensors, and what `_weighted` gave: sums, values, then the moments.

    The last one says whether the sums are relative to the maxima that stand last.
    """
    M, d, N = q.shape
    # d max|q| max|k| bounds the logits; only where that is large is each query's greatest found.
    exact = M * N > 0 and not d * _greatest(q) * _greatest(k) <= SAFE
    parts = [torch.ones_like(q[:, :1]), v, *((k, _outer(k, v)) if moments else ())]
    found = _weighted(k.transpose(1, 2).contiguous(), q, torch.cat(parts, 1), exact)
    return found[:, 1 : 1 + d] / found[:, :1], found, exact


def _greatest(x: Tensor) -> float:
    low, high = x.aminmax()
    return max(-float(low), float(high))


def _contracted(pairs: Tensor, x: Tensor) -> Tensor:
    """Σ_c pairs[:, a d + c] x[:, c]: (M, d², N) and (M, d, N) to (M, d, N)."""
    M, d, N = x.shape
    pairs = pairs.view(M, d, d, N)
    total = pairs[:, :, 0] * x[:, :1]
    for c in range(1, d):
        total.addcmul_(pairs[:, :, c], x[:, c : c + 1])
    return total


class _Attention(torch.autograd.Function):
    """The function and its gradients, of scaled queries; all of shape (M, d, N)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, found, ctx.exact = _forward(q, k, v, moments=True)
        ctx.save_for_backward(q, k, v, out, found)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, out, found = ctx.saved_tensors
        d = q.shape[1]
        total, keys = found[:, :1], found[:, 1 + d : 1 + 2 * d]
        sums = total.log() + found[:, -1:] if ctx.exact else total.log()
        dots = (grad * out).sum(1, keepdim=True)
        pairs = found[:, 1 + 2 * d : (1 + d) ** 2]
        dq = _contracted(pairs, grad).addcmul_(dots, keys, value=-1).div_(total)
        left = torch.cat([q, -sums], 1).transpose(1, 2).contiguous()
        right = torch.cat([k, torch.ones_like(sums)], 1)
        rows = torch.cat([grad, dots * q, _outer(q, grad)], 1)
        found = _weighted(left, right, rows, exact=False)
        dk = _contracted(found[:, 2 * d :], v).sub_(found[:, d : 2 * d])
        return dq, dk, found[:, :d]
