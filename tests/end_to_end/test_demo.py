"""The demonstration, with sizes for a test; its real ones are for `make demo`."""

from __future__ import annotations

import json

import pytest

from nasrec import demo
from nasrec.config import SearchConfig
from nasrec.pipeline import Reporter
from tests.end_to_end.tiny import SETTINGS


def test_the_table_knows_the_truth_and_a_second_call_only_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "ROWS", {"train": 1000, "valid": 300, "test": 300})
    settings = {**SETTINGS, "baselines": ["mlp", "logreg"], "match_size": True}
    monkeypatch.setattr(demo, "CONFIG", SearchConfig(**settings))
    result, text = demo.run_demo(tmp_path / "run", Reporter(quiet=True))
    names = [row["name"] for row in result["demo"]]
    assert names == ["Bayes-optimal", "NASRecNet", "MLP", "logistic regression", "base rate"]
    gaps = {row["name"]: row["gap_closed"] for row in result["demo"]}
    assert (gaps["Bayes-optimal"], gaps["base rate"]) == (1.0, 0.0)
    assert max(gaps.values()) == 1.0
    assert str(tmp_path / "run/model") in text
    trials = json.loads((tmp_path / "run/leaderboard.json").read_text())["trials"]
    best, mlp = (
        min(
            (t for t in trials if t["family"] == family and not t["trial"].endswith("-blend")),
            key=lambda t: t["valid_logloss"],
        )
        for family in ("nasrec", "mlp")
    )
    assert mlp["weights"] == pytest.approx(best["weights"], rel=0.2)
    json.dumps(result, allow_nan=False)
    again, _ = demo.run_demo(tmp_path / "run", Reporter(quiet=True))
    assert again == result


def test_the_demo_searches_with_every_kind_of_dense_operator():
    space = demo.CONFIG.space
    assert set(space.dense_ops) == {"FC", "SG", "Sum", "DP"}
    assert demo.CONFIG.match_size
