"""Joined linears and compiled LayerNorm are torch's operators, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nasrec.native import library
from nasrec.nn import joined


def draw(*shape, dtype=torch.float32):
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=g, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("widths", [(3,), (3, 4), (2, 7, 1)])
def test_a_linear_of_parts_is_that_of_the_parts_side_by_side(widths, with_bias, rows):
    parts = [draw(rows, 3, n, dtype=torch.float64) for n in widths]
    whole = draw(6, 9, dtype=torch.float64)
    weights = [whole[:5, :n].detach().requires_grad_() for n in widths]  # slices, as in a supernet
    bias = draw(5, dtype=torch.float64) if with_bias else None
    tensors = [*parts, *weights, *([bias] if with_bias else [])]
    y = joined.linear(parts, weights, bias)
    expected = F.linear(torch.cat(parts, 2), torch.cat(weights, 1), bias)
    torch.testing.assert_close(y, expected)
    with torch.no_grad():
        assert torch.equal(joined.linear(parts, weights, bias), y)
    upstream = torch.randn_like(y)
    for a, b in zip(
        torch.autograd.grad(y, tensors, upstream),
        torch.autograd.grad(expected, tensors, upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_frozen_part_gets_no_gradient():
    parts, weights = [draw(2, 3), draw(2, 4).detach()], [draw(5, 3), draw(5, 4)]
    joined.linear(parts, weights, None).sum().backward()
    assert parts[1].grad is None
    assert all(t.grad is not None for t in (parts[0], *weights))


@pytest.mark.skipif(library() is None, reason="no C compiler, or NASREC_NATIVE is off")
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("shape", [(7, 1), (4, 2, 16), (3, 5, 64), (6, 23), (9, 1024), (70, 48)])
def test_layer_norm_is_torchs_in_double_precision(shape, relu):
    x, gain, bias = draw(*shape), draw(shape[-1]), draw(shape[-1])
    y = joined.norm(x, gain, bias, relu)
    with torch.no_grad():
        assert torch.equal(joined.norm(x, gain, bias, relu), y)
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    found = torch.autograd.grad(y, (x, gain, bias), upstream)
    exact = [t.detach().double().requires_grad_() for t in (x, gain, bias)]
    z = joined.norm(*exact, relu)  # by torch: the kernels know floats alone
    expected = torch.autograd.grad(z, exact, upstream.double())
    for a, b in zip([y, *found], [z, *expected], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(library() is None, reason="no C compiler, or NASREC_NATIVE is off")
def test_layer_norm_of_what_is_not_finite_is_nan():
    x = draw(3, 20).detach()
    x[1, 2] = float("inf")
    y = joined.norm(x, torch.ones(20), torch.zeros(20), True)
    assert y[1].isnan().all()
    assert y[[0, 2]].isfinite().all()


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("widths", [(3,), (3, 4, 1)])
def test_a_projection_is_its_linear_and_its_norm(widths, relu):
    parts, gain, bias = [draw(6, 2, n) for n in widths], draw(5), draw(5)
    whole = draw(6, 9)
    weights = [whole[:5, :n].detach().requires_grad_() for n in widths]
    tensors = [gain, bias, *parts, *weights]
    y = joined.projection(parts, weights, gain, bias, relu)
    expected = joined.norm(joined.linear(parts, weights, None), gain, bias, relu)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
    for a, b in zip(
        [y, *torch.autograd.grad(y, tensors, upstream)],
        [expected, *torch.autograd.grad(expected, tensors, upstream)],
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(joined.projection(parts, weights, gain, bias, relu), y)
