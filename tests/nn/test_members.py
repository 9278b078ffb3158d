"""Several networks as one model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nasrec.data import SyntheticLog, prepare
from nasrec.nn import Members, ModelOptions, NASRecNet, standalone_costs
from nasrec.pipeline.data import inputs_of
from nasrec.serve import ModelSpec
from nasrec.space import NASREC_PLUS
from nasrec.train import TrainConfig, fit, predict_logits

ARCHITECTURE = NASREC_PLUS.with_(
    name="narrow", dense_dims=(8, 16), sparse_dims=(4, 8), blocks=2
).sample(np.random.default_rng(0))
TWO = ModelOptions(embedding_dim=8, layer_norm=False, first_order=True, members=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))
    return prepare(log.generate(800), tmp_path_factory.mktemp("members") / "data", label="label")


def specs(data):
    yield ModelSpec("nasrec", inputs_of(data), TWO, ARCHITECTURE)
    yield ModelSpec("mlp", inputs_of(data), ModelOptions(hidden=(8,), members=2))


def test_members_learn_as_each_would_alone(data):
    config = TrainConfig(epochs=2, batch_size=128, embedding_l2=1e-3, clip_norm=0.1)
    for spec in specs(data):
        both = spec.build(3)
        alone = [spec._one() for _ in both.members]
        for one, member in zip(alone, both.members, strict=True):
            one.load_state_dict(member.state_dict())
        first, second = (dict(member.named_parameters()) for member in both.members)
        assert not all(torch.equal(first[name], second[name]) for name in first)
        told = fit(both, data.train, None, config, seed=5).history
        apart = [fit(one, data.train, None, config, seed=5).history for one in alone]
        for one, member in zip(alone, both.members, strict=True):
            for name, tensor in one.state_dict().items():
                assert torch.equal(member.state_dict()[name], tensor), name
        means = np.mean([[record["train_logloss"] for record in h] for h in apart], axis=0)
        assert [record["train_logloss"] for record in told] == pytest.approx(list(means))
        logits = [predict_logits(one, data.valid) for one in alone]
        assert torch.allclose(predict_logits(both, data.valid), sum(logits) / 2, atol=1e-6)


def test_one_member_is_the_network_itself_and_more_cost_as_many_times(data, tmp_path):
    (spec, _), inputs = specs(data), inputs_of(data)
    one = ModelSpec("nasrec", inputs, ModelOptions(embedding_dim=8), ARCHITECTURE).build(3)
    assert type(one) is NASRecNet
    both = spec.build(3)
    assert type(both) is Members
    assert both.architecture == ARCHITECTURE
    single = NASRecNet(ARCHITECTURE, inputs, TWO, seed=3)
    assert both.madds == 2 * single.madds
    costs = standalone_costs(ARCHITECTURE, inputs, TWO)
    assert costs["madds"] == both.madds
    assert costs["bytes"] == 4 * sum(p.numel() for p in both.parameters())
    assert torch.equal(both.members[0].state_dict()["embedding.weight"], single.embedding.weight)
    save_file(both.state_dict(), tmp_path / "weights.safetensors")
    again = spec.load(tmp_path / "weights.safetensors")
    assert torch.equal(predict_logits(again, data.valid), predict_logits(both, data.valid))
