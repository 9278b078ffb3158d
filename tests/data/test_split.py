from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data.split import split_rows
from nasrec.errors import ConfigError


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0]), min_size=0, max_size=200),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (0.98, 0.01, 0.01), (1.0,)]),
    st.integers(0, 2**40),
)
def test_an_exact_stratified_partition(labels, fractions, seed):
    labels = np.array(labels, dtype=np.float32)
    parts = split_rows(labels, fractions, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        assert (np.diff(part) > 0).all()
        for value in (0, 1):
            share = (labels[part] == value).sum()
            assert abs(share - fraction * (labels == value).sum()) <= 1


def test_a_seed_means_these_rows():
    """The bytes must not change with a version of anything."""
    labels = (np.arange(20) % 4 == 0).astype(np.float32)
    parts = split_rows(labels, (0.6, 0.2, 0.2), seed=7)
    assert [part.tolist() for part in parts[1:]] == [[2, 7, 8, 17], [1, 5, 16, 19]]


def test_seeds_differ_and_are_random():
    labels = (np.arange(1000) % 4 == 0).astype(np.float32)
    one, two = (split_rows(labels, seed=seed)[2] for seed in (0, 1))
    assert not np.array_equal(one, two)
    assert 300 < one.mean() < 700


@pytest.mark.parametrize(
    "fractions", [(0.8, 0.1), (0.8, 0.2, 0.0), (1.2, -0.1, -0.1), (0.5, float("nan"), 0.5)]
)
def test_bad_fractions(fractions):
    with pytest.raises(ConfigError, match="fractions"):
        split_rows(np.zeros(5, dtype=np.float32), fractions)


def test_bad_seed():
    with pytest.raises(ConfigError, match="seed -1"):
        split_rows(np.zeros(5, dtype=np.float32), seed=-1)
