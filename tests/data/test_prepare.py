"""Preparing: train-only statistics, whole or nothing, the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nasrec.data import Column, Encoder, PreparedData, Schema, SyntheticLog, prepare
from nasrec.data.hash import MISSING, hash_texts
from nasrec.data.work import working
from nasrec.errors import ConfigError, DataError

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 9, 30))
FRAME = LOG.generate(600)


@pytest.fixture
def path(tmp_path) -> Path:
    FRAME.write_csv(tmp_path / "log.csv")
    return tmp_path / "log.csv"


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def only(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_statistics_are_of_train_alone(path, tmp_path):
    data = prepare(path, tmp_path / "out", label="label")
    texts = pl.read_csv(path, infer_schema=False)
    # Train rows by another way: by the features that the splits say they have.
    rows = {}
    for split in (data.train, data.valid, data.test):
        rows[split.name] = len(split)
        assert split.click_rate == pytest.approx(FRAME["label"].mean(), abs=0.02)
    assert rows == {"train": 480, "valid": 60, "test": 60}
    sparse = data.encoder.encode(texts)[1]
    stacked = np.concatenate([s.sparse for s in (data.train, data.valid, data.test)])
    assert sorted(map(tuple, stacked)) == sorted(map(tuple, sparse))
    for i, column in enumerate(data.schema.categorical):
        known = data.encoder.categorical[i].values
        counts = np.bincount(data.train.sparse[:, i], minlength=len(known) + 1)
        assert (counts[1:] >= column.min_count).all(), "every id is seen in train"
        assert (np.diff(counts[1:]) <= 0).all(), "ids by falling count"
    for i, column in enumerate(data.schema.dense):
        if column.transform == "standardize":
            assert data.train.dense[:, i].mean() == pytest.approx(0, abs=1e-5)


def test_frame_and_file_give_the_same_data(path, tmp_path):
    one = prepare(path, tmp_path / "one", label="label")
    two = prepare(FRAME, tmp_path / "two", label="label")
    FRAME.write_parquet(tmp_path / "log.parquet")
    FRAME.write_csv(tmp_path / "log.tsv", separator="\t")
    three = prepare(tmp_path / "log.parquet", tmp_path / "three", label="label")
    four = prepare(tmp_path / "log.tsv", tmp_path / "four", label="label")
    assert len({data.fingerprint for data in (one, two, three, four)}) == 1


SCRIPT = (
    "import sys; from nasrec.data import prepare; prepare(sys.argv[1], sys.argv[2], label='label')"
)


def test_same_bytes_in_another_process_with_other_threads(path, tmp_path):
    prepare(path, tmp_path / "one", label="label")
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "77"}
    arguments = [sys.executable, "-c", SCRIPT, str(path), str(tmp_path / "two")]
    subprocess.run(arguments, check=True, env=environment)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_seed_schema_and_rows_change_the_fingerprint(path, tmp_path):
    base = prepare(path, tmp_path / "base", label="label")
    others = {
        "seed": prepare(path, tmp_path / "seed", label="label", seed=1),
        "count": prepare(path, tmp_path / "count", label="label", min_count=9),
        "ignore": prepare(path, tmp_path / "ignore", label="label", ignore=["C1"]),
        "shares": prepare(path, tmp_path / "shares", label="label", fractions=(0.6, 0.2, 0.2)),
        "rows": prepare(FRAME.head(500), tmp_path / "rows", label="label"),
    }
    prints = {data.fingerprint for data in (base, *others.values())}
    assert len(prints) == len(others) + 1
    assert others["ignore"].n_sparse == 2
    assert len(others["shares"].valid) == pytest.approx(120, abs=1)


def test_edited_schema(path, tmp_path):
    first = prepare(path, tmp_path / "one", label="label")
    text = (tmp_path / "one" / "schema.yaml").read_text()
    edited = tmp_path / "mine.yaml"
    edited.write_text(text.replace("log1p", "none"))
    second = prepare(path, tmp_path / "two", schema=edited)
    assert second.fingerprint != first.fingerprint
    assert {column.transform for column in second.schema.dense} == {"none"}
    same = prepare(path, tmp_path / "three", schema=first.schema)
    assert same.fingerprint == first.fingerprint
    with pytest.raises(DataError, match="the label is to be 'C1', and the schema says 'label'"):
        prepare(path, tmp_path / "four", schema=edited, label="C1")
    wrong = Schema.load(edited)
    columns = tuple(
        c.model_copy(update={"name": "C99"}) if c.name == "C2" else c for c in wrong.columns
    )
    with pytest.raises(DataError, match="no column 'C99'"):
        prepare(path, tmp_path / "four", schema=Schema(columns=columns))


@pytest.mark.parametrize("given", [("valid",), ("test",), ("valid", "test")])
def test_splits_given_as_files(path, tmp_path, given):
    sources = {name: LOG.generate(50 + i, stream=i) for i, name in enumerate(given, start=1)}
    files = {}
    for name, frame in sources.items():
        files[name] = tmp_path / f"{name}.csv"
        frame.select(reversed(frame.columns)).write_csv(files[name])
    data = prepare(path, tmp_path / "out", label="label", **files)
    for name, frame in sources.items():
        split = getattr(data, name)
        assert np.array_equal(split.labels, frame["label"].to_numpy())
        assert np.array_equal(split.sparse, data.encoder.encode(frame)[1])
    drawn = {"valid", "test"} - set(given)
    for name in drawn:
        assert len(getattr(data, name)) == pytest.approx(600 * 0.1 / 0.9, abs=1)
    total = len(data.train) + sum(len(getattr(data, name)) for name in drawn)
    assert total == 600
    alone = Encoder.fit(FRAME, data.schema)
    if not drawn:
        assert alone.dense == data.encoder.dense
        assert alone.categorical == data.encoder.categorical


def test_errors_in_given_files_name_them(path, tmp_path):
    wrong = tmp_path / "test.csv"
    LOG.generate(50).drop("C2").write_csv(wrong)
    with pytest.raises(DataError, match=r"test\.csv: there is no column 'C2'"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    wrong.write_text(wrong.read_text().replace("label", "lable"))
    with pytest.raises(DataError, match=r"(?s)test\.csv: there is no column 'label'.*'lable'"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    LOG.generate(50).with_columns(label=0).write_csv(wrong)
    with pytest.raises(DataError, match=r"test\.csv, column 'label': only one class"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    assert not (tmp_path / "out").exists()


def test_value_that_is_not_a_number(path, tmp_path):
    schema = prepare(path, tmp_path / "good", label="label").schema
    lines = path.read_text().splitlines()
    fields = lines[7].split(",")
    fields[1] = "oops"
    lines[7] = ",".join(fields)
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "out", schema=schema)
    assert caught.value.where == f"{path}, line 8, column 'I1'"
    assert "'oops'" in caught.value.what
    assert "schema" in caught.value.mend


def test_column_that_is_all_missing(tmp_path):
    frame = FRAME.with_columns(I1=None)
    with pytest.raises(DataError, match=r"(?s)column 'I1': every value is missing.*--ignore I1"):
        prepare(frame, tmp_path / "out", label="label")
    schema = prepare(FRAME, tmp_path / "good", label="label").schema
    with pytest.raises(DataError, match="column 'I1': every value is missing"):
        prepare(frame, tmp_path / "out", schema=schema)
    assert prepare(frame, tmp_path / "out", label="label", ignore=["I1"]).n_dense == 1


def test_missing_only_in_test_is_ordinary(tmp_path):
    test = LOG.generate(50, stream=1).with_columns(C1=pl.lit(None, pl.String), I1=None)
    data = prepare(FRAME, tmp_path / "out", label="label", test=test)
    assert len(set(data.test.sparse[:, 0])) == 1
    assert not data.test.dense[:, 0].any()


def test_too_few_clicks_for_three_parts(tmp_path):
    frame = pl.DataFrame({"label": [1, 1] + [0] * 30, "c": ["a", "b"] * 16})
    with pytest.raises(DataError, match="data frame, split valid: only one class"):
        prepare(frame, tmp_path / "out", label="label")
    assert only(tmp_path) == []


def test_leaks_are_kept_as_warnings(tmp_path):
    sale = (FRAME["label"].to_numpy() * (np.arange(600) % 3 == 0)).astype(int)
    data = prepare(FRAME.with_columns(sale=pl.Series(sale)), tmp_path / "out", label="label")
    assert len(data.warnings) == 1
    assert "'sale' may leak" in data.warnings[0]


@pytest.mark.parametrize(
    "options", [{"fractions": (0.8, 0.3, 0.1)}, {"seed": -1}, {"min_count": 0}]
)
def test_bad_settings(path, tmp_path, options):
    with pytest.raises(ConfigError):
        prepare(path, tmp_path / "out", label="label", **options)
    assert only(tmp_path) == ["log.csv"]


def test_the_same_preparation_is_reused(path, tmp_path):
    first = prepare(path, tmp_path / "out", label="label")
    before = (tmp_path / "out" / "manifest.json").stat()
    again = prepare(path, tmp_path / "out", label="label")
    after = (tmp_path / "out" / "manifest.json").stat()
    assert again.fingerprint == first.fingerprint
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("what", ["empty", "file", "other", "seed", "rows", "link"])
def test_an_existing_folder_is_not_touched(path, tmp_path, what):
    out = tmp_path / "out"
    options = {"label": "label"}
    if what == "file":
        out.write_text("mine")
    elif what == "link":
        out.symlink_to(tmp_path / "nowhere")
    elif what in ("seed", "rows"):
        prepare(path, out, **options)
        if what == "seed":
            options["seed"] = 1
        else:
            path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    else:
        out.mkdir()
        if what == "other":
            (out / "thesis.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(DataError, match="the output folder exists and holds") as caught:
        prepare(path, out, **options)
    assert caught.value.where == str(out)
    assert contents(out) == before
    assert only(tmp_path) == ["log.csv", "out"]


def test_a_damaged_preparation_is_not_reused(path, tmp_path):
    prepare(path, tmp_path / "out", label="label")
    file = tmp_path / "out" / "train" / "00000.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"00000\.npy: the file is damaged"):
        prepare(path, tmp_path / "out", label="label")


MOMENTS = {
    "part": ("nasrec.data.staging", "_write_arrays", 0),
    "part done": ("nasrec.data.staging", "Part.save", 0),
    "a later part": ("nasrec.data.staging", "Part.save", 3),
    "vocabulary": ("nasrec.data.fitting", "vocabulary", 1),
    "encoder": ("nasrec.data.encode", "Encoder.save", 0),
    "shard": ("nasrec.data.store", "_write_header", 0),
    "a later shard": ("nasrec.data.store", "_write_header", 4),
    "schema": ("nasrec.data.schema", "Schema.save", 0),
    "manifest": ("nasrec.data.prepare", "write_manifest", 0),
    "rename": ("nasrec.data.prepare", "rename_whole", 0),
}
"""Where a preparation can be stopped: a function, and how many calls of it are let through."""

STOPPED = """
import os, sys
from importlib import import_module
from unittest import mock
from nasrec.data import prepare
from nasrec.data import prepare as _
import nasrec.data.staging
module, name, calls = sys.argv[3], sys.argv[4], int(sys.argv[5])
target = import_module(module)
*owner, name = name.split(".")
for part in owner:
    target = getattr(target, part)
original, left = getattr(target, name), iter(range(calls))
def stop(*args, **kwargs):
    if next(left, None) is None:
        os.kill(os.getpid(), 9)
    return original(*args, **kwargs)
setattr(target, name, stop)
smaller = import_module("nasrec.data.prepare"), import_module("nasrec.data.store")
smaller[0].CHUNK_BYTES = (4000, 4000)
smaller[1].SHARD_BYTES = 1 << 11
prepare(sys.argv[1], sys.argv[2], label="label", threads=2)
"""


@pytest.fixture
def in_pieces(monkeypatch):
    """Parts and shards so small that there are many."""
    monkeypatch.setattr(import_module("nasrec.data.prepare"), "CHUNK_BYTES", (4000, 4000))
    monkeypatch.setattr(import_module("nasrec.data.store"), "SHARD_BYTES", 1 << 11)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again(path, tmp_path, in_pieces, monkeypatch, moment):
    """Nothing opens, what is finished is not done again, and the bytes are the same."""
    whole = prepare(path, tmp_path / "whole", label="label")
    assert len(whole.manifest["splits"]["train"]["shards"]) > 3
    out = tmp_path / "out"
    where, name, calls = MOMENTS[moment]
    arguments = [sys.executable, "-c", STOPPED, str(path), str(out), where, name, str(calls)]
    run = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert run.returncode == -9, run.stderr
    assert not out.exists()
    work = tmp_path / ".out.preparing"
    if moment in ("vocabulary", "encoder"):
        (work / "result").mkdir(exist_ok=True)
        (work / "result" / ".encoder.parquet.77.tmp").write_text("half")
    for folder in [work] if moment == "rename" else [work, work / "result"]:
        with pytest.raises(DataError, match="not a prepared folder"):
            PreparedData.open(folder)
    finished = {f: f.stat().st_mtime_ns for f in work.rglob("*.json") if f.parent.name == "data"}
    finished |= {f: f.stat().st_mtime_ns for f in work.rglob("*.npy")}
    seen = {}
    module = import_module("nasrec.data.prepare")
    finish = module._finish

    def look(*args):
        seen.update({file: file.stat().st_mtime_ns for file in finished})
        finish(*args)

    monkeypatch.setattr(module, "_finish", look)
    prepare(path, out, label="label")
    assert contents(out) == contents(tmp_path / "whole")
    assert seen == finished
    if moment not in ("part", "part done"):
        assert finished
    assert only(tmp_path) == ["log.csv", "out", "whole"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_stopped_in_the_middle(path, tmp_path, in_pieces, monkeypatch, moment, fault):
    """A full disk is told plainly; nothing looks whole; the next run ends it."""
    where, name, calls = MOMENTS[moment]
    target = import_module(where)
    *owner, name = name.split(".")
    for part in owner:
        target = getattr(target, part)
    original, left = getattr(target, name), iter(range(calls))

    def stop(*args, **kwargs):
        if next(left, None) is None:
            raise fault
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, stop)
    expected = DataError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        prepare(path, tmp_path / "out", label="label")
    if expected is DataError:
        assert "the disk is full: No space left on device" in str(caught.value)
        assert "goes on from" in caught.value.mend
    assert only(tmp_path) == [".out.preparing", "log.csv"]
    monkeypatch.setattr(target, name, original)
    assert len(prepare(path, tmp_path / "out", label="label").train) == 480
    assert only(tmp_path) == ["log.csv", "out"]


def test_the_bytes_do_not_depend_on_chunks_and_threads(path, tmp_path, monkeypatch):
    module = import_module("nasrec.data.prepare")
    prepare(path, tmp_path / "whole", label="label", threads=1)
    for i, (size, threads) in enumerate([(1500, 1), (1500, 3), (9000, 2)]):
        monkeypatch.setattr(module, "CHUNK_BYTES", (size, size))
        prepare(path, tmp_path / str(i), label="label", threads=threads)
        assert contents(tmp_path / str(i)) == contents(tmp_path / "whole")


def test_two_at_once_are_told_apart(path, tmp_path):
    out = tmp_path / "out"
    with (
        working(out, "another recipe"),
        pytest.raises(DataError, match="another run is preparing into this folder") as caught,
    ):
        prepare(path, out, label="label")
    assert caught.value.where == str(out)
    assert len(prepare(path, out, label="label").train) == 480


def test_leftovers_of_another_preparation_are_not_used(path, tmp_path, in_pieces):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), working(out, "another recipe") as work:
        (work / "data").mkdir()
        (work / "data" / "000000.json").write_text("{}")
        raise KeyboardInterrupt
    prepare(path, out, label="label")
    prepare(path, tmp_path / "whole", label="label")
    assert contents(out) == contents(tmp_path / "whole")


def test_too_little_disk(path, tmp_path, monkeypatch):
    usage = import_module("shutil")._ntuple_diskusage(10**9, 10**9 - 5000, 5000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"needs about .* of disk, and 5.0 kB are free"):
        prepare(path, tmp_path / "out", label="label")
    assert only(tmp_path) == ["log.csv"]


def test_a_folder_that_cannot_be_made(path, tmp_path):
    with pytest.raises(DataError, match="cannot write the prepared data"):
        prepare(path, path / "out", label="label")
    prepare(path, tmp_path / "new" / "deep" / "out", label="label")


def test_two_at_once_do_not_overwrite(path, tmp_path, monkeypatch):
    out = tmp_path / "out"
    original = Encoder.save

    def meanwhile(self, file):
        original(self, file)
        if not out.exists():
            out.mkdir()
            (out / "x").write_text("mine")

    monkeypatch.setattr(Encoder, "save", meanwhile)
    with pytest.raises(DataError, match="was not there at the start"):
        prepare(path, out, label="label")
    assert contents(out) == {"x": b"mine"}
    assert only(tmp_path) == ["log.csv", "out"]


def log_of(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["label,x,c,tags,w,day", *rows]) + "\n")
    return path


SCHEMA = Schema(
    columns=(
        Column(name="label", role="label"),
        Column(name="x", role="dense"),
        Column(name="c", role="categorical", hash_size=7),
        Column(name="tags", role="categorical", min_count=1, separator="|", max_values=3),
        Column(name="w", role="weight"),
        Column(name="day", role="ignore"),
    )
)
DAYS = "column:day:tue:wed"
ROWS = [
    "1,1,a,t1|t2,1,mon",
    "0,3,,t1,2,mon",
    "1,5,b,,3.5,tue",
    "0,5,b,t2|t9|t1|t1,0,tue",
    "0,3,a,t1|t2|t2|t1,1,wed",
    "1,,c,|t2|,1,wed",
]


def test_groups_are_kept_for_every_split(tmp_path):
    columns = [c for c in SCHEMA.columns if c.name not in ("day", "tags")]
    schema = Schema(columns=(*columns, Column(name="day", role="group")))
    rows = [*ROWS, "1,2,a,,1,", "0,2,a,,1,"]
    log = log_of(tmp_path / "log.csv", rows)
    data = prepare(log, tmp_path / "out", schema=schema, split=DAYS)
    data.check()
    days = hash_texts(pl.Series(["mon", "tue", "wed", None], dtype=pl.String))
    assert data.train.groups.tolist() == [*[days[0]] * 2, *[days[3]] * 2]
    assert data.valid.groups.tolist() == [days[1]] * 2
    assert data.test.groups.tolist() == [days[2]] * 2
    assert days[3] == MISSING


def test_a_split_by_group_keeps_groups_together(tmp_path):
    rows = [f"{i % 3 % 2},{i % 5},a,g{i % 20}" for i in range(400)]
    (tmp_path / "log.csv").write_text("\n".join(["label,x,c,g", *rows]) + "\n")
    schema = Schema(columns=(*SCHEMA.columns[:3], Column(name="g", role="group")))
    data = prepare(tmp_path / "log.csv", tmp_path / "out", schema=schema, split="group")
    parts = [set(split.groups.tolist()) for split in (data.train, data.valid, data.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 20


def test_groups_do_not_hide_repeated_rows(tmp_path):
    rows = [f"{i % 2},{i % 5},a,g{i}" for i in range(60)]
    for name, role in (("without", "ignore"), ("with", "group")):
        (tmp_path / name).write_text("\n".join(["label,x,c,g", *rows]) + "\n")
        schema = Schema(columns=(*SCHEMA.columns[:3], Column(name="g", role=role)), format="csv")
        data = prepare(tmp_path / name, tmp_path / f"{name}-out", schema=schema)
        assert any("same" in text or "repeat" in text for text in data.warnings), data.warnings


def test_weights_and_several_values(tmp_path):
    data = prepare(log_of(tmp_path / "log.csv", ROWS), tmp_path / "out", schema=SCHEMA, split=DAYS)
    assert data.slots == (1, 3)
    assert data.vocabulary_sizes == (7, 3)
    train, valid, test = (split.rows(0, 9) for split in (data.train, data.valid, data.test))
    assert train.weights.tolist() == [1, 2]
    assert valid.weights.tolist() == [3.5, 0]
    assert train.dense[:, 0].tolist() == [-1, 1]
    assert test.dense[:, 0].tolist() == [1, 0]
    assert train.sparse[:, 1:].tolist() == [[1, 2, -1], [1, -1, -1]]
    assert valid.sparse[:, 1:].tolist() == [[0, -1, -1], [2, 0, 1]], "a missing list is one value"
    assert test.sparse[:, 1:].tolist() == [[1, 2, 2], [2, -1, -1]]
    assert train.sparse[1, 0] == 0, "a missing hashed value"
    new = pl.read_csv(tmp_path / "log.csv", infer_schema=False)
    dense, sparse = data.encoder.encode(new)
    every = [split.rows(0, 9) for split in (data.train, data.valid, data.test)]
    assert np.array_equal(sparse, np.concatenate([batch.sparse for batch in every]))
    assert np.array_equal(dense, np.concatenate([batch.dense for batch in every]))
    lists = new.with_columns(pl.col("tags").str.split("|"))
    assert np.array_equal(data.encoder.encode(lists)[1], sparse)
    data.check()


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
    assert first[0] == f"{log}, line 3: column 'x': 'oops' is not right for a dense"
    assert any("10 bad rows" in line for line in told)
    assert any("line 5" in line for line in told)
    file = tmp_path / "out" / "quarantine.csv"
    assert file.is_file() == (bad_rows == "quarantine")
    if file.is_file():
        kept = pl.read_csv(file)
        assert kept["line"].to_list() == [3, 5, 7, 9, 11, 13, 15, 17, 19, 21]
        assert kept["text"][3] == "1,1,a"


@pytest.mark.parametrize("row", BAD)
def test_bad_rows_are_an_error_with_their_line(tmp_path, row, in_pieces):
    log = log_of(tmp_path / "log.csv", [*ROWS, row, *ROWS])
    with pytest.raises(DataError, match="line 8") as caught:
        prepare(log, tmp_path / "out", schema=SCHEMA, split=DAYS)
    assert str(log) in caught.value.where
    assert only(tmp_path) == ["log.csv"]


def test_a_log_that_changes_meanwhile(path, tmp_path, monkeypatch):
    module = import_module("nasrec.data.prepare")
    original = module.fit

    def meanwhile(*args):
        path.write_text(path.read_text() + path.read_text().splitlines()[-1])
        return original(*args)

    monkeypatch.setattr(module, "fit", meanwhile)
    with pytest.raises(DataError, match="the log was changed while it was read"):
        prepare(path, tmp_path / "out", label="label")
    assert only(tmp_path) == ["log.csv"]


def test_vocabularies_do_not_depend_on_ranges(path, tmp_path, in_pieces, monkeypatch):
    prepare(path, tmp_path / "whole", label="label")
    monkeypatch.setattr(import_module("nasrec.data.fitting"), "RANGE", 2)
    prepare(path, tmp_path / "ranges", label="label")
    assert contents(tmp_path / "ranges") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_caps_and_a_value_of_a_megabyte(tmp_path):
    values = ["x" * (1 << 20)] * 6 + ["b"] * 9 + ["a"] * 9 + ["c"] * 12
    frame = pl.DataFrame({"label": [0, 1, 0, 1, 0, 1] * 6, "c": values})
    column = Column(name="c", role="categorical", cap=2)
    schema = Schema(columns=(Column(name="label", role="label"), column))
    data = prepare(frame, tmp_path / "out", schema=schema)
    assert data.vocabulary_sizes == (3,)
    longer = Schema(columns=(schema.columns[0], column.model_copy(update={"cap": None})))
    other = prepare(frame, tmp_path / "longer", schema=longer)
    assert max(map(len, other.encoder.categorical[0].values)) == 1 << 20
