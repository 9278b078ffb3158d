"""The form that every figure of speed has."""

from __future__ import annotations

import json
import subprocess

import pytest
from benchmarks import page as figures
from benchmarks.harness import Limits, at_least, at_most, page_parser, result, show, tell
from benchmarks.page import page


def test_a_figure_is_the_median_beside_the_machines_limits(capsys):
    limits = Limits()
    assert limits() > 0
    figure = result("f", [3.0, 1.0, 2.0], "ratio", 2.5, at_most(2.5), limits, rows=7)
    show([figure], as_json=True)
    read = json.loads(capsys.readouterr().out)
    assert read["value"] == 2.0
    assert read["holds"] is True
    assert read["repeats"] == [3.0, 1.0, 2.0]
    assert set(read["limits"]) >= {"gemm_1024", "copy"}
    assert min(read["limits"].values()) > 0
    assert read["machine"]["cores"]
    assert result("g", [2.0], "ratio", 2.5, at_least(2.5))["holds"] is False
    assert result("h", [2.0], "rows/s")["holds"] is None


def test_the_page_says_what_misses_its_target():
    told = page([result("f", [3.0, 1.0], "ratio", 1.5, at_most(1.5)), result("g", [2.0], "s")])
    assert "| `f` | 2 ratio | 1 to 3 (2) | 1.5 | **no** |" in told
    assert "| `g` | 2 s | one repeat |  |  |" in told


def test_a_page_is_written_whole_or_between_its_marks(tmp_path, capsys):
    options = page_parser("b", "About.", "runs").parse_args(["--page", str(tmp_path / "p.md")])
    assert str(options.out) == "runs"
    assert options.data
    tell("all\n", options.page)
    assert options.page.read_text() == "all\n"
    options.page.write_text("head\n<!-- x -->\nold\n<!-- end of x -->\ntail\n")
    tell("new\n", options.page, "x")
    whole = "head\n<!-- x -->\n\nnew\n\n<!-- end of x -->\ntail\n"
    assert options.page.read_text() == whole
    tell("newer", None)
    assert options.page.read_text() == whole
    assert capsys.readouterr().out == "all\n\nnew\n\nnewer\n"


def test_a_benchmark_that_fails_loses_no_other(tmp_path, monkeypatch, capsys):
    line = json.dumps(result("g", [2.0], "s")) + "\n"

    def measured(name):
        if name == "bad":
            raise subprocess.CalledProcessError(3, name)
        return line

    monkeypatch.setattr(figures, "measured", measured)
    with pytest.raises(SystemExit, match="not on the page: bad"):
        figures.main(["bad", "good"], ["--page", str(tmp_path / "p.md")])
    assert "| `g` | 2 s |" in (tmp_path / "p.md").read_text()
    assert "bad: failed, exit code 3" in capsys.readouterr().err
