"""The compiled encoder layer is the attention operator in torch, values and gradients."""

from __future__ import annotations

import pytest
import torch

from nasrec.native import library
from nasrec.nn import encoder
from nasrec.nn.inputs import ModelOptions
from nasrec.nn.operators import Attention, Reading, Widths
from nasrec.nn.parameters import Axis, Maker, fresh

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or NASREC_NATIVE is off")


def layer(tokens: int, heads: int, width: int = 16) -> Attention:
    fixed = Axis.fixed
    widths = Widths({}, {"0": fixed(5)}, fixed(0), fixed(0), 0, "0", fixed(tokens))
    options = ModelOptions(heads=heads, embedding_dim=width, layer_norm=False)
    operator = Attention(widths, options, Maker(fresh(0)))
    with torch.no_grad():
        for p in operator.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1)
    return operator


def tokens_of(rows: int, width: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(rows, width, 5, generator=torch.Generator().manual_seed(1)) * scale


def gradients(operator, x, upstream):
    x = x.clone().requires_grad_()
    y = operator(Reading({}, {"0": x}))
    parameters = list(operator.parameters())
    return y.detach(), torch.autograd.grad(y, [x, *parameters], upstream)


@pytest.mark.parametrize(
    ("tokens", "heads", "width"),
    [(64, 8, 16), (48, 8, 16), (10, 8, 16), (1, 8, 16), (33, 4, 16), (17, 16, 16), (20, 3, 6)],
)
@pytest.mark.parametrize("scale", [1.0, 30.0])  # with 30, logits are in the hundreds
def test_it_is_the_operator_in_double_precision(tokens, heads, width, scale):
    operator, x = layer(tokens, heads, width), tokens_of(6, width, scale)
    upstream = torch.randn(6, width, tokens, generator=torch.Generator().manual_seed(2))
    assert encoder.fits(torch.zeros(6, width, tokens), heads)
    y, found = gradients(operator, x, upstream)
    with torch.no_grad():
        assert torch.equal(operator(Reading({}, {"0": x})), y)  # without a way back too
    z, expected = gradients(operator.double(), x.double(), upstream.double())
    tolerance = 1e-5 if scale == 1 else 1e-3  # the greatest logits carry their own rounding
    for a, b in zip([y, *found], [z, *expected], strict=True):
        # The keys' bias has no influence: softmax does not see what all keys have in common.
        assert (a - b).abs().max() <= tolerance * max(b.abs().max(), 1)


def test_a_row_is_the_same_whatever_stands_beside_it():
    operator, x = layer(24, 8), tokens_of(9, 16)
    x[4] *= 50  # its logits are too large for the fast way
    with torch.no_grad():
        whole = operator(Reading({}, {"0": x}))
        for row in range(9):
            assert torch.equal(operator(Reading({}, {"0": x[row : row + 1]})), whole[row : row + 1])


def test_threads_share_the_rows():
    operator, x = layer(16, 8), tokens_of(200, 16)
    upstream = torch.ones(200, 16, 16)
    y, one = gradients(operator, x, upstream)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        z, three = gradients(operator, x, upstream)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(y, z)
    for a, b in zip(one, three, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(bad):
    operator, x = layer(16, 8), tokens_of(3, 16)
    x[1, 2, 3] = bad
    y, (dx, *_) = gradients(operator, x, torch.ones(3, 16, 16))
    assert y[[0, 2]].isfinite().all()
    assert y[1].isnan().all()
    assert dx[1].isnan().any()
