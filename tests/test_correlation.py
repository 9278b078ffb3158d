"""Rank correlations, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nasrec.pipeline.correlation import kendall, spearman


def test_orders_by_hand():
    assert kendall([1, 2, 3], [10, 20, 30]) == 1
    assert kendall([1, 2, 3], [3, 2, 1]) == -1
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert spearman([1, 2, 3], [1, 4, 9]) == pytest.approx(1)
    assert math.isnan(kendall([1], [1]))
    assert math.isnan(spearman([1, 1], [1, 2]))


@pytest.mark.parametrize("seed", range(10))
def test_against_scipy_with_ties(seed):
    stats = pytest.importorskip("scipy.stats", reason="needs scipy")
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, size=(2, int(rng.integers(4, 30)))).tolist()
    assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
