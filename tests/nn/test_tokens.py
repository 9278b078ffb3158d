"""Compiled products of pairs and FM's pooling are those of torch, values and gradients."""

from __future__ import annotations

import pytest
import torch

from nasrec.native import library
from nasrec.nn import tokens

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or NASREC_NATIVE is off")


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def triangle(count):
    rows, columns = torch.tril_indices(count + 1, count + 1, -1)
    return rows * (count + 1) + columns


def pairs_of(first, others):
    return tokens.pair_products(first, others, triangle(others.shape[2]))


def compare(function, *given):
    """With what torch makes of the same numbers in double precision: the kernels know floats."""
    given = [x.clone().requires_grad_() for x in given]
    exact = [x.detach().double().requires_grad_() for x in given]
    y, z = function(*given), function(*exact)
    with torch.no_grad():
        assert torch.equal(function(*given), y)
    upstream = draw(*y.shape)
    found = torch.autograd.grad(y, given, upstream)
    expected = torch.autograd.grad(z, exact, upstream.double())
    for a, b in zip([y, *found], [z, *expected], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-4)
    return y, found


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize(
    ("width", "count"), [(16, 45), (16, 1), (16, 15), (16, 16), (5, 7), (20, 40)]
)
def test_products_of_pairs(rows, width, count):
    compare(pairs_of, draw(rows, width), draw(rows, width, count))


@pytest.mark.parametrize("count", [1, 16, 23, 64])
def test_pooling(count):
    compare(tokens.pooled, draw(70, 5, count))


def test_threads_share_the_rows():
    one = [
        compare(pairs_of, draw(200, 4), draw(200, 4, 9)),
        compare(tokens.pooled, draw(200, 4, 9)),
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        more = [compare(pairs_of, draw(200, 4), draw(200, 4, 9))]
        more += [compare(tokens.pooled, draw(200, 4, 9))]
    finally:
        torch.set_num_threads(before)
    for (y, gradients), (z, others) in zip(one, more, strict=True):
        assert torch.equal(y, z)
        assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))


def test_what_is_not_finite_comes_through_in_its_row_alone():
    first, others = draw(3, 16), draw(3, 16, 9)
    others[1, 2, 3] = float("nan")
    products, sums = pairs_of(first, others), tokens.pooled(others)
    assert products[1].isnan().sum() == 9  # those with the fourth token
    assert sums[1].isnan().sum() == 1
    assert products[[0, 2]].isfinite().all()
    assert sums[[0, 2]].isfinite().all()
