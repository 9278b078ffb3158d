"""The schema: its rules, its file, and what inference makes of columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from nasrec.data import Column, Schema, infer_schema
from nasrec.errors import DataError

LABEL = Column(name="label", role="label")
RNG = np.random.default_rng(0)
ROWS = 2000
LABELS = (RNG.random(ROWS) < 0.3).astype(int)


def infer_one(values, **options) -> Column:
    frame = pl.DataFrame(
        {"label": LABELS[: len(values)], "x": values, "other": RNG.normal(size=len(values))}
    )
    return infer_schema(frame, "label", **options).schema.columns[1]


def zipf(size: int, exponent: float = 1.0):
    weights = np.arange(1, size + 1) ** -exponent
    return RNG.choice(size, ROWS, p=weights / weights.sum())


CASES = {
    "floats": (RNG.normal(size=ROWS), "dense", "standardize", "numbers"),
    "fractions": (RNG.random(ROWS), "dense", "standardize", "numbers"),
    "heavy floats": (np.exp(RNG.normal(1, 2, ROWS)), "dense", "log1p", "long tail"),
    "counts": (np.floor(np.exp(RNG.normal(1, 2, ROWS))), "dense", "log1p", "long tail"),
    "counts with -1": (np.floor(np.exp(RNG.normal(3, 2, ROWS))) - 1, "dense", "log1p", "tail"),
    "wide integers": (RNG.integers(0, 10**6, ROWS), "dense", "standardize", "numbers"),
    "levels": (RNG.integers(0, 7, ROWS), "categorical", None, "7 levels"),
    "0/1": (RNG.integers(0, 2, ROWS), "categorical", None, "2 levels"),
    "true/false": (RNG.integers(0, 2, ROWS).astype(bool), "categorical", None, "true or false"),
    "hashes": (RNG.integers(-(10**6), 10**6, 300)[zipf(300)], "categorical", None, "hashes"),
    "an index": (np.arange(900, 960)[zipf(60, 0.3)], "categorical", None, "index"),
    "codes": (RNG.integers(5000, 9999, 50)[zipf(50)], "categorical", None, "codes"),
    "words": (np.array([f"w{i}" for i in zipf(200)]), "categorical", None, "text"),
    "names of rows": (np.array([f"u{i}" for i in range(ROWS)]), "ignore", None, "names rows"),
    "row numbers": (np.arange(ROWS), "ignore", None, "names rows"),
    "big ids": (RNG.integers(2**40, 2**60, ROWS), "ignore", None, "names rows"),
    "constant": (np.full(ROWS, 7), "ignore", None, "always the same"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_inferred_role(case, missing, as_text):
    values, role, transform, reason = CASES[case]
    series = pl.Series(values)
    if as_text:
        series = series.cast(pl.String)
    if missing and case != "constant":
        series = pl.select(pl.when(pl.Series(RNG.random(ROWS) > 0.1)).then(series)).to_series()
    column = infer_one(series)
    if case == "true/false" and as_text:
        reason = "text"
    assert (column.role, column.transform) == (role, transform), column.reason
    assert reason in column.reason


def test_time_stamps():
    stamps = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1, 0, 0, 59), "1s", eager=True
    )
    for values in (stamps, stamps.cast(pl.String), stamps.dt.date(), stamps.dt.epoch("s")):
        column = infer_one(values)
        assert (column.role, "time stamp" in column.reason) == ("timestamp", True)
    unordered = pl.Series("when", RNG.permutation(stamps.dt.epoch("ms").to_numpy()))
    frame = pl.DataFrame({"y": LABELS[:60], "sent_time": unordered, "at": stamps, "c": ["a"] * 60})
    with pytest.raises(DataError, match="no column is left"):
        infer_schema(frame, "y")
    schema = infer_schema(frame.with_columns(c=pl.Series(["a", "b"] * 30)), "y").schema
    assert [c.role for c in schema.columns] == ["label", "timestamp", "ignore", "categorical"]
    assert schema.timestamp.name == "sent_time"
    assert schema.columns[2].reason == "a second time stamp"


def test_lists_and_separated_texts_are_multi_valued():
    lists = [RNG.integers(0, 9, size).tolist() for size in RNG.integers(0, 5, 300)]
    column = infer_one(pl.Series(lists))
    assert (column.role, column.max_values, column.separator) == ("categorical", 4, None)
    column = infer_one(["|".join(map(str, values)) for values in lists])
    assert (column.role, column.max_values, column.separator) == ("categorical", 4, "|")
    assert "separated by '|'" in column.reason
    # As many texts as values: the comma is a part of them.
    assert infer_one(["Paris, FR", "Rome, IT"] * 50).separator is None


def test_nested_and_binary_values_are_ignored():
    assert "Struct" in infer_one(pl.Series([{"a": 1}] * 50)).reason
    assert "List" in infer_one(pl.Series([[[1]]] * 50)).reason
    assert infer_one(pl.Series([b"1"] * 50)).role == "ignore"


def test_a_number_that_turns_to_text_late_stays_a_number():
    values = [*map(str, RNG.normal(size=ROWS - 1)), "abc"]
    column = infer_one(values)
    assert (column.role, "though 'abc' is none" in column.reason) == ("dense", True)


def test_a_few_words_among_numbers_are_told():
    column = infer_one([*map(str, range(40)), "n/k", "n/k"] * 10)
    assert column.role == "categorical"
    assert "text in 4.8% of the rows (such as 'n/k')" in column.reason


def test_few_distinct_rows_are_not_ids():
    assert infer_one(["a", "b", "c", "d", "e", "f", "g", "h"]).role == "categorical"


def test_min_count_and_ignore():
    assert infer_one(["a", "b"] * 50, min_count=7).min_count == 7
    column = infer_one(["a", "b"] * 50, ignore=["x"])
    assert (column.role, column.reason) == ("ignore", "ignored on request")


def test_every_value_missing():
    with pytest.raises(DataError, match=r"(?s)column 'x': every value is missing.*--ignore x"):
        infer_one(pl.Series([None] * 50, dtype=pl.String))
    assert infer_one(pl.Series([None] * 50, dtype=pl.String), ignore=["x"]).role == "ignore"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("Label", "did you mean 'label'"),
        ("labl", "did you mean 'label'"),
        ("zzzz", "its columns are 'label', 'c'"),
        (None, "which column is the label"),
        ("c", "the label is 'a', and must be 0 or 1"),
    ],
)
def test_wrong_label(label, message):
    with pytest.raises(DataError, match=message):
        infer_schema(pl.DataFrame({"label": ["0", "1"], "c": ["a", "b"]}), label)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["0", "1", "2"], "row 3, column 'label': the label is '2', and must be 0 or 1"),
        (["0", "x", "2"], "row 2, column 'label': the label is 'x'"),
        ([0.0, 0.5, 1.0], "row 2, column 'label': the label is 0.5"),
        ([0, None, 1], "row 2, column 'label': the label is missing in 1 row"),
        (["1", "1", "1"], "only one class: all 3 labels are 1"),
        ([0, 0, 0], "only one class: all 3 labels are 0"),
    ],
)
def test_labels_that_are_not_clicks(labels, message):
    with pytest.raises(DataError, match=message):
        infer_schema(pl.DataFrame({"label": labels, "c": ["a", "b", "a"]}), "label")


@pytest.mark.parametrize("labels", [["0", "1"], ["0.0", "1.0"], [False, True], [0.0, 1.0]])
def test_labels_of_every_type(labels):
    assert infer_schema(pl.DataFrame({"y": labels, "c": ["a", "b"]}), "y").schema.label == "y"


def test_nothing_left_to_learn_from():
    with pytest.raises(DataError, match=r"(?s)no column is left.*c: ignored on request"):
        infer_schema(pl.DataFrame({"y": [0, 1], "c": ["a", "b"]}), "y", ignore=["c"])


def leaks(**columns):
    frame = pl.DataFrame({"click": LABELS, **columns, "noise": RNG.normal(size=ROWS)})
    return infer_schema(frame, "click").warnings


def test_honest_columns_give_no_warning():
    good = LABELS + RNG.normal(size=ROWS)
    assert leaks(good=good, word=[f"w{i}" for i in zipf(900)], bit=RNG.integers(0, 2, ROWS)) == []


def test_a_mark_found_only_with_clicks():
    (warning,) = leaks(sale=LABELS * (RNG.random(ROWS) < 0.2))
    assert "'sale' may leak the label: 1 occurs only where 'click' is 1" in warning
    assert "--ignore sale" in warning


def test_a_value_present_only_with_clicks():
    prices = [float(p) if c else None for c, p in zip(LABELS, RNG.normal(size=ROWS), strict=True)]
    (warning,) = leaks(price=prices)
    assert "a value occurs only where" in warning


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_number_that_ranks_clicks(sign):
    (warning,) = leaks(dwell=sign * (LABELS * 10 + RNG.normal(size=ROWS)))
    assert "'dwell' may leak the label: alone it predicts 'click' with AUC" in warning


def test_a_category_that_ranks_clicks():
    page = [f"thanks{i % 9}" if c else f"shop{i % 9}" for i, c in enumerate(LABELS)]
    assert len(leaks(page=page)) == 1


def test_file_round_trip(tmp_path):
    schema = Schema(
        columns=(
            Column(name="on", role="label", reason="named: as # the label"),
            Column(name="1", role="dense", transform="log1p"),
            Column(name="é\n", role="categorical", min_count=3),
            Column(name="null", role="ignore"),
        ),
        format="csv",
    )
    schema.save(tmp_path / "schema.yaml")
    assert Schema.load(tmp_path / "schema.yaml") == schema


def test_defaults_and_views():
    schema = Schema(
        columns=(
            LABEL,
            Column(name="x", role="dense"),
            Column(name="c", role="categorical"),
            Column(name="z", role="ignore", reason="no use"),
        )
    )
    assert schema.label == "label"
    assert [(c.name, c.transform) for c in schema.dense] == [("x", "standardize")]
    assert [(c.name, c.min_count) for c in schema.categorical] == [("c", 2)]
    lines = schema.describe().splitlines()
    assert len(lines) == 4
    assert lines[3].split() == ["z", "ignore", "no", "use"]


def test_revised():
    schema = Schema(
        columns=(LABEL, Column(name="x", role="dense"), Column(name="c", role="categorical"))
    )
    revised = schema.revised(ignore=["x"], min_count=9)
    assert [c.role for c in revised.columns] == ["label", "ignore", "categorical"]
    assert revised.categorical[0].min_count == 9
    with pytest.raises(DataError, match="cannot ignore 'y'"):
        schema.revised(ignore=["y"])
    with pytest.raises(DataError, match="every feature is ignored"):
        schema.revised(ignore=["x", "c"])


def test_a_named_role_replaces_the_one_that_had_it():
    columns = (LABEL, Column(name="x", role="dense"), Column(name="u", role="group"))
    schema = Schema(columns=(*columns, Column(name="c", role="categorical")))
    revised = schema.revised(roles={"c": "group"})
    assert [c.role for c in revised.columns] == ["label", "dense", "ignore", "group"]
    assert [c.reason for c in revised.columns[2:]] == ["a second group", "named as the group"]
    with pytest.raises(DataError, match="cannot take 'y' as group"):
        schema.revised(roles={"y": "group"})


@pytest.mark.parametrize(
    "columns",
    [
        (LABEL,),
        (Column(name="x", role="dense"),),
        (LABEL, LABEL, Column(name="x", role="dense")),
        (LABEL, Column(name="x", role="dense"), Column(name="x", role="ignore")),
    ],
)
def test_schemas_that_are_not_whole(columns):
    with pytest.raises(ValidationError):
        Schema(columns=columns)


@pytest.mark.parametrize(
    "options",
    [
        {"role": "dense", "min_count": 2},
        {"role": "categorical", "transform": "log1p"},
        {"role": "categorical", "min_count": 0},
        {"role": "number"},
        {"role": "dense", "hash": 3},
    ],
)
def test_options_that_do_not_fit(options):
    with pytest.raises(ValidationError):
        Column(name="x", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: [", "not YAML"),
        ("- a", "not a mapping"),
        ("columns: [{name: x, role: numbr}]", r"columns\.0\.role"),
        ("columns: [{name: x, role: label}]", "nothing to learn from"),
        ("columns: [{name: on, role: label}]", r"columns\.0\.name"),
        ("colums: []", "colums"),
    ],
)
def test_files_that_are_not_schemas(tmp_path, text, message):
    path = tmp_path / "schema.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        Schema.load(path)
    assert caught.value.where == str(path)
    with pytest.raises(DataError, match="cannot read"):
        Schema.load(tmp_path / "none.yaml")
