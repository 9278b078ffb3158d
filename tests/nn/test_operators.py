"""Every registered operator passes one battery; each is checked against a naive oracle."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from nasrec.errors import SpaceError
from nasrec.nn.inputs import ModelOptions
from nasrec.nn.mergers import DenseToSparse, SparseToDense
from nasrec.nn.operators import (
    OPERATORS,
    DotProduct,
    Operator,
    Reading,
    Widths,
    operator_class,
    register,
)
from nasrec.nn.parameters import Axis, Maker, fresh
from nasrec.space.operators import OperatorInfo

E = 16


def build(name, out=24, dense=(5, 7), tokens=(3, 4), left=5, right=7, layer_norm=True) -> Operator:
    fixed = Axis.fixed
    widths = Widths(
        dense={str(j): fixed(w) for j, w in enumerate(dense)},
        sparse={str(j): fixed(n) for j, n in enumerate(tokens)},
        left=fixed(left),
        right=fixed(right),
        pair_limit=max(left, right),
        left_name="0",
        out=fixed(out),
    )
    operator = operator_class(name)(widths, ModelOptions(layer_norm=layer_norm), Maker(fresh(3)))
    with torch.no_grad():  # away from zero biases and unit gains, so that nothing hides
        for p in operator.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1)
    return operator


def reading(batch, dense=(5, 7), tokens=(3, 4), left=5, right=7) -> Reading:
    g = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=g, requires_grad=True)

    return Reading(
        dense={str(j): draw(batch, w) for j, w in enumerate(dense)},
        sparse={str(j): draw(batch, E, n) for j, n in enumerate(tokens)},
        left=draw(batch, left),
        right=draw(batch, right),
    )


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 6])
@pytest.mark.parametrize("name", OPERATORS)
def test_shape_and_finiteness(name, batch, layer_norm):
    y = build(name, layer_norm=layer_norm)(reading(batch))
    branch = OPERATORS[name].info.branch
    assert y.shape == ((batch, 24) if branch == "dense" else (batch, E, 24))
    assert y.isfinite().all()


@pytest.mark.parametrize("name", OPERATORS)
def test_every_parameter_and_input_read_gets_a_gradient(name):
    operator, x = build(name), reading(6)
    weights = torch.randn(operator(x).shape, generator=torch.Generator().manual_seed(5))
    (operator(x) * weights).sum().backward()
    for p in operator.parameters():
        assert p.grad is not None
        assert p.grad.abs().sum() > 0
    reads = OPERATORS[name].info.reads
    for kind, tensors in (
        ("dense", x.dense.values()),
        ("sparse", x.sparse.values()),
        ("pair", (x.left, x.right)),
    ):
        for tensor in tensors:
            assert (tensor.grad is not None) == (kind in reads)


@pytest.mark.parametrize("name", OPERATORS)
def test_rows_do_not_see_each_other(name):
    operator, x = build(name), reading(6)
    one = Reading(
        {k: v[2:3] for k, v in x.dense.items()},
        {k: v[2:3] for k, v in x.sparse.items()},
        x.left[2:3],
        x.right[2:3],
    )
    torch.testing.assert_close(operator(x)[2:3], operator(one), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_are_right(name):
    operator = build(name, out=8).double()
    x = reading(2)
    tensors = [*x.dense.values(), *x.sparse.values(), x.left, x.right]
    tensors = [t.detach().double().requires_grad_() for t in tensors]

    def f(*t):
        return operator(Reading({"0": t[0], "1": t[1]}, {"0": t[2], "1": t[3]}, t[4], t[5]))

    assert torch.autograd.gradcheck(f, tensors, eps=1e-6, atol=1e-4)


def slabs(linear) -> torch.Tensor:
    return torch.cat(list(linear.weight.values()), 1)


def norm(x, module):
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * module.weight + module.bias


def close(a, b):
    torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5)


def test_fc_oracle():
    op, x = build("FC"), reading(6)
    joined = torch.cat(list(x.dense.values()), 1)
    close(op(x), F.relu(norm(joined @ slabs(op.project.linear).T, op.project.norm)))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_flat_fc_oracle(layer_norm):
    op, x = build("Flat", layer_norm=layer_norm), reading(6)
    parts = [*x.dense.values(), *(part.reshape(6, -1) for part in x.sparse.values())]
    slabs = [*op.dense.values(), *(slab.reshape(24, -1) for slab in op.weight.values())]
    y = torch.cat(parts, 1) @ torch.cat(slabs, 1).T
    close(op(x), F.relu(norm(y, op.norm) if layer_norm else y + op.bias))


def test_efc_oracle():
    op, x = build("EFC"), reading(6)
    joined = torch.cat(list(x.sparse.values()), 2)
    weight = slabs(op.project.linear)
    mixed = torch.stack(
        [
            sum(weight[n, m] * joined[:, :, m] for m in range(joined.shape[2]))
            for n in range(weight.shape[0])
        ],
        2,
    )
    close(op(x), F.relu(norm(mixed, op.project.norm)))


def pad(x, width):
    return torch.cat([x, torch.zeros(x.shape[0], width - x.shape[1])], 1)


@pytest.mark.parametrize(("left", "right", "out"), [(5, 7, 24), (9, 4, 9), (24, 24, 24)])
def test_sum_and_gating_oracles(left, right, out):
    x, wide = reading(6, left=left, right=right), max(left, right)
    a, b = pad(x.left, wide), pad(x.right, wide)
    total = build("Sum", out, left=left, right=right)
    fitted = a + b if wide == out else (a + b) @ slabs(total.fit).T
    assert (total.fit is None) == (wide == out)
    close(total(x), norm(fitted, total.norm))
    gating = build("SG", out, left=left, right=right)
    gated = torch.sigmoid(a @ slabs(gating.gate).T + gating.gate.bias) * b
    fitted = gated if wide == out else gated @ slabs(gating.fit).T + gating.fit.bias
    close(gating(x), norm(fitted, gating.norm))


@pytest.mark.parametrize("out", [16, 24, 36, 64])
def test_dot_product_oracle(out):
    op, x = build("DP", out), reading(6)
    joined = torch.cat(list(x.sparse.values()), 2)
    tokens = norm(joined @ slabs(op.tokens.linear).T, op.tokens.norm)
    assert tokens.shape[2] == round(math.sqrt(2 * out))
    token = norm(torch.cat(list(x.dense.values()), 1) @ slabs(op.token.linear).T, op.token.norm)
    vectors = [token] + [tokens[:, :, n] for n in range(tokens.shape[2])]
    products = [(vectors[i] * vectors[j]).sum(1) for i in range(1, len(vectors)) for j in range(i)]
    pairs = torch.stack(products, 1)
    close(op(x), norm(pairs if op.fit is None else pairs @ slabs(op.fit).T, op.norm))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_plain_dot_product_oracle(layer_norm):
    op, x = build("PlainDP", layer_norm=layer_norm, tokens=(3, 1, 4)), reading(6, tokens=(3, 1, 4))
    dense = torch.cat(list(x.dense.values()), 1) @ slabs(op.token.linear).T
    token = norm(dense, op.token.norm) if layer_norm else dense + op.token.linear.bias
    parts = {"token": token.unsqueeze(2), **x.sparse}
    y, pairs = torch.zeros(6, 24), set()
    for slab, weight in op.weight.items():
        name, other = slab.split("-")
        n, m = parts[name].shape[2], parts[other].shape[2]
        of = [(i, j) for i in range(n) for j in range(i if name == other else m)]
        for column, (i, j) in zip(weight.flatten(1).T, of, strict=True):
            product = (parts[name][:, :, i] * parts[other][:, :, j]).sum(1)
            y = y + product[:, None] * column
            pairs.add(frozenset([(name, i), (other, j)]))
    assert len(pairs) == 9 * 8 / 2  # of 1 + 3 + 1 + 4 tokens, each two once
    close(op(x), norm(y, op.norm) if layer_norm else y + op.bias)


def test_a_plain_dot_product_is_quadratic_in_tokens():
    def count(n):
        return sum(
            p.numel() for p in build("PlainDP", out=512, dense=(512,), tokens=(n,)).parameters()
        )

    assert count(60) - count(59) == 60 * 512


def test_dot_product_takes_a_dense_input_of_embedding_width_as_it_is():
    assert build("DP", dense=(9, 7)).token is None


def test_balanced_dot_product_is_linear_in_tokens():
    def count(n):
        op = build("DP", out=512, dense=(512,), tokens=(n,))
        return sum(p.numel() for p in op.parameters())

    assert count(448) < 512 * 528 + 449 * 32 + 512 * 16 + 2000
    assert count(448) - count(447) == 32


def test_attention_oracle_is_torchs_encoder_layer():
    op, x = build("Attn"), reading(6)
    layer = torch.nn.TransformerEncoderLayer(E, 8, dim_feedforward=E, dropout=0, batch_first=True)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(op.qkv.weight["x"])
        layer.self_attn.in_proj_bias.copy_(op.qkv.bias)
        for mine, theirs in (
            (op.mix, layer.self_attn.out_proj),
            (op.up, layer.linear1),
            (op.down, layer.linear2),
        ):
            theirs.weight.copy_(mine.weight["x"])
            theirs.bias.copy_(mine.bias)
        for mine, theirs in ((op.norm1, layer.norm1), (op.norm2, layer.norm2)):
            theirs.load_state_dict(mine.state_dict())
    joined = torch.cat(list(x.sparse.values()), 2)
    tokens = norm(joined @ slabs(op.project.linear).T, op.project.norm).transpose(1, 2)
    close(op(x), layer(tokens).transpose(1, 2))


def test_mergers_oracle():
    options, fixed = ModelOptions(), Axis.fixed
    x = torch.randn(5, E, 6, generator=torch.Generator().manual_seed(0))
    pairs = sum(2 * x[:, :, i] * x[:, :, j] for i in range(6) for j in range(i))
    merger = SparseToDense(fixed(16), options, Maker(fresh(0)))
    assert list(merger.parameters()) == []
    close(merger(x), pairs)
    merger = SparseToDense(fixed(20), options, Maker(fresh(0)))
    close(merger(x), norm(pairs @ slabs(merger.project.linear).T, merger.project.norm))
    dense = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    assert list(DenseToSparse(fixed(128), options, Maker(fresh(0))).parameters()) == []
    close(DenseToSparse(fixed(128), options, Maker(fresh(0)))(dense), dense.view(5, E, 8))
    merger = DenseToSparse(fixed(10), options, Maker(fresh(0)))
    y = norm(dense[:, :10] @ slabs(merger.project.linear).T, merger.project.norm)
    close(merger(dense[:, :10]), y.view(5, E, 8))


def test_pairs_of_fewer_tokens_are_a_prefix():
    def names(n):
        return [(int(t) // (n + 1), int(t) % (n + 1)) for t in build_triangle(n)]

    def build_triangle(n):
        out = next(d for d in range(1, 2000) if round(math.sqrt(2 * d)) == n)
        return build("DP", out=out).triangle

    assert names(11) == names(23)[: len(names(11))]


def test_user_operator_needs_one_class():
    @register
    class Doubled(Operator):
        """Twice the left input, for the test."""

        info = OperatorInfo("TestDoubled", "dense", frozenset({"pair"}))

        def __init__(self, widths, options, make):
            super().__init__(widths, options, make)
            self.madds = 0
            self.out = widths.out.size

        def forward(self, x: Reading):
            return F.pad(2 * x.left, (0, self.out - x.left.shape[1]))

    try:
        assert operator_class("TestDoubled") is Doubled
        close(build("TestDoubled")(reading(2))[:, :5], 2 * reading(2).left)
    finally:
        del OPERATORS["TestDoubled"]
    with pytest.raises(SpaceError, match="nothing computes it"):
        operator_class("TestDoubled")


def test_dot_product_counts_pairs():
    assert DotProduct.info.reads == {"dense", "sparse"}
