"""Every hand-made model against its defining equation, as loops over rows, columns and pairs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from nasrec.nn import BASELINES, Inputs, ModelOptions, build_baseline
from tests.nn.helpers import INPUTS, rows

# Sizes for which the loops are fast.
OPTIONS = ModelOptions(embedding_dim=4, heads=1, hidden=(8, 6), cin=(3, 4, 2), attention_layers=2)
OTHER_SIZES = {
    "dcn": {"cross_layers": 2},
    "dcn-v2": {"cross_layers": 4},
    "xdeepfm": {"cin": (5,)},
    "autoint": {"attention_layers": 1, "attention_heads": 3},
}


def embeddings(table, ids):
    """One row's vector for each categorical column."""
    return [table.weight[i + start] for i, start in zip(ids, table.starts, strict=True)]


def linear(layer, x):
    """W x (+ b) by a loop over outputs."""
    (weight,) = layer.weight.values()
    y = torch.stack([sum(w * v for w, v in zip(row, x, strict=True)) for row in weight])
    return y if layer.bias is None else y + layer.bias


def perceptron(mlp, x, last_relu=False):
    for i, layer in enumerate(mlp.layers):
        x = linear(layer, x)
        if i + 1 < len(mlp.layers) or last_relu:
            x = x.clamp(min=0)
    return x


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def pairs(vectors):
    return sum((dot(a, b) for a, b in itertools.combinations(vectors, 2)), torch.tensor(0.0))


def first_order(model, dense, ids):
    return model.bias[0] + dot(dense, model.weight) + sum(embeddings(model.embedding, ids))


def fields(model, dense, ids):
    numeric = [x * u for x, u in zip(dense, model.fields.weight, strict=True)]
    return numeric + embeddings(model.embedding, ids)


def stacked(model, dense, ids):
    return torch.cat([dense, *embeddings(model.embedding, ids)])


def norm(x, gain, shift):
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * gain + shift


def logreg(model, dense, ids):
    return first_order(model, dense, ids)


def mlp(model, dense, ids):
    return perceptron(model.layers, stacked(model, dense, ids))


def dlrm(model, dense, ids):
    vectors = beside = embeddings(model.embedding, ids)
    if len(dense):
        beside = [perceptron(model.bottom, dense, last_relu=True)]
        vectors = beside + vectors
    products = [dot(vectors[i], vectors[j]) for i in range(len(vectors)) for j in range(i)]
    return perceptron(model.top, torch.cat([*beside, torch.tensor(products)]))


def fm(model, dense, ids):
    return first_order(model.first, dense, ids) + pairs(fields(model, dense, ids))


def wide_deep(model, dense, ids):
    wide = first_order(model.wide, dense, ids)
    return wide + perceptron(model.deep, stacked(model, dense, ids))


def deepfm(model, dense, ids):
    vectors = fields(model, dense, ids)
    first = first_order(model.first, dense, ids)
    return first + pairs(vectors) + perceptron(model.deep, torch.cat(vectors))


def deep_crossing(model, dense, ids):
    table = embeddings(model.embedding, ids)
    x = torch.cat([dense, *((e + b).clamp(min=0) for e, b in zip(table, model.bias, strict=True))])
    for unit in model.units:
        inner = linear(unit.layers[0], x).clamp(min=0)
        x = (x + linear(unit.layers[1], inner)).clamp(min=0)
    return linear(model.head, x)


def dcn(model, dense, ids):
    first = x = stacked(model, dense, ids)
    for layer in model.cross:
        (w,) = layer.weight.weight["x"]
        x = torch.outer(first, x) @ w + layer.bias + x
    # The paper's output layer reads both branches at once.
    hidden = first
    *inner, last = model.deep.layers
    for layer in inner:
        hidden = linear(layer, hidden).clamp(min=0)
    joint = torch.cat([model.head.weight["x"][0], last.weight["x"][0]])
    return dot(joint, torch.cat([x, hidden])) + last.bias


def dcn_v2(model, dense, ids):
    first = x = stacked(model, dense, ids)
    for layer in model.cross:
        x = torch.stack(
            [
                first[i] * (dot(layer.weight.weight["x"][i], x) + layer.weight.bias[i]) + x[i]
                for i in range(len(x))
            ]
        )
    return linear(model.head, x) + perceptron(model.deep, first)


def xdeepfm(model, dense, ids):
    vectors = fields(model, dense, ids)
    before, pooled = vectors, []
    for layer in model.cin.layers:
        maps = []
        for weight in layer.weight["x"]:
            w = weight.view(len(before), len(vectors))
            maps.append(
                sum(
                    w[i, j] * before[i] * vectors[j]
                    for i in range(len(before))
                    for j in range(len(vectors))
                )
            )
        pooled += [m.sum() for m in maps]
        before = maps
    first = first_order(model.first, dense, ids)
    crossed = linear(model.head, torch.stack(pooled))
    return first + crossed + perceptron(model.deep, torch.cat(vectors))


def autoint(model, dense, ids, width=32):
    vectors = fields(model, dense, ids)
    for layer in model.layers:
        heads = layer.heads
        q, k, v, r = (
            [part.weight["x"] @ e for e in vectors]
            for part in (layer.query, layer.key, layer.value, layer.residual)
        )
        after = []
        for m in range(len(vectors)):
            mixed = []
            for h in range(heads):
                own = slice(h * width, (h + 1) * width)
                scores = torch.stack([dot(q[m][own], k[n][own]) for n in range(len(vectors))])
                scores = (scores - scores.max()).exp()
                mixed.append(sum(s / sum(scores) * v[n][own] for n, s in enumerate(scores)))
            after.append((torch.cat(mixed) + r[m]).clamp(min=0))
        vectors = after
    return linear(model.head, torch.cat(vectors))


def autoint_plus(model, dense, ids):
    return autoint(model, dense, ids) + perceptron(model.deep, torch.cat(fields(model, dense, ids)))


def finalmlp(model, dense, ids):
    flat = torch.cat(fields(model, dense, ids))
    left, right = (
        perceptron(stream, 2 / (1 + (-gate).exp()) * flat, last_relu=True)
        for stream, gate in zip(model.streams, model.gates, strict=True)
    )
    fusion = model.fusion
    weight = fusion.linear.weight
    logit = weight["left"][0] @ left + weight["right"][0] @ right + fusion.linear.bias
    heads, piece, _ = fusion.weight.shape
    assert (heads, piece) == (2, 3)  # gcd(10, 6) heads
    for h, i, j in itertools.product(range(heads), range(piece), range(piece)):
        logit = logit + left[h * piece + i] * fusion.weight[h, i, j] * right[h * piece + j]
    return logit


def masknet(model, dense, ids):
    vectors = fields(model, dense, ids)
    guide = torch.cat(vectors)
    x = torch.cat([norm(*of) for of in zip(vectors, model.gain, model.shift, strict=True)])
    for block in model.blocks:
        mask = perceptron(block.mask, guide)
        x = norm(linear(block.linear, mask * x), block.norm.weight, block.norm.bias).clamp(min=0)
    return linear(model.head, x)


EQUATIONS = {
    "logreg": logreg, "mlp": mlp, "dlrm": dlrm, "fm": fm, "wide-deep": wide_deep,
    "deepfm": deepfm, "deep-crossing": deep_crossing, "dcn": dcn, "dcn-v2": dcn_v2,
    "xdeepfm": xdeepfm, "autoint": autoint, "autoint-plus": autoint_plus,
    "finalmlp": finalmlp, "masknet": masknet,
}  # fmt: skip


def test_every_model_has_its_equation():
    assert set(EQUATIONS) == set(BASELINES)


@pytest.mark.parametrize(
    "inputs", [INPUTS, Inputs(0, (5, 6, 7)), Inputs(2, ())], ids=["both", "ids", "dense"]
)
@pytest.mark.parametrize("name", BASELINES)
def test_equation(name, inputs):
    check(name, inputs, OPTIONS)


@pytest.mark.parametrize(("name", "sizes"), OTHER_SIZES.items(), ids=list(OTHER_SIZES))
def test_equation_of_other_sizes(name, sizes):
    check(name, INPUTS, replace(OPTIONS, **sizes))


@torch.no_grad()
def check(name, inputs, options):
    model = build_baseline(name, inputs, options)
    generator = torch.Generator().manual_seed(4)  # one that leaves some ReLU of each model alive
    for parameter in model.parameters():  # biases, gates and first-order weights start at zero
        parameter.normal_(0, 0.25, generator=generator)
    model = model.double()
    dense, sparse, _ = rows(inputs, 3)
    dense = dense.double()
    given = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected = [
            EQUATIONS[name](model, *row).reshape(()) for row in zip(dense, sparse, strict=True)
        ]
    finally:
        torch.set_default_dtype(given)
    expected = torch.stack(expected)
    assert expected.std() > 1e-3
    torch.testing.assert_close(model(dense, sparse), expected, rtol=1e-9, atol=1e-9)
