"""Ways to train the shared weights beyond the paper's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nasrec.nn import NASRecNet
from nasrec.space import Architecture
from nasrec.train import SUPERNET_RECIPES, Adagrad, SupernetConfig, train_supernet
from nasrec.train.calm import FULL_RATE_WIDTH, head_factors, start_at_base_rate
from nasrec.train.sandwich import Sandwich, at_widths
from tests.train.helpers import SPACE, make_shared, make_split
from tests.train.test_loop import KilledError, kill_at
from tests.train.test_supernet import same_store


def sample(seed: int) -> Architecture:
    return SPACE.sample(np.random.default_rng(seed))


BATCH = make_split(60).rows(0, 60)


def test_the_same_path_at_its_ends():
    for seed in range(5):
        path = sample(seed)
        large, small = (at_widths(SPACE, path, largest) for largest in (True, False))
        for a, b, c in zip(path.blocks, large.blocks, small.blocks, strict=True):
            assert (b.dense_dim, b.sparse_dim) == (16, 8)
            assert (c.dense_dim, c.sparse_dim) == (8, 4)
            assert a.dense_ops == b.dense_ops == c.dense_ops
            assert a.connections_read == b.connections_read == c.connections_read
        assert large in SPACE
        assert small in SPACE


def test_gradients_of_a_sandwich_are_those_of_its_subnets_summed():
    """Each subnet by itself, its gradient laid into the shared tensor's leading slice."""
    paths = [at_widths(SPACE, sample(3), True), at_widths(SPACE, sample(3), False), sample(4)]
    shared, twin = make_shared(seed=1), make_shared(seed=1)
    sandwich = Sandwich(shared, paths)
    loss = sandwich.loss(BATCH)
    loss.backward()
    expected: dict[str, torch.Tensor] = {}
    total, targets = 0.0, BATCH.labels
    for path in paths:
        subnet = twin.subnet(path)
        logits = subnet(BATCH.dense, BATCH.sparse)
        one = F.binary_cross_entropy_with_logits(logits, targets) / len(paths)
        one.backward()
        if path is paths[0]:
            targets = torch.sigmoid(logits.detach())
        total += one.item()
        for name, parameter in subnet.named_parameters():
            grad = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
            whole = expected.setdefault(name, torch.zeros(twin.shape(name)))
            whole[tuple(slice(n) for n in grad.shape)] += grad
    assert loss.item() == pytest.approx(total, rel=1e-6)
    leaves = dict(sandwich.named_parameters())
    assert leaves.keys() == expected.keys()
    for name, leaf in leaves.items():
        grad = leaf.grad.to_dense() if leaf.grad.is_sparse else leaf.grad
        part = expected[name][tuple(slice(n) for n in grad.shape)]
        torch.testing.assert_close(grad, part, rtol=1e-5, atol=1e-7)
        missed = expected[name].abs().sum() - part.abs().sum()
        assert abs(float(missed)) < 1e-6, "the leaf holds all of it"


def test_a_step_on_a_sandwich_changes_the_store():
    shared = make_shared()
    sandwich = Sandwich(shared, [sample(1), sample(2)])
    before = {name: tensor.clone() for name, tensor in shared.tensors.items()}
    sandwich.loss(BATCH).backward()
    Adagrad(shape_of=shared.shape).step(sandwich.named_parameters(), 0.1)
    assert not torch.equal(before["head.dense"], shared.tensors["head.dense"])


def test_a_calm_head_starts_at_the_base_rate():
    shared = make_shared()
    start_at_base_rate(shared, 0.2)
    for seed in range(4):
        logits = shared.subnet(sample(seed))(BATCH.dense, BATCH.sparse)
        assert logits.tolist() == pytest.approx([math.log(0.2 / 0.8)] * 60)


def test_a_calm_heads_rate_falls_with_its_width():
    for seed in range(4):
        network = NASRecNet(sample(seed), make_shared().inputs, make_shared().options)
        factors = head_factors(list(network.named_parameters()))
        assert set(factors) == {
            f"head.{name}" for name, _ in network.head.named_parameters() if name != "bias"
        }
        assert set(factors.values()) == {min(1.0, FULL_RATE_WIDTH / len(network.head_weight()))}


def test_factors_scale_the_step():
    plain, scaled = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    for parameter, optimizer in (
        (plain, Adagrad()),
        (scaled, Adagrad(factors=lambda named: {"w": 0.5})),
    ):
        parameter.grad = torch.tensor([1.0, 2.0, 3.0])
        optimizer.step([("w", parameter)], 0.1)
    torch.testing.assert_close(1 - scaled, (1 - plain) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"fair": True}, {"sandwich": True}])
def test_they_learn_and_go_on_after_a_stop(changes, tmp_path):
    config = SupernetConfig(batch_size=32, path_warmup_fraction=0.0, head="calm", **changes)
    straight, resumed = make_shared(), make_shared()
    split = make_split(3200, 1)
    result = train_supernet(straight, split, config, seed=2)
    losses = [record["train_logloss"] for record in result.history]
    assert losses[0] < 0.71, "near log 2 from the first step on; 1 to 10 with a plain head"
    assert losses[-1] < losses[0]

    options = {"checkpoint": tmp_path, "checkpoint_seconds": 0.0}
    with pytest.raises(KilledError):
        train_supernet(make_shared(), split, config, seed=2, progress=kill_at(40), **options)
    train_supernet(resumed, split, config, seed=2, **options)
    assert same_store(straight, resumed)


def test_the_papers_recipe_stays_by_its_name():
    paper = SUPERNET_RECIPES["paper"]
    assert paper.strategy == "single-any"
    assert (paper.learning_rate, paper.path_warmup_fraction, paper.epochs) == (0.12, 0.2, 1)
    assert (paper.head, paper.sandwich, paper.optimizer) == ("plain", False, "adagrad")
    assert not paper.fair
