"""NASRecNet: only live parts, empty columns, seeds."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from nasrec.errors import ConfigError
from nasrec.nn import Inputs, ModelOptions, NASRecNet, build_baseline
from nasrec.space import Architecture, published
from tests.nn.helpers import INPUTS, draw, rows


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6)), Inputs(4, ())])
@pytest.mark.parametrize("seed", range(6))
def test_any_architecture_on_any_columns(seed, inputs, batch):
    model = NASRecNet(draw(seed), inputs)
    dense, sparse, _ = rows(inputs, batch)
    logits = model(dense, sparse)
    assert logits.shape == (batch,)
    assert logits.isfinite().all()
    if batch:
        logits.sum().backward()


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_pruning_changes_no_output(seed, layer_norm):
    options = ModelOptions(layer_norm=layer_norm)
    whole = NASRecNet(draw(seed), INPUTS, options, prune=False)
    live = NASRecNet(draw(seed), INPUTS, options)
    dense, sparse, _ = rows(INPUTS, 7)
    assert {n for n, _ in live.named_parameters()} <= {n for n, _ in whole.named_parameters()}
    torch.testing.assert_close(live(dense, sparse), whole(dense, sparse), rtol=0, atol=0)
    whole(dense, sparse).sum().backward()
    reached = {n for n, p in whole.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in live.named_parameters()}


def test_a_dead_blocks_content_changes_nothing():
    """Blocks 4, 5 and 6 of the published Criteo-Full network are dead."""
    spelt = published("criteo-full").to_dict()
    spelt["blocks"][4]["dense_dim"] = 512
    spelt["blocks"][5]["dense_ops"] = ["Sum"]
    dense, sparse, _ = rows(INPUTS, 4)
    a = NASRecNet(published("criteo-full"), INPUTS)(dense, sparse)
    b = NASRecNet(Architecture.from_dict(spelt), INPUTS)(dense, sparse)
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6)), Inputs(4, ())])
def test_the_linear_part_is_logistic_regression_beside_the_blocks(inputs):
    architecture, rows_ = draw(2), rows(inputs, 6)[:2]
    without = NASRecNet(architecture, inputs, seed=1)
    model = NASRecNet(architecture, inputs, ModelOptions(first_order=True), seed=1)
    torch.testing.assert_close(model(*rows_), without(*rows_))  # it begins at zero
    assert model.madds == without.madds + inputs.dense + 1
    linear = build_baseline("logreg", inputs)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.normal_()
        model.first_order.load_state_dict(linear.state_dict())
        model.head.first_order.fill_(2)
    torch.testing.assert_close(model(*rows_), without(*rows_) + 2 * linear(*rows_))
    model(*rows_).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_logit_is_the_last_fc_on_the_features():
    model = NASRecNet(draw(2), INPUTS)
    dense, sparse, _ = rows(INPUTS, 6)
    features = model.features(dense, sparse)
    torch.testing.assert_close(
        model(dense, sparse), features @ model.head.weight() + model.head.bias
    )
    assert features.shape[1] == model.head.madds


def test_mergers_read_the_branch_sums_side_by_side():
    """Dense-to-sparse sees Y_d before the FM vector joins it; FM pools Y_s without the tokens."""
    spelt = {
        "blocks": [
            {
                "dense_ops": ["FC"],
                "sparse_ops": ["EFC"],
                "dense_dim": 32,
                "sparse_dim": 16,
                "dense_inputs": [0],
                "sparse_inputs": [0],
                "dense_to_sparse": True,
                "sparse_to_dense": True,
            }
        ]
    }
    model = NASRecNet(Architecture.from_dict(spelt), INPUTS)
    dense, sparse, _ = rows(INPUTS, 5)
    block = model.blocks["1"]
    tokens = model.embedding(sparse).transpose(1, 2)
    y_d, y_s, merged = block({0: dense}, {"0": tokens})
    branch = torch.relu(block.dense["FC"].project({"0": dense}))
    torch.testing.assert_close(merged, block.to_sparse(branch))
    torch.testing.assert_close(y_d, branch + block.to_dense(y_s))
    assert y_s.shape == (5, 16, 16)
    assert merged.shape == (5, 16, 8)


def test_embedding_gradient_holds_only_the_rows_touched():
    model = NASRecNet(draw(1), INPUTS)
    dense, sparse, _ = rows(INPUTS, 2)
    model(dense, sparse).sum().backward()
    grad = model.embedding.weight.grad.coalesce()
    touched = {int(i) for i in (sparse + model.embedding.starts).flatten()}
    assert set(grad.indices()[0].tolist()) == touched


def test_embedding_cap_folds_ids():
    options = ModelOptions(embedding_cap=3)
    model = NASRecNet(draw(1), Inputs(1, (2, 50)), options)
    assert model.embedding.rows == (2, 3)
    dense = torch.zeros(2, 1)
    logits = model(dense, torch.tensor([[1, 4], [1, 49]]))
    torch.testing.assert_close(logits[0], logits[1])
    assert not torch.isclose(logits[0], model(dense, torch.tensor([[1, 5], [1, 49]]))[0])


def test_embeddings_are_xavier_normal_by_table():
    weight = NASRecNet(draw(0), Inputs(0, (50_000, 20))).embedding.weight.detach()
    assert weight[:50_000].std() == pytest.approx((2 / 50_016) ** 0.5, rel=0.02)
    assert weight[50_000:].std() == pytest.approx((2 / 36) ** 0.5, rel=0.15)


def test_seed_decides_the_weights_in_any_process():
    code = (
        "from nasrec.nn import NASRecNet; from tests.nn.helpers import INPUTS, draw, rows;"
        "print(NASRecNet(draw(3), INPUTS, seed=5)(*rows(INPUTS, 2)[:2]).tolist())"
    )
    here = NASRecNet(draw(3), INPUTS, seed=5)(*rows(INPUTS, 2)[:2]).tolist()
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == str(here)
    assert NASRecNet(draw(3), INPUTS, seed=6)(*rows(INPUTS, 2)[:2]).tolist() != here


def test_bad_options_are_told():
    with pytest.raises(ConfigError, match="no multiple of heads"):
        ModelOptions(embedding_dim=10)
    with pytest.raises(ConfigError, match="at least one"):
        Inputs(0, ())


def test_a_network_computes_where_its_weights_are():
    """On the device without storage: no tensor is made, or left, on another one."""
    for seed in range(2):
        model = NASRecNet(draw(seed), INPUTS).to("meta")
        dense, sparse, _ = (x.to("meta") for x in rows(INPUTS, 4))
        logits = model(dense, sparse)
        assert (logits.device.type, logits.shape) == ("meta", (4,))
        logits.sum().backward()
        assert all(p.grad.device.type == "meta" for p in model.parameters())
