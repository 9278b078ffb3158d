"""Blocks side by side: their order, their threads, what is left behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from nasrec.nn import SharedWeights
from nasrec.search import ScoreConfig, Scorer
from nasrec.search.threads import in_threads
from tests.nn.helpers import INPUTS, MULTI, draw
from tests.train.helpers import make_split


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_it_keeps_the_order_and_takes_few_ahead(three_threads):
    taken = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    def call(i: int) -> tuple[int, int, str]:
        time.sleep(0.002 * (i % 3))
        return i * i, torch.get_num_threads(), threading.current_thread().name

    found = []
    for item, (square, threads, name) in in_threads(call, items(), 3):
        assert len(taken) <= item + 4
        found.append((item, square, threads))
        assert name != threading.current_thread().name
    assert found == [(i, i * i, 1) for i in range(20)]
    assert torch.get_num_threads() == 3


def test_it_may_be_left_early_and_errors_come_through(three_threads):
    for item, _ in in_threads(lambda i: i, range(100), 2):
        if item == 5:
            break
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda i: 1 // i, [2, 1, 0], 2))


def test_scores_do_not_depend_on_the_number_of_threads():
    shared = SharedWeights(MULTI, INPUTS, seed=1)
    train, valid = make_split(700, 0, INPUTS), make_split(500, 1, INPUTS)
    config = ScoreConfig(finetune_steps=6, finetune_batch=64, finetune_rows=256, batch_size=64)
    several = [draw(seed) for seed in range(4)]
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(Scorer(shared, train, valid, config).score_many(several))
    finally:
        torch.set_num_threads(before)
    one, three = ([(s.logloss, s.auc) for s in scores] for scores in found)
    np.testing.assert_allclose(one, three, rtol=1e-6)
