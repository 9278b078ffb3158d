"""A row's weight counts it as so many rows, in training and in scoring."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasrec.data import Split
from nasrec.search import ScoreConfig, Scorer
from nasrec.train import LoopConfig, build_optimizer, evaluate, train_steps
from tests.train.helpers import SPACE, TinyNet, make_shared, make_split

WEIGHTS = np.random.default_rng(5).integers(1, 4, 60)


def weighted() -> Split:
    plain = make_split(60)
    return Split("rows", plain.dense, plain.sparse, plain.labels, 0.5, WEIGHTS.astype(np.float32))


def repeated() -> Split:
    batch = make_split(60).take(np.repeat(np.arange(60), WEIGHTS))
    return Split("rows", batch.dense.numpy(), batch.sparse.numpy(), batch.labels.numpy(), 0.5)


def test_a_full_batch_step_is_that_of_repeated_rows():
    trained = []
    for split in (weighted(), repeated()):
        model = TinyNet(dropout=0.0)
        config = LoopConfig(batch_size=1000, clip_norm=None, epochs=3)
        for _ in train_steps(lambda _, m=model: m, split, build_optimizer(config), config, 0):
            pass
        trained.append(model)
    for a, b in zip(trained[0].parameters(), trained[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    found, expected = (evaluate(trained[0], split) for split in (weighted(), repeated()))
    assert found.logloss == pytest.approx(expected.logloss)
    assert found.auc == pytest.approx(expected.auc)


def test_scores_are_those_of_repeated_rows():
    shared, architecture = make_shared(), SPACE.sample(np.random.default_rng(1))
    config = ScoreConfig(finetune_steps=3, finetune_batch=1000)
    one, two = (
        Scorer(shared, split, split, config).score(architecture)
        for split in (weighted(), repeated())
    )
    assert one.logloss == pytest.approx(two.logloss, rel=1e-4)
    assert one.auc == pytest.approx(two.auc, rel=1e-3)
