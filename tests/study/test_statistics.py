"""Statistics of counts, against scipy and plain loops on the resamples written out."""

from __future__ import annotations

import numpy as np
import pytest

from nasrec.search.correlation import kendall, pearson, spearman
from nasrec.study.statistics import (
    Estimate,
    better_half,
    regret,
    repeatability,
    resample_counts,
    statistic,
)

RNG = np.random.default_rng(0)
N = 13
X = RNG.normal(size=N)
Y = X + RNG.normal(size=N)
TIED = np.round(X)
COUNTS = resample_counts(N, 40, seed=1)


def written_out(row: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(N), row.astype(int))


def test_the_first_row_is_the_sample_and_the_seed_decides_the_others():
    assert (COUNTS[0] == 1).all()
    assert (COUNTS.sum(1) == N).all()
    assert (resample_counts(N, 40, seed=1) == COUNTS).all()
    assert (resample_counts(N, 40, seed=2) != COUNTS).any()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pearson, "pearsonr"), (spearman, "spearmanr"), (kendall, "kendalltau")]
)
@pytest.mark.parametrize("x", [X, TIED], ids=["distinct", "tied"])
def test_correlations_are_scipys_on_every_resample(ours, theirs, x):
    stats = pytest.importorskip("scipy.stats")
    found = ours(x, Y, COUNTS)
    for value, row in zip(found, COUNTS, strict=True):
        drawn = written_out(row)
        assert value == pytest.approx(getattr(stats, theirs)(x[drawn], Y[drawn])[0], abs=1e-12)


def test_the_better_half_is_the_lower_one_of_each_resample():
    for kept, row in zip(better_half(Y, COUNTS), COUNTS, strict=True):
        drawn = written_out(row)
        expected = sorted(Y[drawn])[: -(-len(drawn) // 2)]
        assert sorted(Y[written_out(kept)]) == expected
    known = kendall(X, Y, better_half(Y, COUNTS[:1]))
    best = np.argsort(Y)[:7]
    assert known[0] == pytest.approx(kendall(X[best], Y[best], np.ones((1, 7)))[0])


@pytest.mark.parametrize("k", [1, 3, N])
def test_regret(k):
    for value, row in zip(regret(X, Y, COUNTS, k), COUNTS, strict=True):
        drawn = written_out(row)
        chosen = drawn[np.argsort(X[drawn], kind="stable")][:k]
        assert value == pytest.approx(Y[chosen].min() - Y[drawn].min())
    assert regret(Y, Y, COUNTS, 1).max() == 0


def test_no_correlation_where_nothing_varies():
    flat = np.zeros(N)
    for ours in (pearson, spearman, kendall):
        assert np.isnan(ours(flat, Y, COUNTS)).all()
    assert Estimate.of(pearson(flat, Y, COUNTS)).text() == "not defined"


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, hits, true = np.random.default_rng(3), 0, 0.6
    for _ in range(200):
        x, e = rng.normal(size=(2, 40))
        y = true * x + np.sqrt(1 - true**2) * e
        found = Estimate.of(pearson(x, y, resample_counts(40, 300)))
        hits += found.low <= true <= found.high
    assert 0.86 <= hits / 200 <= 0.98


def test_repeats_are_averaged():
    both = statistic("kendall", np.stack([X, -X]), Y, COUNTS)
    assert np.abs(both).max() < 1e-12
    assert repeatability(X[None], COUNTS) is None
    twice = repeatability(np.stack([X, Y]), COUNTS)
    assert twice == pytest.approx(kendall(X, Y, COUNTS))
