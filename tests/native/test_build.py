"""Kernels are compiled once; without a compiler, or with a broken one, torch does the work."""

from __future__ import annotations

import shutil
import stat
import warnings

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


def test_what_is_compiled_is_kept(load, monkeypatch, tmp_path):
    real = build.library()
    if real is None:
        pytest.skip("no C compiler, or NASREC_NATIVE is off")
    monkeypatch.setattr(build, "_compile", lambda compiler, sources, target: False)
    folder = tmp_path / "nasrec"
    folder.mkdir()
    assert load() is None  # no folder could be written to
    shutil.copy(real._name, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load() is not None
