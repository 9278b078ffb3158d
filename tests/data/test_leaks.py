"""What follows the split: repeated rows and drift, whatever the chunks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from nasrec.data import prepare
from nasrec.data.formats import Chunk
from nasrec.data.leaks import RowWatch, drift_warnings, find_leaks, shift_warnings, split_warnings
from nasrec.data.schema import Column, Schema
from nasrec.data.split import FoldSplit, RandomSplit, TimeSplit


def rows(seed: int, count: int, distinct: int):
    """Encoded rows drawn from `distinct` different ones, with the part of each."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, distinct, count)
    dense = rng.normal(size=(distinct, 2)).astype(np.float32)[chosen]
    sparse = rng.integers(-1, 5, (distinct, 3)).astype(np.int32)[chosen]
    return dense, sparse, rng.integers(0, 3, count).astype(np.uint8)


def naive_shares(dense, sparse, codes):
    known = {
        (*d, *s) for d, s, c in zip(dense.tolist(), sparse.tolist(), codes, strict=True) if c == 0
    }
    shares = [0.0]
    for part in (1, 2):
        found = [
            (*d, *s) in known
            for d, s, c in zip(dense.tolist(), sparse.tolist(), codes, strict=True)
            if c == part
        ]
        shares.append(float(np.mean(found)) if found else 0.0)
    return shares


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([10, 300, 5000]), st.integers(1, 200))
def test_repeated_rows_as_sets_find_them(seed, distinct, step):
    dense, sparse, codes = rows(seed, 400, distinct)
    watch = RowWatch()
    for low in range(0, 400, step):
        part = slice(low, low + step)
        watch.add(dense[part], sparse[part], codes[part])
    assert watch.shares() == pytest.approx(naive_shares(dense, sparse, codes))


def test_a_bounded_watch_does_not_depend_on_order_or_chunks():
    dense, sparse, codes = rows(1, 30_000, 12_000)
    found = []
    for order, step in ((np.arange(30_000), 30_000), (np.arange(30_000)[::-1], 700)):
        watch = RowWatch(limit=2000)
        for low in range(0, 30_000, step):
            part = order[low : low + step]
            watch.add(dense[part], sparse[part], codes[part])
        found.append(watch.shares().tolist())
    assert found[0] == found[1]
    exact = naive_shares(dense, sparse, codes)
    assert found[0] == pytest.approx(exact, abs=0.1)
    assert "are in train too" in watch.warnings()[0]


def test_zeros_of_both_signs_are_the_same_number():
    watch = RowWatch()
    ids = np.zeros((2, 1), dtype=np.int32)
    watch.add(np.array([[0.0], [-0.0]], dtype=np.float32), ids, np.array([0, 2], dtype=np.uint8))
    assert watch.shares()[2] == 1


def test_different_rows_give_no_warning():
    dense, sparse, codes = rows(2, 5000, 10**7)
    watch = RowWatch()
    watch.add(dense, sparse, codes)
    assert watch.warnings() == []


ROWS = np.array([80_000, 10_000, 10_000])


@pytest.mark.parametrize(
    ("unknown", "clicks", "words"),
    [
        ([[800], [100], [100]], [16_000, 2000, 2000], []),
        ([[800], [100], [3000]], [16_000, 2000, 2000], ["'c' drifts: 30% of its values in test"]),
        ([[800], [2500], [1500]], [16_000, 2000, 2000], ["'c' drifts: 25% of its values in valid"]),
        ([[40_000], [5000], [5100]], [16_000, 2000, 2000], []),
        ([[-1], [-1], [-1]], [16_000, 2000, 2000], []),
        ([[0], [0], [0]], [16_000, 2000, 2600], ["0.2000 in train, 0.2600 in test"]),
        ([[0], [0], [0]], [16_000, 2000, 2150], []),
    ],
)
def test_drift(unknown, clicks, words):
    found = drift_warnings(["c"], np.array(unknown), ROWS, np.array(clicks))
    assert len(found) == len(words)
    assert all(word in warning for word, warning in zip(words, found, strict=True))


def test_numbers_that_shift():
    rng = np.random.default_rng(0)
    train, valid, test = (rng.normal(size=(n, 3)).astype("f4") for n in (5000, 40, 3000))
    test[:, 1] += 1
    (found,) = shift_warnings(["a", "b", "c"], [train, valid, test])
    distance = ks_2samp(train[:, 1], test[:, 1]).statistic
    assert found.startswith("column 'b' drifts: its numbers in test")
    assert f"distance {distance:.2f}" in found
    assert shift_warnings(["a", "b", "c"], [train, valid, test[:0]]) == []


def test_a_shift_is_told_whatever_the_shards(tmp_path, in_pieces):
    rows = [f"{i % 2},{(i * 7919) % 1000 / 10 + (i >= 900) * 30},{i}" for i in range(1000)]
    (tmp_path / "log.csv").write_text("\n".join(["y,x,day", *rows]) + "\n")
    columns = (Column(name="y", role="label"), Column(name="x", role="dense"))
    schema = Schema(columns=(*columns, Column(name="day", role="timestamp")))
    data = prepare(tmp_path / "log.csv", tmp_path / "out", schema=schema, split="time")
    assert [w for w in data.warnings if "'x' drifts: its numbers in test" in w]


def test_wrong_values_do_not_stop_the_search_for_leaks():
    labels = np.random.default_rng(0).integers(0, 2, 500).astype(str).tolist()
    frame = pl.DataFrame(
        {
            "y": ["x", None, *labels],
            "n": ["?", None, *labels],
            "id": [f"u{i}" for i in range(502)],
        }
    )
    schema = Schema(
        columns=(
            Column(name="y", role="label"),
            Column(name="n", role="dense"),
            Column(name="id", role="categorical"),
        )
    )
    found = find_leaks(Chunk(frame, "log", sampled=True), schema)
    assert ["'n' may leak" in found[0], "'id' names rows" in found[1], len(found)] == [
        True,
        True,
        2,
    ]
    assert find_leaks(Chunk(frame[:2], "log", sampled=True), schema) == []


def test_a_random_split_of_rows_with_a_time_or_a_group():
    columns = (Column(name="y", role="label"), Column(name="x", role="dense"))
    plain = Schema(columns=columns)
    marked = (Column(name="t", role="timestamp"), Column(name="u", role="group"))
    both = Schema(columns=(*columns, *marked))
    assert split_warnings(plain, RandomSplit()) == []
    assert split_warnings(both, TimeSplit()) == split_warnings(both, FoldSplit()) == []
    one, two = split_warnings(both, RandomSplit())
    assert "'t'" in one
    assert "--split time" in one
    assert "'u'" in two
