"""Every hand-made model passes one battery; each is checked against its defining equation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, Inputs, ModelOptions, build_baseline
from nasrec.train.optim import Adagrad
from tests.nn.helpers import INPUTS, rows

OPTIONS = ModelOptions(hidden=(8, 6))


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6)), Inputs(4, ())])
@pytest.mark.parametrize("name", BASELINES)
def test_shapes(name, inputs, batch):
    model = build_baseline(name, inputs, OPTIONS)
    logits = model(*rows(inputs, batch)[:2])
    assert logits.shape == (batch,)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", BASELINES)
def test_seed_decides(name):
    a, b, c = (build_baseline(name, INPUTS, OPTIONS, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    if name != "logreg":
        assert not all(torch.equal(a[k], c[k]) for k in a)


@pytest.mark.parametrize("name", BASELINES)
def test_overfits_a_tiny_set(name):
    inputs = Inputs(3, (40, 40, 40))
    dense, sparse, labels = rows(inputs, 24)
    model, optimizer = build_baseline(name, inputs, OPTIONS), Adagrad()
    for _ in range(300):
        for p in model.parameters():
            p.grad = None
        loss = F.binary_cross_entropy_with_logits(model(dense, sparse), labels)
        loss.backward()
        optimizer.step(model.named_parameters(), 0.2)
    assert loss < 0.05


def vectors(model, sparse):
    starts = model.embedding.starts
    weight = model.embedding.weight
    return [weight[sparse[:, f] + starts[f]] for f in range(sparse.shape[1])]


def perceptron(layers, x, last_relu=False):
    for i, layer in enumerate(layers):
        x = x @ layer.weight["x"].T + layer.bias
        if i + 1 < len(layers) or last_relu:
            x = x.clamp(min=0)
    return x


def test_logistic_regression_oracle():
    model = build_baseline("logreg", INPUTS, OPTIONS)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    dense, sparse, _ = rows(INPUTS, 5)
    expected = model.bias + (dense * model.weight).sum(1)
    expected = expected + sum(v[:, 0] for v in vectors(model, sparse))
    torch.testing.assert_close(model(dense, sparse), expected)


def test_mlp_oracle():
    model = build_baseline("mlp", INPUTS, OPTIONS)
    dense, sparse, _ = rows(INPUTS, 5)
    x = torch.cat([dense, *vectors(model, sparse)], 1)
    torch.testing.assert_close(model(dense, sparse), perceptron(model.layers.layers, x)[:, 0])


@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6, 7))])
def test_dlrm_oracle(inputs):
    model = build_baseline("dlrm", inputs, OPTIONS)
    dense, sparse, _ = rows(inputs, 5)
    embedded = vectors(model, sparse)
    if inputs.dense:
        z = perceptron(model.bottom.layers, dense, last_relu=True)
        all_vectors, beside = [z, *embedded], [z]
    else:
        all_vectors, beside = embedded, embedded
    pairs = [
        (all_vectors[i] * all_vectors[j]).sum(1, keepdim=True)
        for i in range(len(all_vectors))
        for j in range(i)
    ]
    x = torch.cat([*beside, *pairs], 1)
    torch.testing.assert_close(model(dense, sparse), perceptron(model.top.layers, x)[:, 0])


def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean dlrm"):
        build_baseline("dlmr", INPUTS)
