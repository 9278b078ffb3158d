"""Splits: exact partitions, the published folds, and nothing that leaks through time or group."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import StratifiedKFold

from nasrec.data import split as split_module
from nasrec.data.split import (
    ColumnSplit,
    FoldSplit,
    GroupSplit,
    RandomSplit,
    TimeSplit,
    column_codes,
    parse_split,
    split_codes,
)
from nasrec.errors import ConfigError, DataError

FRACTIONS = [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1)]
ALL = (0, 1, 2)


def labels_of(rows: int, rate: float = 0.3, seed: int = 0):
    return (np.random.default_rng(seed).random(rows) < rate).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 300),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from(FRACTIONS),
    st.integers(0, 2**40),
    st.sampled_from([ALL, (0, 1), (0, 2)]),
)
def test_random_is_exact_in_each_class_and_as_sorting_the_keys_gives(
    rows, rate, fractions, seed, parts
):
    labels = labels_of(rows, rate)
    spec = RandomSplit(fractions=fractions, seed=seed)
    try:
        codes = split_codes(spec, labels, parts=parts)
    except DataError:
        return
    keys = np.random.PCG64(seed).random_raw(rows)
    chosen = [fractions[part] for part in parts]
    shares = np.cumsum(chosen if parts == ALL else [share / sum(chosen) for share in chosen])
    for label in (0, 1):
        of_class = np.flatnonzero(labels == label)
        ends = np.round(shares * len(of_class)).astype(int)
        order = of_class[np.argsort(keys[of_class], kind="stable")]
        for part, piece in zip(parts, np.split(order, ends[:-1]), strict=True):
            assert (codes[piece] == part).all()


def test_random_does_not_depend_on_the_size_of_blocks(monkeypatch):
    labels = labels_of(5000)
    want = split_codes(RandomSplit(seed=3), labels)
    monkeypatch.setattr(split_module, "BLOCK", 7)
    assert np.array_equal(split_codes(RandomSplit(seed=3), labels), want)


def test_a_seed_means_these_rows():
    """The rows must not change with a version of anything."""
    labels = (np.arange(20) % 4 == 0).astype(np.uint8)
    codes = split_codes(RandomSplit(fractions=(0.6, 0.2, 0.2), seed=7), labels)
    assert np.flatnonzero(codes == 1).tolist() == [2, 7, 8, 17]
    assert np.flatnonzero(codes == 2).tolist() == [1, 5, 16, 19]


@pytest.mark.parametrize("rows", [40, 997, 1003, 2000])
@pytest.mark.parametrize("rate", [0.03, 0.5])
@pytest.mark.parametrize("first", [0, 1])
def test_folds_are_those_of_the_published_protocol(rows, rate, first):
    labels = labels_of(rows, rate, seed=rows)
    labels[0], labels[1:14] = first, 1
    codes = split_codes(FoldSplit(), labels)
    folds = StratifiedKFold(10, shuffle=True, random_state=2018)
    for i, (_, test) in enumerate(folds.split(np.zeros(rows), labels)):
        assert (codes[test] == max(0, i - 7)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=200), st.sampled_from(FRACTIONS))
def test_time_goes_forward(times, fractions):
    times = np.array(times)
    try:
        codes = split_codes(TimeSplit(fractions=fractions), labels_of(len(times)), times=times)
    except DataError:
        return
    for early, late in ((0, 1), (1, 2)):
        assert times[codes == early].max() < times[codes == late].min()


def test_time_has_the_fractions_asked_for():
    times = np.random.default_rng(0).permutation(1000)
    codes = split_codes(TimeSplit(fractions=(0.7, 0.2, 0.1)), labels_of(1000), times=times)
    assert np.bincount(codes).tolist() == [700, 200, 100]


def test_groups_stay_together():
    groups = np.random.default_rng(0).integers(0, 2**63, 500).astype(np.uint64)
    rows = np.random.default_rng(1).integers(0, 500, 20_000)
    spec = GroupSplit(fractions=(0.6, 0.2, 0.2))
    codes = split_codes(spec, labels_of(20_000), groups=groups[rows])
    assert all(len(set(codes[rows == group])) <= 1 for group in range(500))
    assert np.bincount(codes) / 20_000 == pytest.approx([0.6, 0.2, 0.2], abs=0.06)
    other = split_codes(spec.model_copy(update={"seed": 1}), labels_of(20_000), groups=groups[rows])
    assert not np.array_equal(codes, other)


def test_a_column_says_the_part():
    spec = ColumnSplit(column="day", valid=("6",), test=("7", "8"))
    values = pl.Series(["1", "6", None, "8", "7", "66"])
    codes = column_codes(spec, values)
    assert codes.tolist() == [0, 1, 0, 2, 2, 0]
    assert column_codes(spec, pl.Series([1, 6, None, 8, 7, 66])).tolist() == codes.tolist()
    assert split_codes(spec, labels_of(6), codes=codes).tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("spec", "parts", "message"),
    [
        (TimeSplit(), ALL, "no timestamp to split by"),
        (GroupSplit(), ALL, "no group to split by"),
        (ColumnSplit(column="c", valid=("1",), test=("2",)), ALL, "no column to split by"),
        (FoldSplit(), (0, 1), "makes train, valid and test"),
    ],
)
def test_what_a_split_needs(spec, parts, message):
    with pytest.raises(ConfigError, match=message):
        split_codes(spec, labels_of(100), parts=parts)


def test_separate_files_leave_all_rows_to_train():
    assert not split_codes(FoldSplit(), labels_of(50), parts=(0,)).any()


def test_a_part_without_rows():
    with pytest.raises(DataError, match="train part would have no rows"):
        split_codes(TimeSplit(), labels_of(100), times=np.zeros(100, dtype=np.int64))
    with pytest.raises(DataError, match="no rows"):
        split_codes(RandomSplit(), labels_of(4))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("random", RandomSplit(seed=5)),
        ("random:0.5,0.3,0.2", RandomSplit(fractions=(0.5, 0.3, 0.2), seed=5)),
        ("time:0.5,0.3,0.2", TimeSplit(fractions=(0.5, 0.3, 0.2))),
        ("group", GroupSplit(seed=5)),
        ("folds", FoldSplit()),
        ("folds:5", FoldSplit(folds=5)),
        ("column:day:6:7|8", ColumnSplit(column="day", valid=("6",), test=("7", "8"))),
    ],
)
def test_words_for_splits(text, spec):
    assert parse_split(text, seed=5) == spec


@pytest.mark.parametrize(
    "text", ["", "grup", "time:1", "time:0.5,0.5,0.5", "folds:2", "folds:x", "column:a", "time:a:b"]
)
def test_words_for_no_split(text):
    with pytest.raises(ConfigError, match=r"(?s)(split|fractions).*To mend it"):
        parse_split(text)


@pytest.mark.parametrize("fractions", [(0.8, 0.2, 0.0), (1.2, -0.1, -0.1), (0.5, 0.5, 0.5)])
def test_bad_fractions(fractions):
    with pytest.raises(ConfigError, match="fractions"):
        TimeSplit(fractions=fractions)


def test_bad_settings():
    with pytest.raises(ValidationError):
        RandomSplit(seed=-1)
    with pytest.raises(ValidationError, match="both valid and test"):
        ColumnSplit(column="c", valid=("1", "2"), test=("2",))
