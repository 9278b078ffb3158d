"""Kernels are compiled once; without a compiler, or with a broken one, torch does the work."""

from __future__ import annotations

import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nasrec.native import build


@pytest.fixture
def load(monkeypatch, tmp_path):
    """`library` as a new process would call it, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NASREC_NATIVE", raising=False)
    return build.library.__wrapped__


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_no_compiler_and_off_are_said_by_none(load, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert load() is None
    monkeypatch.delenv("CC")
    monkeypatch.setenv("NASREC_NATIVE", "off")
    assert load() is None


def test_a_compiler_that_fails_is_told_and_leaves_nothing(load, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", script(tmp_path / "broken", "echo no such header >&2; exit 1"))
    with pytest.warns(RuntimeWarning, match="no such header"):
        assert load() is None
    assert not list((tmp_path / "nasrec").iterdir())


REAL = build.library()  # with the usual cache, before any test names another


def kept(tmp_path) -> bool:
    """Put what this process has loaded into the new cache; False where nothing is compiled."""
    (tmp_path / "nasrec").mkdir(mode=0o700)
    return REAL is not None and bool(shutil.copy(REAL._name, tmp_path / "nasrec"))


def test_what_is_compiled_is_kept(load, monkeypatch, tmp_path):
    if not kept(tmp_path):
        pytest.skip("no C compiler, or NASREC_NATIVE is off")
    monkeypatch.setattr(build.subprocess, "run", None)  # nothing is compiled again
    assert load()._name.startswith(str(tmp_path))


def test_two_threads_compile_once(load, monkeypatch, tmp_path):
    if REAL is None:
        pytest.skip("no C compiler, or NASREC_NATIVE is off")
    compiled = []

    def compile_slowly(compiler, sources, target):
        time.sleep(0.05)
        compiled.append(shutil.copy(REAL._name, target))

    monkeypatch.setattr(build, "_compile", compile_slowly)
    with ThreadPoolExecutor(2) as pool:
        assert None not in [future.result() for future in [pool.submit(load) for _ in range(2)]]
    assert len(compiled) == 1


def test_what_others_can_write_is_not_run(load, monkeypatch, tmp_path):
    if not kept(tmp_path):
        pytest.skip("no C compiler, or NASREC_NATIVE is off")
    (tmp_path / "nasrec").chmod(0o777)
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path / "nowhere" / "x"))
    (tmp_path / "nowhere").write_text("no folder")
    with pytest.warns(RuntimeWarning, match="no folder to keep them in"):
        assert load() is None
