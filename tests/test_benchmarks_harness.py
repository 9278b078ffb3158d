"""The form that every figure of speed has."""

from __future__ import annotations

import json

from benchmarks.harness import Limits, at_least, at_most, result, show
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
