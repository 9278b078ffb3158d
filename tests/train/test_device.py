"""Placement: nothing stays on the CPU on the way. Torch's device `meta` stands for another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nasrec
from nasrec.config import SearchConfig, config_from_options
from nasrec.data import Batch, prepare
from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, Inputs, ModelOptions, SharedWeights, Together, build_baseline
from nasrec.search.evaluate import LastLayer
from nasrec.space import NASREC_FULL, NASREC_PLUS
from nasrec.train import TrainConfig, build_optimizer, fit
from nasrec.train.device import device_of
from nasrec.train.loop import weighted_loss
from tests.end_to_end.tiny import LOG
from tests.train.helpers import INPUTS as SMALL
from tests.train.helpers import make_split

META = torch.device("meta")
INPUTS = Inputs(3, (5, 6, 7, 3), slots=(1, 1, 2, 1))
OPTIONS = ModelOptions(dropout=0.2, embedding_dropout=0.2, embedding_cap=6, first_order=True)


BATCH = Batch(torch.zeros(8, 3), torch.zeros(8, 5, dtype=torch.int64), torch.zeros(8)).map(
    lambda tensor: tensor.to(META)
)


def train_one_step(network, **settings):
    """Forward, backward and update; every gradient and state must be where the weight is."""
    for module in network.modules():  # an index on the CPU would pass, so all tensors are looked at
        held = [*module.parameters(), *module.buffers(), *vars(module).values()]
        assert {t.device for t in held if isinstance(t, torch.Tensor)} <= {META}
    loss = weighted_loss(network(BATCH.dense, BATCH.sparse), BATCH)
    loss.backward()
    # A sparse gradient cannot be coalesced there: dense ones take the same path through updates.
    for parameter in network.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            assert parameter.grad.device == META
            parameter.grad = torch.empty_like(parameter)
    optimizer = build_optimizer(TrainConfig(**settings))
    optimizer.step(network.named_parameters(), 0.1)
    states = [state for slot in optimizer.state.values() for state in slot.values()]
    assert states
    assert {state.device for state in states} == {META}


@pytest.mark.parametrize("name", BASELINES)
def test_hand_made_models_compute_elsewhere(name):
    train_one_step(build_baseline(name, INPUTS, OPTIONS).to(META), optimizer="adam")


@pytest.mark.parametrize("space", [NASREC_FULL, NASREC_PLUS], ids=["full", "plus"])
def test_subnets_compute_elsewhere_and_are_scored_there(space):
    rng = np.random.default_rng(0)
    shared = SharedWeights(space, INPUTS, OPTIONS, device=META)
    train_one_step(shared.subnet(space.maximal(rng)))
    assert {tensor.device for tensor in shared.tensors.values()} == {META}
    networks = [shared.subnet(space.sample(rng)).eval() for _ in range(4)]
    train_one_step(shared.extract(space.sample(rng)))
    with torch.inference_mode():
        for i, features in Together(networks).features(BATCH.dense, BATCH.sparse):
            layer = LastLayer(networks[i].head.weight(), networks[i].head.bias, eps=0.01)
            layer.step(features, BATCH.labels, 0.1)
            assert layer.logits(features).device == META


def test_a_tensor_left_behind_would_be_found():
    network = build_baseline("dlrm", INPUTS, OPTIONS).to(META)
    network.embedding.starts = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="not on the expected device"):
        network(BATCH.dense, BATCH.sparse)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)cannot compute on 'cuda'.*choose cpu"):
        device_of("cuda")
    split = make_split(8)
    network = build_baseline("logreg", SMALL, OPTIONS)
    with pytest.raises(ConfigError, match="cannot compute on 'cuda:1'"):
        fit(network, split, None, TrainConfig(device="cuda:1"))
    config = config_from_options(device="cuda")
    assert config.training.device == "cuda"
    data = prepare(LOG.generate(300), tmp_path / "data", label="label")
    for search in (nasrec.search, nasrec.compare):
        with pytest.raises(ConfigError, match="cannot compute on 'cuda'"):
            search(data, out=tmp_path / "run", config=config)
        assert not (tmp_path / "run" / "retrain").exists()


@pytest.mark.parametrize("name", ["meta", "gpu", "cuda:", "mps"])
def test_other_names_are_refused(name):
    with pytest.raises(ConfigError, match="device"):
        SearchConfig(device=name)
    with pytest.raises(ConfigError, match="device"):
        TrainConfig(device=name)
