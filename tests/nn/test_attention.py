"""Narrow attention is torch's attention, values and gradients, however large the logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nasrec.nn import attention as module
from nasrec.nn.attention import attention


def draw(shape, scale=1.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(sum(shape))
    return [
        (scale * torch.randn(shape, generator=g, dtype=dtype)).requires_grad_() for _ in range(3)
    ]


def torchs(q, k, v):
    wide = (x.transpose(2, 3) for x in (q, k, v))
    return F.scaled_dot_product_attention(*wide).transpose(2, 3)


@pytest.mark.parametrize("scale", [1.0, 30.0])  # with 30, logits are in the hundreds
@pytest.mark.parametrize("shape", [(3, 8, 2, 10), (2, 4, 4, 7), (5, 3, 1, 1), (1, 2, 8, 6)])
def test_values_and_gradients_are_torchs(shape, scale, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 300)  # several chunks, the last one not full
    ours, theirs = draw(shape, scale), draw(shape, scale)
    upstream = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, b = attention(*ours), torchs(*theirs)
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    a.backward(upstream)
    b.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        torch.testing.assert_close(attention(*ours), b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_in_single_precision_nothing_overflows(scale):
    inputs = draw((4, 8, 2, 16), scale, torch.float32)
    out = attention(*inputs)
    out.sum().backward()
    torch.testing.assert_close(out, torchs(*inputs), rtol=1e-4, atol=1e-4 * scale)
    assert all(x.grad.isfinite().all() for x in inputs)


@pytest.mark.parametrize("shape", [(0, 8, 2, 5), (2, 8, 2, 0)])
def test_nothing_in_nothing_out(shape):
    inputs = draw(shape)
    out = attention(*inputs)
    out.sum().backward()
    assert out.shape == shape
