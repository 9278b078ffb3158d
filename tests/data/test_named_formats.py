"""The formats of published logs, against plain loops over their lines."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nasrec.data import infer_schema
from nasrec.data.formats import FORMATS, open_log
from nasrec.errors import DataError

RNG = np.random.default_rng(5)


def frame_of(log, chunk_bytes=300) -> pl.DataFrame:
    return pl.concat([chunk.frame for chunk in log.chunks(chunk_bytes=chunk_bytes)])


def criteo_line() -> str:
    numbers = ["" if RNG.random() < 0.2 else str(RNG.integers(-2, 999)) for _ in range(13)]
    hashes = ["" if RNG.random() < 0.2 else f"{RNG.integers(2**32):08x}" for _ in range(26)]
    return "\t".join([str(RNG.integers(2)), *numbers, *hashes])


def test_criteo_days(tmp_path):
    days = {day: [criteo_line() for _ in range(20)] for day in (0, 3, 11)}
    for day, lines in days.items():
        content = "\n".join(lines).encode()
        name = f"day_{day}" + (".gz" if day == 3 else "")
        (tmp_path / name).write_bytes(gzip.compress(content) if day == 3 else content)
    log = open_log(tmp_path, "criteo_days")
    want = [
        (*(field or None for field in line.split("\t")), str(day))
        for day in (0, 11, 3)  # by name
        for line in days[day]
    ]
    assert frame_of(log).rows() == want
    assert frame_of(open_log(tmp_path, "criteo_days", ["day"])).to_series().to_list() == [
        row[-1] for row in want
    ]
    assert FORMATS["criteo_days"].schema.timestamp.name == "day"


def test_avazu(tmp_path):
    names = [c.name for c in FORMATS["avazu"].schema.columns]
    header = [name for name in names if name not in ("weekday", "hour_of_day")]
    hours = {"14102100": ("2", "00"), "14102523": ("6", "23"), "15010107": ("4", "07")}
    odd = {"14102124": ("2", None), "x": (None, None), "": (None, None)}
    lines = [
        ",".join(hour if name == "hour" else f"{name}{i}" for name in header)
        for i, hour in enumerate([*hours, *odd])
    ]
    path = tmp_path / "train.csv"
    path.write_text("\n".join([",".join(header), *lines]))
    frame = frame_of(open_log(path, "avazu", names))
    assert frame.columns == names
    found = zip(frame["weekday"], frame["hour_of_day"], strict=True)
    assert list(found) == [*hours.values(), *odd.values()]
    assert frame["C21"].to_list() == [f"C21{i}" for i in range(6)]
    only = frame_of(open_log(path, "avazu", ["hour_of_day", "C1"]))
    assert only.columns == ["hour_of_day", "C1"]


KDD = "click impression url ad advertiser depth position query keyword title description user"


@pytest.fixture
def kdd(tmp_path) -> tuple[Path, list[list[str]], dict[str, tuple[str, str]]]:
    rows = []
    for _ in range(60):
        impressions = int(RNG.integers(1, 5))
        clicks = int(RNG.integers(0, impressions + 1))
        rest = [str(value) for value in RNG.integers(1, 30, 10)]
        rows.append([str(clicks), str(impressions), *rest])
    rows.append(["3", "2", *"1234567890"])
    profiles = {str(i): (str(i % 3), str(1 + i % 6)) for i in range(1, 20)}
    (tmp_path / "training.txt").write_text("\n".join("\t".join(row) for row in rows))
    (tmp_path / "userid_profile.txt").write_text(
        "".join(f"{user}\t{g}\t{a}\n" for user, (g, a) in profiles.items())
    )
    return tmp_path / "training.txt", rows, profiles


def test_kdd_together(kdd):
    path, rows, profiles = kdd
    log = open_log(path, "kdd")
    found = frame_of(log).select("label", *log.columns[1:13], "gender", "age").rows()
    assert found == [
        (str(int(int(row[0]) > 0)), *row, *profiles.get(row[11], ("0", "0"))) for row in rows
    ]
    assert [entry["name"] for entry in log.identity()] == ["training.txt", "userid_profile.txt"]


def test_kdd_expanded_and_weighted_are_the_same_showings(kdd):
    path, rows, _ = kdd
    names = ["label", "display_url", "user_id", "age"]
    want: Counter[tuple[str, ...]] = Counter()
    ages = frame_of(open_log(path, "kdd", ["age"]))["age"]
    for row, age in zip(rows, ages, strict=True):
        clicks = int(row[0])
        want[("1", row[2], row[11], age)] += clicks
        want[("0", row[2], row[11], age)] += max(0, int(row[1]) - clicks)
    expanded = frame_of(open_log(path, "kdd_expanded", names))
    assert Counter(expanded.rows()) == +want
    weighted: Counter[tuple[str, ...]] = Counter()
    log = open_log(path, "kdd_weighted", [*names, "weight"])
    for *row, weight in frame_of(log).rows():
        weighted[tuple(row)] += int(weight)
        assert int(weight) > 0
    assert weighted == +want


def test_places_and_positions_of_expanded_rows(kdd):
    path, rows, _ = kdd
    log = open_log(path, "kdd_expanded", ["user_id"])
    done = 0
    everything = frame_of(log)
    for chunk in log.chunks(chunk_bytes=200):
        assert chunk.first_row == done
        for i, user in enumerate(chunk.frame["user_id"]):
            assert rows[chunk.lines[i] - 1][11] == user
        done += chunk.frame.height
        if chunk.next:
            rest = pl.concat([c.frame for c in log.chunks(chunk_bytes=999, start=chunk.next)])
            assert rest.equals(everything[done:])


def test_kdd_without_profiles_or_with_wrong_counts(kdd):
    path, rows, _ = kdd
    path.write_text("\n".join("\t".join(row) for row in [*rows, ["1", "0", *rows[0][2:]]]))
    with pytest.raises(DataError, match=r"line 62: column 'impression': '0' is not a whole"):
        frame_of(open_log(path, "kdd"))
    log = open_log(path, "kdd", bad_rows="skip")
    (bad,) = [line for chunk in log.chunks(chunk_bytes=300) for line in chunk.bad]
    assert (bad.line, bad.text) == (62, "\t".join(["1", "0", *rows[0][2:]]).encode())
    path.with_name("userid_profile.txt").unlink()
    with pytest.raises(DataError, match=r"no userid_profile\.txt beside it"):
        frame_of(open_log(path, "kdd"))


def test_quotes_mean_nothing_in_raw_text(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_text('y\tq\n1\t5" screen\n0\t"\n')
    assert frame_of(open_log(path, "tsv_raw")).rows() == [("1", '5" screen'), ("0", '"')]


def test_libfm(tmp_path):
    ids = RNG.integers(0, 5000, (40, 3))
    labels = RNG.choice(["1", "-1"], 40)
    lines = [" ".join([y, *(f"{i}:1" for i in row)]) for y, row in zip(labels, ids, strict=True)]
    path = tmp_path / "train.libfm"
    path.write_text("\n".join(lines) + "\n")
    log = open_log(path)
    assert log.columns == ("label", "F1", "F2", "F3")
    assert frame_of(log).rows() == [
        ("1" if y == "1" else "0", *map(str, row)) for y, row in zip(labels, ids, strict=True)
    ]
    assert frame_of(open_log(path, columns=["F2"])).to_series().to_list() == list(
        map(str, ids[:, 1])
    )
    schema = infer_schema(path).schema
    assert [c.role for c in schema.columns] == ["label"] + 3 * ["categorical"]
    path.write_text("1 2:1 3:1\n0 2:0.5 3:1\n")
    with pytest.raises(DataError, match=r"line 2: column 'F1': '2:0\.5' is not an id"):
        frame_of(open_log(path))


def test_libsvm(tmp_path):
    path = tmp_path / "log.svm"
    path.write_text("1 4:1 17:1\n-1\n0 5:1.0 \n+1 9:1  3:1\n")
    log = open_log(path)
    assert frame_of(log, 5).rows() == [("1", "4 17"), ("0", None), ("0", "5"), ("1", "9 3")]
    assert FORMATS["libsvm"].schema.categorical[0].multi_valued
    path.write_text("1 4:1\n1 4:1 qid:3\n")
    with pytest.raises(DataError, match="line 2: '1 4:1 qid:3' is not a label and ids"):
        frame_of(open_log(path))


@pytest.mark.parametrize("name", FORMATS)
def test_every_fixed_schema_names_columns_that_its_reader_gives(name, tmp_path):
    schema = FORMATS[name].schema
    if schema is None:
        pytest.skip("its columns are not fixed")
    assert schema.format == name
    path = tmp_path / "log.txt"
    path.write_text(
        ",".join(c.name for c in schema.columns) + "\n1\n" if name == "avazu" else "1\n"
    )
    assert {c.name for c in schema.columns} <= set(FORMATS[name].reader.columns(path))


@pytest.mark.parametrize(
    ("name", "format", "separator"),
    [("criteo_kaggle/train.txt", "criteo", "\t"), ("avazu/train.csv", "avazu", ",")],
)
def test_real_logs_as_a_plain_loop_reads_them(real_data, name, format, separator):
    path = real_data / name
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    lines = path.read_text().splitlines()
    want = [tuple(field or None for field in line.split(separator)) for line in lines]
    log = open_log(path, format)
    frame = frame_of(log, 200_000)
    if format == "avazu":
        assert frame.columns[:-2] == list(want.pop(0))
        moments = [datetime.strptime(row[2], "%y%m%d%H") for row in want]
        assert frame["weekday"].to_list() == [str(moment.isoweekday()) for moment in moments]
        assert frame["hour_of_day"].to_list() == [f"{moment.hour:02}" for moment in moments]
        frame = frame.drop("weekday", "hour_of_day")
    assert frame.rows() == want
