"""The encoder against a naive one that goes row by row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from nasrec.data.encode import Encoder
from nasrec.data.schema import Column, Schema
from nasrec.errors import DataError

LABEL = Column(name="label", role="label")


def schema_of(*columns: Column) -> Schema:
    return Schema(columns=(LABEL, *columns))


def naive_vocabulary(values, min_count):
    counts = Counter(values)
    kept = [value for value in counts if counts[value] >= min_count]
    kept.sort(key=lambda v: (-counts[v], v is not None, (v or "").encode()))
    return {value: i for i, value in enumerate(kept, start=1)}


def naive_number(text, transform, train):
    def parse(value):
        if value is None or value.strip().lower() in {"", "na", "nan"}:
            return None
        return float(value)

    value = parse(text)
    if value is None:
        return 0.0
    if transform == "log1p":
        return math.log(1 + max(value, 0.0))
    if transform == "none":
        return value
    known = [x for x in map(parse, train) if x is not None]
    mean = math.fsum(known) / len(known) if known else 0.0
    std = math.sqrt(math.fsum((x - mean) ** 2 for x in known) / len(known)) if known else 1.0
    return (value - mean) / (std or 1.0)


values = st.sampled_from([None, "a", "b", "B", "é", "1", "01", "null", " a"])
numbers = st.one_of(
    st.none(),
    st.sampled_from(["NA", "nan", " 3 ", "-2", "1e3"]),
    st.integers(-1000, 1000).map(str),
    st.floats(-1e4, 1e4).map(lambda x: f"{x:.3f}"),
)
rows = st.lists(st.tuples(values, values, numbers, numbers, numbers), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows, rows, st.integers(1, 3))
def test_same_as_row_by_row(train, new, min_count):
    names = ["c", "d", "x", "y", "z"]
    transforms = ["log1p", "standardize", "none"]
    columns = [
        Column(name="x", role="dense", transform="log1p"),
        Column(name="c", role="categorical", min_count=min_count),
        Column(name="y", role="dense", transform="standardize"),
        Column(name="d", role="categorical", min_count=1),
        Column(name="z", role="dense", transform="none"),
    ]
    types = dict.fromkeys(names, pl.String)
    encoder = Encoder.fit(pl.DataFrame(train, schema=types, orient="row"), schema_of(*columns))
    dense, sparse = encoder.encode(pl.DataFrame(new, schema=types, orient="row"))

    vocabularies = [
        naive_vocabulary([row[i] for row in train], count) for i, count in ((0, min_count), (1, 1))
    ]
    for i, row in enumerate(new):
        assert list(sparse[i]) == [vocabularies[j].get(row[j], 0) for j in (0, 1)]
        for j, transform in enumerate(transforms):
            expected = naive_number(row[2 + j], transform, [r[2 + j] for r in train])
            assert dense[i, j] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert encoder.vocabulary_sizes == tuple(len(v) + 1 for v in vocabularies)
    assert (dense.dtype, sparse.dtype) == (np.float32, np.int32)


def test_standardize_is_scikit_learn_s():
    train = pl.DataFrame({"x": np.random.default_rng(0).lognormal(size=500)})
    encoder = Encoder.fit(train, schema_of(Column(name="x", role="dense")))
    expected = StandardScaler().fit_transform(train.to_numpy())
    np.testing.assert_allclose(encoder.encode(train)[0], expected, rtol=1e-5)


def test_a_constant_column_is_zero():
    frame = pl.DataFrame({"x": [3.0, 3.0]})
    encoder = Encoder.fit(frame, schema_of(Column(name="x", role="dense")))
    assert encoder.encode(frame)[0].tolist() == [[0.0], [0.0]]


def test_ids_by_falling_count_then_value():
    frame = pl.DataFrame({"c": ["b", "b", "c", "c", "c", "a", "a", "rare", None, None]})
    encoder = Encoder.fit(frame, schema_of(Column(name="c", role="categorical")))
    assert encoder.categorical[0].values.to_list() == ["c", None, "a", "b"]
    new = pl.DataFrame({"c": ["a", "b", "c", None, "", "rare", "new"]})
    assert encoder.encode(new)[1][:, 0].tolist() == [3, 4, 1, 2, 2, 0, 0]


def test_rare_missing_is_unknown():
    frame = pl.DataFrame({"c": ["a", "a", None]})
    encoder = Encoder.fit(frame, schema_of(Column(name="c", role="categorical")))
    assert encoder.encode(frame)[1][:, 0].tolist() == [1, 1, 0]


def test_an_empty_vocabulary():
    frame = pl.DataFrame({"c": ["a", "b", None]})
    encoder = Encoder.fit(frame, schema_of(Column(name="c", role="categorical")))
    assert encoder.vocabulary_sizes == (1,)
    assert encoder.encode(frame)[1].tolist() == [[0], [0], [0]]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([5, 7, None], dtype=pl.Int16),
        pl.Series([5.0, 7.0, None]),
        pl.Series([5.0, 7.0, float("nan")]),
        pl.Series(["5", "7", None], dtype=pl.Categorical),
        pl.Series(["5", "7", ""]),
    ],
    ids=["integers", "floats", "nan", "categories", "empty"],
)
def test_the_same_id_from_every_type(column):
    train = pl.DataFrame({"c": ["5", "5", "7", "7", None, None, None]})
    encoder = Encoder.fit(train, schema_of(Column(name="c", role="categorical")))
    assert encoder.encode(pl.DataFrame({"c": column}))[1][:, 0].tolist() == [2, 3, 1]


COLUMNS = (
    Column(name="x", role="dense", transform="log1p"),
    Column(name="y", role="dense"),
    Column(name="c", role="categorical", min_count=1),
)
TRAIN = pl.DataFrame(
    {"x": ["1", None, "30"], "y": ["0.1", "0.2", "0.7"], "c": ['q"\n\u2028', None, "é"]}
)


def test_saved_and_loaded_is_the_same(tmp_path):
    encoder = Encoder.fit(TRAIN, schema_of(*COLUMNS))
    encoder.save(tmp_path / "encoder.parquet")
    loaded = Encoder.load(tmp_path / "encoder.parquet")
    assert (loaded.dense, loaded.categorical) == (encoder.dense, encoder.categorical)
    for before, after in zip(encoder.encode(TRAIN), loaded.encode(TRAIN), strict=True):
        assert before.tobytes() == after.tobytes()


def test_order_and_extra_columns_do_not_matter():
    encoder = Encoder.fit(TRAIN, schema_of(*COLUMNS))
    other = TRAIN.select("c", "y", pl.lit("?").alias("extra"), "x")
    for before, after in zip(encoder.encode(TRAIN), encoder.encode(other), strict=True):
        assert before.tobytes() == after.tobytes()


def test_no_rows_and_no_columns_of_a_kind():
    encoder = Encoder.fit(TRAIN, schema_of(COLUMNS[2]))
    dense, sparse = encoder.encode(TRAIN)
    assert (dense.shape, sparse.shape) == ((3, 0), (3, 1))
    encoder = Encoder.fit(TRAIN, schema_of(COLUMNS[0]))
    dense, sparse = encoder.encode(TRAIN.head(0))
    assert (dense.shape, sparse.shape) == ((0, 1), (0, 0))


def test_encoding_does_not_refit():
    encoder = Encoder.fit(TRAIN, schema_of(*COLUMNS))
    one_by_one = [encoder.encode(TRAIN[i]) for i in range(3)]
    dense, sparse = encoder.encode(TRAIN)
    assert np.concatenate([pair[0] for pair in one_by_one]).tobytes() == dense.tobytes()
    assert np.concatenate([pair[1] for pair in one_by_one]).tobytes() == sparse.tobytes()


def test_a_missing_column_names_the_nearest():
    encoder = Encoder.fit(TRAIN, schema_of(*COLUMNS))
    with pytest.raises(DataError, match=r"(?s)no column 'x'.*did you mean 'X'"):
        encoder.encode(TRAIN.rename({"x": "X"}))


@pytest.mark.parametrize("value", ["oops", "inf", "-1e999", "1,5"])
def test_a_value_that_is_no_number(value):
    encoder = Encoder.fit(TRAIN, schema_of(*COLUMNS))
    wrong = TRAIN.with_columns(pl.Series("y", ["1", value, "2"]))
    with pytest.raises(DataError) as caught:
        encoder.encode(wrong)
    assert caught.value.where == "data frame, row 2, column 'y'"
    assert repr(value) in caught.value.what


def test_a_number_too_large_for_float32():
    frame = pl.DataFrame({"x": [1e300, 1.0]})
    encoder = Encoder.fit(frame, schema_of(Column(name="x", role="dense", transform="none")))
    with pytest.raises(DataError, match=r"(?s)row 1, column 'x'.*too large.*log1p"):
        encoder.encode(frame)


def test_nested_values():
    with pytest.raises(DataError, match=r"column 'c'.*List"):
        Encoder.fit(pl.DataFrame({"c": [["a"], ["b"]]}), schema_of(COLUMNS[2]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other"}', '{"format": 1, "v": 2}'])
def test_a_damaged_encoder(tmp_path, text):
    path = tmp_path / "encoder.parquet"
    path.write_text(text)
    with pytest.raises(DataError, match=r"encoder\.parquet"):
        Encoder.load(path)
