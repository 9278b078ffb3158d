"""Rows that are wrong: an error with their place, or left out and counted."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from nasrec.data import Column, Schema, prepare
from nasrec.data.formats import Log
from nasrec.errors import DataError
from tests.data.logs import DAYS, ROWS, SCHEMA, log_of, only

BAD = [
    "1,oops,a,t1,1,mon",
    "maybe,1,a,t1,1,mon",
    "1,1,a,t1,-1,mon",
    "1,1,a",
    "1,1e999,a,t1,1,mon",
]


@pytest.mark.parametrize("bad_rows", ["skip", "quarantine"])
def test_bad_rows_are_left_out(tmp_path, bad_rows, in_pieces):
    rows = [row for pair in zip([*ROWS, *ROWS], [*BAD, *BAD, "", ""], strict=True) for row in pair]
    log = log_of(tmp_path / "log.csv", [row for row in rows if row])
    told = []
    options = {"schema": SCHEMA, "split": DAYS, "bad_rows": bad_rows, "tell": told.append}
    data = prepare(log, tmp_path / "out", **options)
    clean = prepare(
        log_of(tmp_path / "clean.csv", [*ROWS, *ROWS]),
        tmp_path / "clean",
        schema=SCHEMA,
        split=DAYS,
    )
    assert data.fingerprint == clean.fingerprint
    assert data.manifest["bad_rows"]["count"] == 10
    first = data.manifest["bad_rows"]["first"]
    assert first[0] == f"{log}, line 3: column 'x': 'oops' is no finite number"
    assert any("10 bad rows" in line for line in told)
    assert any("line 5" in line for line in told)
    file = tmp_path / "out" / "quarantine.csv"
    assert file.is_file() == (bad_rows == "quarantine")
    if file.is_file():
        kept = pl.read_csv(file)
        assert kept["line"].to_list() == [3, 5, 7, 9, 11, 13, 15, 17, 19, 21]
        assert kept["text"][3] == "1,1,a"


def test_bad_labels_of_a_log_without_schema(tmp_path):
    rows = [f"{i % 2},{i % 7 + 2}" for i in range(99)]
    (tmp_path / "log.csv").write_text("\n".join(["label,c", *rows, "2,3", "x,1", ",1"]) + "\n")
    with pytest.raises(DataError, match="label"):
        prepare(tmp_path / "log.csv", tmp_path / "out", label="label")
    data = prepare(tmp_path / "log.csv", tmp_path / "out", label="label", bad_rows="skip")
    assert data.manifest["bad_rows"]["count"] == 3
    assert "line 101: column 'label': '2' is no 0 or 1" in data.manifest["bad_rows"]["first"][0]


def test_another_column_named_as_the_label(tmp_path, monkeypatch, in_pieces):
    """Most rows would be left out: an error, also where only the end of the log is so."""
    rows = [f"{i % 2},{i % 2 if i < 900 else 5},{i}" for i in range(2000)]
    (tmp_path / "log.csv").write_text("\n".join(["label,late,c", *rows]) + "\n")
    for label, wrong in (("c", "1,998"), ("late", "1,100")):
        with pytest.raises(DataError, match=f"{wrong} of 2,000 rows") as caught:
            prepare(tmp_path / "log.csv", tmp_path / "out", label=label, bad_rows="skip")
        assert caught.value.where.endswith(f"column {label!r}")
    sample = Log.sample
    monkeypatch.setattr(
        Log, "sample", lambda log, _: replace(c := sample(log), frame=c.frame[:900])
    )
    with pytest.raises(DataError, match="1,100 of 2,000 rows"):
        prepare(tmp_path / "log.csv", tmp_path / "out", label="late", bad_rows="quarantine")
    assert only(tmp_path) == ["log.csv"]
    data = prepare(tmp_path / "log.csv", tmp_path / "out", label="label", bad_rows="skip")
    assert data.manifest["bad_rows"]["count"] == 0


@pytest.mark.parametrize("row", BAD)
def test_bad_rows_are_an_error_with_their_line(tmp_path, row, in_pieces):
    log = log_of(tmp_path / "log.csv", [*ROWS, row, *ROWS])
    with pytest.raises(DataError, match="line 8") as caught:
        prepare(log, tmp_path / "out", schema=SCHEMA, split=DAYS)
    assert str(log) in caught.value.where
    assert only(tmp_path) == ["log.csv"]


@pytest.fixture
def late_text(tmp_path, monkeypatch):
    """A log whose column of integers turns to text where inference does not look."""
    numbers = [str(i % 91) for i in range(4000)]
    numbers[2500] = "none of your business"
    labels = [int(i % 3 == 0) for i in range(4000)]
    frame = pl.DataFrame({"label": labels, "n": numbers, "c": ["a", "b"] * 2000})
    frame.write_csv(tmp_path / "log.csv")
    sample = Log.sample
    monkeypatch.setattr(Log, "sample", lambda log, _: sample(log, 3000))
    return tmp_path / "log.csv"


def test_a_column_of_integers_that_turns_to_text_late(late_text, tmp_path, in_pieces):
    with pytest.raises(DataError, match="'none of your business' is not a finite") as caught:
        prepare(late_text, tmp_path / "out", label="label")
    assert caught.value.where == f"{late_text}, line 2502, column 'n'"
    assert "make the column categorical in the schema" in caught.value.mend
    data = prepare(late_text, tmp_path / "out", label="label", bad_rows="skip")
    assert [column.name for column in data.schema.dense] == ["n"]
    assert data.manifest["bad_rows"]["count"] == 1
    assert len(data.train) + len(data.valid) + len(data.test) == 3999


def test_parquet_with_decimals_and_nested_columns(tmp_path):
    rows = 400
    cents = pl.Series([f"{i % 97}.50" for i in range(rows)]).cast(pl.Decimal(12, 2))
    columns = {
        "label": [int(i % 3 == 0) for i in range(rows)],
        "price": cents,
        "c": ["a", "b"] * (rows // 2),
        "struct": [{"a": i} for i in range(rows)],
        "lists": [[[i]] for i in range(rows)],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "log.parquet")
    data = prepare(tmp_path / "log.parquet", tmp_path / "out", label="label")
    assert {c.name: c.role for c in data.schema.columns} == {
        "label": "label", "price": "dense", "c": "categorical", "struct": "ignore",
        "lists": "ignore",
    }  # fmt: skip
    plain = {**columns, "price": cents.cast(pl.Float64)}
    pl.DataFrame(plain).write_parquet(tmp_path / "plain.parquet")
    other = prepare(tmp_path / "plain.parquet", tmp_path / "plain", label="label")
    assert data.fingerprint == other.fingerprint
    asked = [
        Column(name="lists", role="categorical", min_count=1) if c.name == "lists" else c
        for c in data.schema.columns
    ]
    with pytest.raises(DataError, match=r"values of type List\(List\(Int64\)\) cannot be used"):
        prepare(tmp_path / "log.parquet", tmp_path / "asked", schema=Schema(columns=asked))
