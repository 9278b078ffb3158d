from __future__ import annotations

import numpy as np
import pytest

from nasrec.train import log_loss
from nasrec.train.paired import paired_difference, row_losses


def losses(seeds: int, rows: int, seed: int, spread: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.exponential(0.5, (1, rows)) + spread * rng.normal(size=(seeds, 1))


def test_the_mean_of_row_losses_is_the_log_loss() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=50) * 4, rng.integers(0, 2, 50)
    assert row_losses(logits, labels).mean() == pytest.approx(log_loss(logits, labels))


@pytest.mark.parametrize("rows", [7, 3000, 12_345])
def test_with_one_seed_it_is_the_paired_interval_of_the_mean(rows) -> None:
    one = losses(1, rows, 1)
    other = one + np.random.default_rng(2).normal(0.1, 0.3, (1, rows))
    found = paired_difference(one, other)
    gaps = (one - other)[0]
    assert found.mean == pytest.approx(gaps.mean())
    if rows > 100:
        half = 1.96 * gaps.std() / np.sqrt(rows)
        assert found.high - found.low == pytest.approx(2 * half, rel=0.12)
        assert (found.high + found.low) / 2 == pytest.approx(gaps.mean(), abs=0.2 * half)


def test_a_model_does_not_differ_from_itself() -> None:
    one = losses(1, 500, 3)
    assert paired_difference(one, one).to_dict() == {"mean": 0, "low": 0, "high": 0}


def test_seeds_that_spread_widen_the_interval() -> None:
    calm, wild = losses(4, 2000, 4), losses(4, 2000, 4, spread=0.3)
    other = losses(4, 2000, 4)
    narrow, wide = paired_difference(calm, other), paired_difference(wild, other)
    assert narrow.high - narrow.low < 1e-9  # the same rows with the same losses
    spread = wild.mean(1).std() / 2  # the bootstrap's standard error of four seeds
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * spread, rel=0.25)


def test_rows_count_by_their_weight() -> None:
    one, other = losses(2, 400, 5), losses(2, 400, 6)
    weights = np.random.default_rng(7).integers(0, 3, 400)
    found = paired_difference(one, other, weights)
    repeated = paired_difference(np.repeat(one, weights, axis=1), np.repeat(other, weights, axis=1))
    assert found.mean == pytest.approx(repeated.mean)
