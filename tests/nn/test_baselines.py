"""Every hand-made model passes one battery; their equations: `test_baseline_equations.py`."""

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
        if loss < 0.05:
            return
        loss.backward()
        optimizer.step(model.named_parameters(), 0.2)
    pytest.fail(f"loss {loss:.3f} after 300 steps")


def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'dlrm'"):
        build_baseline("dlmr", INPUTS)


def test_every_model_has_a_title_and_a_paper_of_its_own():
    models = list(BASELINES.values())
    assert len({m.title for m in models}) == len({m.__doc__ for m in models}) == len(models)
    assert all(m.paper and any(c.isdigit() for c in m.paper) for m in models)


@pytest.mark.parametrize("name", BASELINES)
def test_without_hidden_layers(name):
    model = build_baseline(name, INPUTS, ModelOptions(hidden=()))
    assert model(*rows(INPUTS, 2)[:2]).isfinite().all()
