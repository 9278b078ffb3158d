"""Logs in chunks: the rows do not depend on chunks, files or compression; damage has its place."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data.formats import Position, faults, open_log
from nasrec.errors import DataError

SIZES = st.sampled_from([1, 7, 64, 1000, 1 << 20])


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(log, chunk_bytes=100, start=None):
    """All rows, their places and what was left out, by going through the chunks."""
    rows, places, bad = [], [], []
    for chunk in log.chunks(chunk_bytes=chunk_bytes, start=start):
        rows += chunk.frame.rows()
        places += [chunk.place(i) for i in range(chunk.frame.height)]
        bad += chunk.bad
    return rows, places, bad


def naive(text: bytes, separator: str, fields: int):
    """What a plain loop makes of text, quotes and all: rows, lines, and lines left out.

    A record that does not parse is left out as a whole; after a quote out of place only its first
    line is.
    """
    lines = text.split(b"\n")
    rows, numbers, bad, i = [], [], [], 0
    while i < len(lines):
        record, end = None, i
        while end < len(lines):
            record = split_record(b"\n".join(lines[i : end + 1]), separator)
            if record != "open":
                break
            end += 1
        first = lines[i].strip(b"\r")
        if not first:
            i += 1
        elif record in ("open", "wrong"):
            bad.append(i + 1)
            i += 1
        elif record is None or len(record) != fields:
            bad.append(i + 1)
            i = end + 1
        else:
            rows.append(tuple(field or None for field in record))
            numbers.append(i + 1)
            i = end + 1
    return rows, numbers, bad


def split_record(raw: bytes, separator: str):
    """The fields of a record; "open" if a quote is; "wrong" if one is out of place; None if it is
    not UTF-8."""
    raw = raw.removesuffix(b"\r") if raw.count(b'"') % 2 == 0 else raw
    fields, field, quoted, i = [], b"", False, 0
    fresh = True
    while i < len(raw):
        byte = raw[i : i + 1]
        if quoted:
            if byte != b'"':
                field += byte
            elif raw[i + 1 : i + 2] == b'"':
                field += b'"'
                i += 1
            else:
                quoted = False
                if raw[i + 1 : i + 2] not in (b"", separator.encode(), b"\r"):
                    return "wrong"
        elif byte == b'"':
            if not fresh:
                return "wrong"
            quoted = True
        elif byte == separator.encode():
            fields.append(field)
            field, fresh, i = b"", True, i + 1
            continue
        else:
            field += byte
        fresh = False
        i += 1
    if quoted:
        return "open"
    try:
        return [part.decode() for part in [*fields, field]]
    except UnicodeDecodeError:
        return None


PIECES = [b"a", b"12", b",", b",", b"\n", b"\n", b'"', b'""', b"\xc3\xa9", b" ", b"x,y\n", b"\xe9"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30), SIZES, SIZES)
def test_rows_and_bad_lines_as_a_plain_loop_finds_them(tmp_path_factory, pieces, one, two):
    body = b"".join(pieces)
    path = write(tmp_path_factory.mktemp("log") / "log.csv", b"p,q\n" + body + b"\n1,2\n")
    log = open_log(path, bad_rows="skip")
    rows, places, bad = rows_of(log, one)
    assert (rows, places, bad) == rows_of(log, two)
    want_rows, want_lines, want_bad = naive(b"p,q\n" + body + b"\n1,2\n", ",", 2)
    assert rows == want_rows[1:]
    assert places == [f"{path}, line {line}" for line in want_lines[1:]]
    assert [line.line for line in bad] == want_bad
    if want_bad:
        with pytest.raises(DataError, match="line"):
            rows_of(open_log(path), one)
    else:
        assert rows_of(open_log(path), one) == (rows, places, [])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, b"1,2,3,4\n", b",,,"]), max_size=30))
def test_few_columns_are_those_of_all(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("log") / "log.csv"
    log = open_log(write(path, b"p,q,r,s\n1,2,3,4\n" + b"".join(pieces)), bad_rows="skip")
    few = open_log(path, columns=["r"], bad_rows="skip")
    rows, places, bad = rows_of(log)
    assert rows_of(few) == ([(row[2],) for row in rows], places, bad)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text('ab,"\n\r é1', max_size=4), min_size=2, max_size=2), min_size=1),
    SIZES,
)
@pytest.mark.slow
def test_going_on_from_every_position(tmp_path_factory, rows, size):
    quoted = "\n".join(
        ",".join('"' + field.replace('"', '""') + '"' for field in row)
        for row in [("p", "q"), *rows]
    )
    path = write(tmp_path_factory.mktemp("log") / "log.csv", b"\xef\xbb\xbf" + quoted.encode())
    log = open_log([path, path], bad_rows="quarantine")
    all_rows, all_places, all_bad = rows_of(log, size)
    assert all_rows == 2 * [tuple(field or None for field in row) for row in rows]
    done, bad = 0, 0
    for chunk in log.chunks(chunk_bytes=size):
        done, bad = done + chunk.frame.height, bad + len(chunk.bad)
        if chunk.next is not None:
            again = Position(**vars(chunk.next))
            assert rows_of(log, 50, again) == (all_rows[done:], all_places[done:], all_bad[bad:])
    assert done == len(all_rows)


def table(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(rows)
    return pl.DataFrame(
        {
            "label": rng.integers(0, 2, rows),
            "x": rng.normal(size=rows),
            "c": [f"v{i}" for i in rng.integers(0, 50, rows)],
        }
    )


def test_many_files_patterns_folders_and_compression(tmp_path):
    frame = table(600)
    parts = [frame[:200], frame[200:400], frame[400:]]
    texts = [part.write_csv().encode() for part in parts]
    want = frame.select(pl.all().cast(pl.String)).rows()
    folder = tmp_path / "parts"
    folder.mkdir()
    write(folder / "a.csv", texts[0])
    write(folder / "b.csv.gz", gzip.compress(texts[1]))
    write(folder / "c.csv", texts[2])
    write(folder / "_SUCCESS", "")
    write(folder / ".hidden", "")
    for source in (folder, folder / "*.csv*", [folder / "a.csv", folder / "[bc].*"]):
        log = open_log(source)
        assert len(log.files) == 3
        for size in (500, 10**6):
            rows, places, _ = rows_of(log, size)
            assert rows == want
        assert places[250] == f"{folder / 'b.csv.gz'}, line 52"
    names = [entry["name"] for entry in log.identity()]
    assert names == ["a.csv", "b.csv.gz", "c.csv"]
    for chunk in log.chunks(chunk_bytes=1000):
        if chunk.next and chunk.next.file == 1 and chunk.next.offset:
            rest = rows_of(log, 700, chunk.next)[0]
            assert rest == want[200 + chunk.next.row :]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no program zstd")
def test_zstd(tmp_path):
    frame = table(3000)
    path = tmp_path / "log.csv"
    frame.write_csv(path)
    subprocess.run(["zstd", "-q", str(path)], check=True)
    packed = tmp_path / "log.csv.zst"
    assert rows_of(open_log(packed), 5000)[0] == rows_of(open_log(path), 999)[0]
    second = next(open_log(packed).chunks(chunk_bytes=5000)).next
    assert rows_of(open_log(packed), 777, second) == rows_of_named(path, second, packed)
    write(packed, packed.read_bytes()[:-500])
    with pytest.raises(DataError, match="damaged or cut off"):
        rows_of(open_log(packed), 5000)


def rows_of_named(path, start, name):
    rows, places, bad = rows_of(open_log(path), 10**6, start)
    return rows, [place.replace(str(path), str(name)) for place in places], bad


def test_no_zstd_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="'zstd' is needed"):
        open_log(write(tmp_path / "log.csv.zst", b"x"))


def test_gzip_cut_off_or_no_gzip(tmp_path):
    packed = gzip.compress(table(3000).write_csv().encode())
    path = write(tmp_path / "log.csv.gz", packed[:-1000])
    with pytest.raises(DataError, match="damaged or cut off"):
        rows_of(open_log(path), 5000)
    with pytest.raises(DataError, match="damaged or cut off"):
        open_log(write(path, b"label,x\n1,2\n"))


def test_parquet_in_chunks(tmp_path):
    frame = table(5000)
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=700)
    frame[:10].write_parquet(tmp_path / "b.parquet")
    log = open_log(tmp_path)
    for size in (1000, 10**7):
        rows, places, _ = rows_of(log, size)
        assert rows == frame.rows() + frame[:10].rows()
        assert places[4999].endswith("a.parquet, row 5000")
        assert places[5000].endswith("b.parquet, row 1")
    chunk = list(log.chunks(chunk_bytes=9000))[3]
    assert rows_of(log, 10**6, chunk.next)[0] == rows[rows.index(chunk.frame.rows()[-1]) + 1 :]


def test_data_frames_in_chunks():
    frame = table(500)
    log = open_log(frame, columns=["c", "label"])
    want = frame.select("c", "label").rows()
    first = next(log.chunks(chunk_bytes=400))
    assert first.frame.height < 100
    assert rows_of(log, 400)[0] == want
    assert rows_of(log, 10**6, first.next)[0] == want[first.frame.height :]
    assert open_log(table(500)).identity() == open_log(frame).identity()


def test_columns_in_any_order_and_some_of_them(tmp_path):
    write(tmp_path / "a.csv", "x,y,z\n1,2,3\n")
    write(tmp_path / "b.csv", "z,x,y\n6,4,5\n")
    assert rows_of(open_log(tmp_path))[0] == [("1", "2", "3"), ("4", "5", "6")]
    assert rows_of(open_log(tmp_path, columns=["z", "x"]))[0] == [("3", "1"), ("6", "4")]
    with pytest.raises(DataError, match=r"(?s)no column 'Z'.*did you mean 'z'"):
        open_log(tmp_path, columns=["Z"])


def test_ragged_lines_are_found_when_few_columns_are_read(tmp_path):
    # One field too many and one too few: as many separators as there should be.
    path = write(tmp_path / "a.csv", "x,y,z\n1,2,3\n1,2\n1,2,3,4\n")
    with pytest.raises(DataError, match="line 3: 2 fields where 3"):
        rows_of(open_log(path, columns=["x"]))
    rows, _, bad = rows_of(open_log(path, columns=["x"], bad_rows="skip"))
    assert (rows, [line.text for line in bad]) == ([("1",)], [b"1,2", b"1,2,3,4"])


def test_files_with_different_headers(tmp_path):
    write(tmp_path / "a.csv", "x,y\n1,2\n")
    write(tmp_path / "b.csv", "x,z\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv: its columns .* lacks 'y' and also has 'z'"):
        open_log(tmp_path)
    assert rows_of(open_log(tmp_path, columns=["x"]))[0] == [("1",), ("1",)]


@pytest.mark.parametrize(
    ("source", "message"),
    [("none-*.csv", "no file matches"), ("empty", "no files in the folder"), ("mixed", "is csv")],
)
def test_sources_that_mean_no_log(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    write(tmp_path / "mixed" / "a.csv", "x\n1\n")
    write(tmp_path / "mixed" / "b.tsv", "x\n1\n")
    with pytest.raises(DataError, match=message):
        open_log(tmp_path / source)
    with pytest.raises(DataError, match="no files are given"):
        open_log([])


def test_a_quote_never_closed_far_from_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "MAX_RECORD", 1000)
    lines = ["x,y", *(f"{i},b" for i in range(2000))]
    lines[100] = '99,"b'
    path = write(tmp_path / "log.csv", "\n".join(lines))
    with pytest.raises(DataError, match="line 101: a quote is opened and never closed"):
        rows_of(open_log(path), 200)
    for size in (200, 10**6):
        rows, _, (bad,) = rows_of(open_log(path, bad_rows="skip"), size)
        assert (len(rows), bad.line, bad.text) == (1999, 101, b'99,"b')


def test_a_value_of_a_megabyte(tmp_path):
    huge = "é" * (1 << 20)
    path = write(tmp_path / "log.csv", f'x,y\n1,{huge}\n2,"{huge}\n"\n')
    assert rows_of(open_log(path), 1000)[0] == [("1", huge), ("2", huge + "\n")]


def test_text_that_is_cut_in_the_middle_of_everything(tmp_path):
    whole = 'x,y\n1,é\n"2\n",b\n3,c'.encode()
    for stop in range(5, len(whole) + 1):
        path = write(tmp_path / "log.csv", whole[:stop])
        rows, _, bad = rows_of(open_log(path, bad_rows="skip"), 3)
        want, _, want_bad = naive(whole[:stop], ",", 2)
        assert (rows, [line.line for line in bad]) == (want[1:], want_bad)


def test_a_sample_is_the_whole_log_or_pieces_from_all_over_it(tmp_path):
    frame = table(20_000).with_columns(n=pl.int_range(20_000))
    frame.write_csv(tmp_path / "log.csv")
    frame.write_parquet(tmp_path / "log.parquet")
    write(tmp_path / "log.csv.gz", gzip.compress((tmp_path / "log.csv").read_bytes()))
    for name in ("log.csv", "log.parquet", "log.csv.gz"):
        log = open_log(tmp_path / name)
        whole = log.sample(10**8)
        assert not whole.sampled
        assert whole.frame.height == 20_000
        part = log.sample(20_000)
        numbers = part.frame["n"].cast(pl.Int64)
        assert part.sampled
        assert numbers.is_sorted()
        assert 50 < len(numbers) < 5000
        if name != "log.csv.gz":
            assert numbers.max() > 19_000
        assert "row" not in part.place(3, "n")
    assert whole.place(3, "n").endswith("line 5, column 'n'")
