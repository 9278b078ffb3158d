"""The pages whose code a reader runs: the tutorial, and the page for researchers."""

from __future__ import annotations

import re
from contextlib import chdir
from pathlib import Path

import pytest

from nasrec.nn import BASELINES
from nasrec.nn.operators import OPERATORS
from nasrec.space import operators as declared
from tests.tutorial import PAGE, found, steps, take

DOCS = Path(__file__).parents[1] / "docs"
CODE = re.compile(r"^```(?:python|\{code-block\} yaml\n:caption: (\S+))\n(.*?)^```", re.M | re.S)


@pytest.mark.slow
def test_the_tutorial_runs_and_prints_what_it_quotes(tmp_path):
    take(PAGE.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.slow
def test_the_code_for_researchers_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(declared, "_REGISTRY", dict(declared._REGISTRY))
    before = [(known, dict(known)) for known in (OPERATORS, BASELINES)]
    names: dict[str, object] = {"__name__": "researchers"}
    page = (DOCS / "researchers.md").read_text(encoding="utf-8")
    try:
        with chdir(tmp_path):
            for caption, code in CODE.findall(page):
                if caption:
                    Path(caption).write_text(code, encoding="utf-8")
                else:
                    exec(compile(code, "researchers.md", "exec"), names)
    finally:
        for known, were in before:
            known.clear()
            known.update(were)


def test_quoted_lines_must_come_in_order_and_may_differ_in_numbers():
    printed = ["rows   12", "loss  0.5", "time", "end"]
    assert found(["rows 9", "..."], printed) == ["rows   12", "..."]
    assert found(["...", "time", "end"], printed) == ["...", "time", "end"]
    table = ["name  loss", "----  ----", "a  1", "b  2", "", "end"]
    other = ["...", "----  ----", "b  0.5", "a  0.75", "", "..."]
    assert found(other, table) == ["...", *table[1:5], "..."]
    for wrong in (["loss 1"], ["rows 1"], ["...", "time", "loss 1", "..."], ["...", "cost 1"]):
        with pytest.raises(AssertionError):
            found(wrong, printed)


def test_commands_files_and_quotes_are_told_apart():
    page = (
        "```{code-block} yaml\n:caption: a.yaml\nx: 1\n```\n"
        "```console\n$ one \\\n> two\nout\n$ three\n```\n"
    )
    assert list(steps(page)) == [
        ("a.yaml", "x: 1\n", []),
        (None, "one two", ["out"]),
        (None, "three", []),
    ]
