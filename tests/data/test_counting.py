"""Frequent values, by the kernels and without, against a plain count."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import counting
from nasrec.data.counting import frequent
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
        values, places, totals = frequent(hashes, counts, least)
    expected = Counter()
    for piece in drawn:
        expected.update(piece)
    assert np.array_equal(np.concatenate(hashes)[places], values)
    found = values.tolist()
    assert dict(zip(found, totals.tolist(), strict=True)) == {
        value: count for value, count in expected.items() if count >= least
    }
    assert len(set(found)) == len(found)
    assert (np.diff(places) > 0).all()
