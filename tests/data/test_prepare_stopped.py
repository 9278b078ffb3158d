"""Preparing that is stopped, disturbed or short of disk: nothing looks whole, and it goes on."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from nasrec.data import Encoder, PreparedData, prepare
from nasrec.data.work import working
from nasrec.errors import DataError
from tests.data.logs import contents, only

MOMENTS = {
    "part": ("nasrec.data.staging", "write_arrays", 0),
    "part done": ("nasrec.data.staging", "Part.save", 0),
    "a later part": ("nasrec.data.staging", "Part.save", 3),
    "vocabulary": ("nasrec.data.fitting", "vocabulary", 1),
    "encoder": ("nasrec.data.encode", "Encoder.save", 0),
    "shard": ("nasrec.data.store", "_write_header", 0),
    "a later shard": ("nasrec.data.store", "_write_header", 4),
    "schema": ("nasrec.data.schema", "Schema.save", 0),
    "manifest": ("nasrec.data.store", "write_manifest", 0),
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


#: One moment of each pass; the others wait for the slow tests.
FAST = {"a later part", "vocabulary", "a later shard"}


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=[pytest.mark.slow] * (m not in FAST)) for m in MOMENTS]
)
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
    finish = module.finish

    def look(*args):
        seen.update({file: file.stat().st_mtime_ns for file in finished})
        finish(*args)

    monkeypatch.setattr(module, "finish", look)
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


def test_a_log_that_changes_meanwhile(path, tmp_path, monkeypatch):
    module = import_module("nasrec.data.passes")
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
    monkeypatch.setattr(import_module("nasrec.data.counting"), "RANGE", 2)
    prepare(path, tmp_path / "ranges", label="label")
    assert contents(tmp_path / "ranges") == contents(tmp_path / "whole")
