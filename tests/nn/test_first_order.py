"""The part of a logit that adds up over the columns: bends in the numeric ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasrec.data import Split, SyntheticLog, prepare
from nasrec.nn import Inputs, ModelOptions, SharedWeights, build_baseline, count_dense_weights
from nasrec.pipeline import inputs_of
from nasrec.space import NASREC_PLUS
from nasrec.train import TrainConfig, fit
from tests.nn.helpers import rows

KNOTS = ((-1.0, 0.0, 0.5, 3.0), (2.0,), (0.0, 10.0))
INPUTS = Inputs(3, (5, 6), (), KNOTS)
BENT = ModelOptions(bends=True)


def test_it_interpolates_between_the_quantiles():
    model = build_baseline("logreg", INPUTS, BENT)
    plain = build_baseline("logreg", Inputs(3, (5, 6)), ModelOptions())
    dense = torch.tensor(np.random.default_rng(0).normal(0, 5, (200, 3)), dtype=torch.float32)
    sparse = rows(INPUTS, 200)[1]
    assert torch.equal(model(dense, sparse), plain(dense, sparse))  # nothing learned, no bend
    with torch.no_grad():
        model.bends.copy_(torch.tensor([3.0, -6.0, 1.5, 3.0]))  # three pieces, none, one
    x = dense.double().numpy()
    expected = np.interp(x[:, 0], KNOTS[0], [0, 1, -1, -0.5]) + np.interp(x[:, 2], KNOTS[2], [0, 3])
    np.testing.assert_allclose(model(dense, sparse).detach(), expected, atol=1e-5)
    assert count_dense_weights(model) == count_dense_weights(plain) + 4
    with FlopCounterMode(display=False) as counted:
        model(dense, sparse)
    assert counted.get_total_flops() == 2 * 200 * model.madds


def test_without_the_option_or_numbers_there_are_none():
    assert build_baseline("logreg", INPUTS, ModelOptions()).bends is None
    assert build_baseline("fm", Inputs(0, (5, 6)), BENT).first.bends is None


@pytest.mark.slow
def test_it_learns_what_no_line_can():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (4000, 1)).astype(np.float32)
    clicks = rng.random(4000) < 1 / (1 + np.exp(-4 * (np.abs(x[:, 0]) - 0.7)))
    split = Split("rows", x, np.zeros((4000, 1), np.int32), clicks.astype(np.float32), 0.5)
    inputs = Inputs(1, (2,), (), ((-4.0, -1.0, -0.5, 0.0, 0.5, 1.0, 4.0),))
    config = TrainConfig(epochs=10, batch_size=64, patience=None)
    losses = []
    for options in (ModelOptions(), BENT):
        model = build_baseline("logreg", inputs, options)
        losses.append(fit(model, split, split, config).best.logloss)
    assert losses[1] < losses[0] - 0.05


def test_a_supernet_lends_them():
    shared = SharedWeights(
        NASREC_PLUS.with_(blocks=2), INPUTS, ModelOptions(first_order=True, bends=True), seed=0
    )
    subnet = shared.subnet(NASREC_PLUS.with_(blocks=2).sample(np.random.default_rng(0)))
    dense, sparse = rows(INPUTS, 4)[:2]
    before = subnet(dense, sparse)
    with torch.no_grad():
        subnet.first_order.bends.fill_(1.0)
    again = shared.subnet(subnet.architecture)(dense, sparse)
    assert not torch.equal(again, before)


@pytest.mark.parametrize("numbers", [0, 2])
def test_quantiles_are_those_of_the_training_rows(tmp_path, numbers):
    frame = SyntheticLog(n_dense=numbers, n_sparse=2).generate(900)
    data = prepare(frame, tmp_path / "data", label="label")
    found = inputs_of(data).quantiles
    dense = data.train.take(np.arange(len(data.train))).dense.numpy()
    assert len(found) == numbers
    for values, column in zip(found, dense.T, strict=True):
        assert list(values) == sorted(set(values))
        assert values[0] == column.min()
        assert values[-1] == column.max()
        assert set(values) <= set(column.tolist())
        inside = np.searchsorted(values, column, side="right")
        if len(values) == 9:  # about equally many rows in each, as far as equal numbers allow
            assert np.bincount(inside, minlength=10)[1:9].min() > 0.6 * len(column) / 8
