"""Frequent values and logarithms of counts, by the kernels and without, against plain loops."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import counting, logarithm
from nasrec.data.counting import frequent
from nasrec.data.logarithm import log1p
from nasrec.native import library

WAYS = [
    pytest.param(library, marks=pytest.mark.skipif(library() is None, reason="no kernels")),
    lambda: None,
]
pieces = st.lists(st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 400)), min_size=1)


@pytest.mark.parametrize("way", WAYS, ids=["kernels", "without"])
@settings(max_examples=50, deadline=None)
@given(pieces, st.integers(1, 300), st.integers(0, 3000), st.sampled_from([2, 1000, 1 << 21]))
def test_frequent_values(way, drawn, least, tail, values):
    rng = np.random.default_rng(tail)
    # Many values that come once or twice, and few that come everywhere.
    for few in (3, 40):
        drawn = [*drawn, {int(h): 1 for h in rng.integers(0, 1 << 64, tail, dtype=np.uint64)}]
        drawn[-1] |= {int(h) << 40: 7 for h in rng.integers(0, few, 5)}
    hashes = [np.array(list(piece), dtype=np.uint64) for piece in drawn]
    counts = [np.array(list(piece.values()), dtype=np.uint32) for piece in drawn]
    with mock.patch.multiple(counting, RANGE=values, SUMS=(3, 6), library=way):
        places, totals = frequent(lambda: iter(hashes), counts, least)
    expected = Counter()
    for piece in drawn:
        expected.update(piece)
    found = np.concatenate(hashes)[places].tolist()
    assert dict(zip(found, totals.tolist(), strict=True)) == {
        value: count for value, count in expected.items() if count >= least
    }
    assert len(set(found)) == len(found)
    assert (np.diff(places) > 0).all()


def test_logarithms_of_counts():
    rng = np.random.default_rng(0)
    numbers = np.exp(rng.normal(3, 4, 50_000)).round() - 2
    numbers[::50] += 0.5
    special = [np.nan, -0.0, 0.0, -1.5, 0.5, np.inf, -np.inf, 2.0**31, 2.0**32 + 1, 1e300, 5e-324]
    special += [logarithm.TABLE - 1.0, float(logarithm.TABLE), logarithm.TABLE + 1.0]
    numbers = np.concatenate([numbers, special])
    with np.errstate(invalid="ignore"):
        expected = np.log1p(np.maximum(numbers, 0)).astype(np.float32)
    assert np.array_equal(log1p(numbers), expected, equal_nan=True)
    assert np.array_equal(log1p(numbers[::-1]), expected[::-1], equal_nan=True)
    assert np.array_equal(
        log1p(numbers[-len(special) :]), expected[-len(special) :], equal_nan=True
    )
