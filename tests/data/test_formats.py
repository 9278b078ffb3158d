"""Reading logs: every kind of bad file gives one error with its place and the mend."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data.formats import FORMATS, Chunk, open_log
from nasrec.errors import DataError


def read_table(path: Path, format: str | None = None) -> Chunk:
    return open_log(path, format).whole()


def write(tmp_path: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def error_of(path: Path, format: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path, format)
    assert str(path) in str(caught.value)
    assert caught.value.mend
    return caught.value


def test_csv_is_read_as_text_with_nulls(tmp_path):
    table = read_table(write(tmp_path, "click,x,c\n1,,007\n0,2.50,1e5\n"))
    assert table.frame.rows() == [("1", None, "007"), ("0", "2.50", "1e5")]
    assert table.place(1, "c").endswith("log.csv, line 3, column 'c'")


def test_tsv_and_parquet(tmp_path):
    table = read_table(write(tmp_path, "click\tc\n1\ta\n0\tb\n", "log.tsv"))
    assert table.frame.rows() == [("1", "a"), ("0", "b")]
    table.frame.write_parquet(tmp_path / "log.parquet")
    parquet = read_table(tmp_path / "log.parquet")
    assert parquet.frame.equals(table.frame)
    assert parquet.place(1).endswith("log.parquet, row 2")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_marks_and_blank_lines(tmp_path, end, mark, last):
    text = end.join(["", "click,c", "1,a", "", "0,b", "1,c"]) + (end if last else "")
    table = read_table(write(tmp_path, mark + text.encode()))
    assert table.frame.columns == ["click", "c"]
    assert table.frame.rows() == [("1", "a"), ("0", "b"), ("1", "c")]
    assert list(table.lines) == [3, 5, 6]


def test_quotes_separators_and_newlines_in_fields(tmp_path):
    text = 'click,"a ""b"", c"\n1,"x,\ny"\n0,""\n1,"5"" screen"\n0,z\n'
    table = read_table(write(tmp_path, text))
    assert table.frame.columns == ["click", 'a "b", c']
    assert table.frame.rows() == [("1", "x,\ny"), ("0", None), ("1", '5" screen'), ("0", "z")]
    assert list(table.lines) == [2, 4, 5, 6]


fields = st.text(st.sampled_from('ab,"\n \té'), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(fields, fields, fields), min_size=1, max_size=8))
def test_same_rows_and_lines_as_the_csv_module(tmp_path_factory, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("x", "y", "z"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), text.getvalue())
    table = read_table(path)
    assert table.frame.rows() == [tuple(field or None for field in row) for row in rows]
    reader = csv.reader(io.StringIO(text.getvalue(), newline=""))
    ends = []
    for _ in reader:
        ends.append(reader.line_num)
    assert list(table.lines) == [end + 1 for end in ends[:-1]]


def test_criteo_has_its_columns_and_no_quotes(tmp_path):
    line = "\t".join(["1", *map(str, range(13)), *(f"{i:08x}" for i in range(25)), 'a"'])
    table = read_table(write(tmp_path, f"{line}\n{line}\n", "train.txt"), "criteo")
    assert table.frame.columns == ["label", *(f"I{i}" for i in range(1, 14))] + [
        f"C{i}" for i in range(1, 27)
    ]
    assert table.frame["C26"].to_list() == ['a"', 'a"']
    assert list(table.lines) == [1, 2]


def test_missing_file(tmp_path):
    assert "no such file" in str(error_of(tmp_path / "none.csv"))


def test_folder(tmp_path):
    (tmp_path / "x.csv").mkdir()
    assert "folder" in str(error_of(tmp_path / "x.csv"))


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.parquet"])
def test_empty_file(tmp_path, name):
    assert "empty" in str(error_of(write(tmp_path, "", name)))


def test_blank_file(tmp_path):
    assert "empty" in str(error_of(write(tmp_path, " \n\n")))


@pytest.mark.parametrize("text", ["click,c\n", "click,c", "click,c\n\n\r\n"])
def test_header_only(tmp_path, text):
    assert "only a header" in str(error_of(write(tmp_path, text)))


def test_parquet_without_rows(tmp_path):
    pl.DataFrame({"click": [], "c": []}).write_parquet(tmp_path / "log.parquet")
    assert "no rows" in str(error_of(tmp_path / "log.parquet"))


def test_unknown_extension_and_format(tmp_path):
    message = str(error_of(write(tmp_path, "a", "log.xyz")))
    assert ".xyz" in message
    assert all(name in message for name in FORMATS)
    with pytest.raises(DataError, match=r"(?s)no format 'exel'.*csv"):
        read_table(tmp_path / "log.xyz", "exel")


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a,b,c\n1,2,3\n1,2\n1,2,3\n", 3, "2 fields where 3"),
        ("a,b,c\n1,2,3\n1,2,3,4\n", 3, "4 fields where 3"),
        ("a,b,c\n1,2,3\n\n1,2,3\n1", 5, "1 field where 3"),
        ('a,b,c\n1,"x\ny",3\n1,2\n', 4, "2 fields where 3"),
        ("a,b,c\r\n1,2,3\r\n1,2\r\n", 3, "2 fields where 3"),
    ],
)
def test_ragged_line(tmp_path, text, line, found):
    error = error_of(write(tmp_path, text))
    assert error.where.endswith(f"line {line}")
    assert found in error.what
    assert ("truncated" in error.what) == (not found.startswith("4"))


def test_truncated_criteo_line(tmp_path):
    line = "\t".join(["1"] * 40)
    error = error_of(write(tmp_path, f"{line}\n{line[:20]}", "train.txt"), "criteo")
    assert error.where.endswith("line 2")
    assert "where 40 are expected" in error.what


def test_invalid_utf8(tmp_path):
    error = error_of(write(tmp_path, "a,b\n1,é\n1,".encode() + b"caf\xe9\n1,2\n"))
    assert error.where.endswith("line 3")
    assert "0xe9" in error.what
    assert "UTF-8" in error.mend


@pytest.mark.parametrize(
    ("text", "line"),
    [('a,b\n1,2\n1,5" wide\n', 3), ('a,b\n1,"x"y\n1,2\n', 2), ('a,b\n1,2\n3,"4\n5,6\n', 3)],
)
def test_quotes_out_of_place(tmp_path, text, line):
    error = error_of(write(tmp_path, text))
    assert "quote" in error.what
    assert error.where.endswith(f"line {line}")


def test_duplicate_and_nameless_columns(tmp_path):
    error = error_of(write(tmp_path, "a,b,a\n1,2,3\n"))
    assert "two columns are called 'a'" in error.what
    assert "criteo" in error.mend
    assert "without a name" in error_of(write(tmp_path, "a,,c\n1,2,3\n")).what


def test_parquet_that_is_cut_off_or_not_parquet(tmp_path):
    path = tmp_path / "log.parquet"
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole Parquet file" in error_of(path).what
    assert "not a whole Parquet file" in error_of(write(tmp_path, "a,b\n1,2\n", "x.parquet")).what
