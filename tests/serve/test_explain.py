"""Explanations: against what was planted, and against gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasrec.errors import ConfigError
from nasrec.nn import Inputs, ModelOptions, NASRecNet
from nasrec.serve import explain
from nasrec.serve.explain import importance_table, permutation_importance, reach, reach_text
from nasrec.space import NASREC_FULL, load_architecture
from tests.serve.models import model_of


def test_importance_finds_what_the_model_uses(tmp_path):
    """A logistic regression of one numeric and one categorical column."""
    model = model_of(tmp_path, "logreg")
    network = model.network
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.0, 2.0, 0.0, 0.0, 0.0]))
        network.bends.zero_()
        start, size = int(network.embedding.starts[1]), network.embedding.rows[1]
        network.embedding.weight.zero_()
        network.embedding.weight[start : start + size, 0] = torch.linspace(-2, 2, size)
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(3000, 2)).astype(np.float32)
    sparse = np.stack([rng.integers(0, v, 3000) for v in model.spec.inputs.vocabulary], 1)
    logits = model.logits(dense, sparse)
    labels = (rng.random(3000) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    before = dense.copy(), sparse.copy()
    found = permutation_importance(model, dense, sparse, labels)
    assert [i.column for i in found[:2]] == ["I2", "C2"]
    assert min(i.logloss for i in found[:2]) > 0.05
    assert all(i.logloss == i.auc == 0 for i in found[2:])
    np.testing.assert_array_equal(dense, before[0])
    np.testing.assert_array_equal(sparse, before[1])
    assert permutation_importance(model, dense, sparse, labels) == found
    assert importance_table(found).splitlines()[1].startswith("I2")
    with pytest.raises(ConfigError):
        permutation_importance(model, dense, sparse, labels, repeats=0)


@pytest.mark.parametrize("seed", range(40))
def test_inputs_reach_the_logit_where_gradients_do(seed):
    """Cutting a block's outputs changes the logit exactly if the block is on some way."""
    space = NASREC_FULL.with_(dense_dims=(8,), sparse_dims=(4,), blocks=5)
    architecture = space.sample(np.random.default_rng(seed))
    options = ModelOptions(embedding_dim=8, heads=2, merger_tokens=2, layer_norm=False)
    network = NASRecNet(architecture, Inputs(3, (4, 5)), options).double()
    for parameter in network.parameters():  # positive: no sum cancels, no ReLU is off
        torch.nn.init.uniform_(parameter, 0.05, 0.2)
    dense = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    sparse = torch.randint(0, 4, (6, 2))
    network(dense, sparse).sum().backward()
    numeric, categorical = reach(architecture)
    assert bool(numeric.paths) == (dense.grad is not None and bool(dense.grad.abs().sum() > 0))
    table = network.embedding.weight.grad
    used = table is not None and bool(table.to_dense().abs().sum() > 0)
    assert bool(categorical.paths) == used
    assert set(numeric.blocks) | set(categorical.blocks) <= set(architecture.live_blocks)
    for way in (numeric, categorical):
        assert {block for path in way.paths for block in path} == set(way.blocks)
        for path in way.paths:
            assert list(path) == sorted(path)
            assert path[-1] == len(architecture.blocks)


def test_the_text_names_blocks_and_shortens(monkeypatch):
    found = reach(load_architecture("published:criteo-full"))
    text = reach_text(found, most=2)
    assert "numeric columns reach the logit through the blocks" in text
    assert "paths in all" in text
    monkeypatch.setattr(explain, "MOST_PATHS", 3)
    assert all(len(way.paths) <= 3 for way in reach(load_architecture("published:criteo-full")))
