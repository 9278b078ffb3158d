"""Batch normalisation: torch's, in every model that has hidden layers, saved with its averages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, ModelOptions, NASRecNet, SharedWeights, build_baseline
from nasrec.nn.batch_norm import BatchNorm
from nasrec.nn.operators import Reading, Widths, operator_class
from nasrec.nn.parameters import Axis, Maker, fresh
from tests.nn.helpers import INPUTS, MULTI, draw, rows

PLAIN = ModelOptions(hidden=(8, 6), layer_norm=False)
NORMED = replace(PLAIN, batch_norm=True)
MODELS = {
    **{n: lambda options, n=n: build_baseline(n, INPUTS, options, seed=1) for n in BASELINES},
    "nasrec": lambda options: NASRecNet(draw(3), INPUTS, options, seed=1),
}
#: They have no hidden layer, or one that is normalised otherwise.
WITHOUT = {"logreg", "fm", "autoint", "masknet"}


def test_is_that_of_torch():
    ours, theirs = BatchNorm(Axis.fixed(5), Maker(fresh(0))), nn.BatchNorm1d(5)
    for seed in range(4):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed)) * (seed + 1) + seed
        torch.testing.assert_close(ours(x), theirs(x))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))


def test_channels_are_the_last_axis():
    norm, x = BatchNorm(Axis.fixed(3), Maker(fresh(0))), torch.randn(6, 4, 3) * 5 + 2
    y = norm(x).flatten(0, 1)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(0, unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_models_learn_averages_and_score_rows_alone(name):
    model = MODELS[name](NORMED)
    assert (name in WITHOUT) == (not norms_of(model))
    dense, sparse, _ = rows(INPUTS, 16)
    model.train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model(dense, sparse)
    moved = [key for key, t in model.state_dict().items() if not torch.equal(t, before[key])]
    assert len(moved) == 2 * len(norms_of(model))  # a mean and a variance each
    assert model(dense[:1], sparse[:1]).isfinite().all()  # one row has no variance
    twin = MODELS[name](NORMED)
    twin.load_state_dict(model.state_dict())
    model.eval(), twin.eval()
    together = model(dense, sparse)
    assert torch.equal(together, twin(dense, sparse))
    alone = torch.cat([model(dense[i : i + 1], sparse[i : i + 1]) for i in range(16)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def norms_of(model):
    return [module for module in model.modules() if isinstance(module, BatchNorm)]


def test_a_supernet_has_none():
    with pytest.raises(ConfigError, match="layer_norm"):
        SharedWeights(MULTI, INPUTS, NORMED)


def test_the_spread_of_new_embeddings():
    std = 1e-3
    weight = build_baseline("fm", INPUTS, replace(PLAIN, embedding_std=std)).embedding.weight
    assert weight.std().item() == pytest.approx(std, rel=0.1)
    with pytest.raises(ConfigError, match="embedding_std"):
        ModelOptions(embedding_std=0.0)


def test_in_a_nasrecnet_it_is_before_the_relu_and_not_on_tokens():
    networks = [NASRecNet(draw(seed), INPUTS, NORMED, seed=1) for seed in range(8)]
    names = [name for net in networks for name, m in net.named_modules() if m in norms_of(net)]
    assert {name.split(".")[2] for name in names} == {"dense", "to_dense"}
    assert not [name for name in names if ".token" in name]
    wide, out = {"0": Axis.fixed(3)}, Axis.fixed(4)
    widths = Widths(
        dense=wide, sparse={"0": Axis.fixed(2)}, left=Axis.fixed(3), right=Axis.fixed(3),
        pair_limit=3, left_name="0", out=out,
    )  # fmt: skip
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(16, 16, 2, generator=torch.Generator().manual_seed(1))
    for name in ("FC", "Flat"):
        op = operator_class(name)(widths, NORMED, Maker(fresh(0))).train()
        y = op(Reading({"0": x}, {"0": tokens}))
        slabs = [p.flatten(1) for n, p in op.named_parameters() if "norm" not in n]
        read = x if name == "FC" else torch.cat([x, tokens.flatten(1)], 1)
        linear = read @ torch.cat(slabs, 1).T
        mean, var = linear.mean(0), linear.var(0, unbiased=False)
        torch.testing.assert_close(y, torch.relu((linear - mean) / (var + 1e-5).sqrt()))
