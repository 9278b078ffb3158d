"""The results page says what its figures say."""

from __future__ import annotations

from benchmarks import published
from benchmarks.real_data import page


def row(loss: float, trainings: int = 2) -> dict:
    figures = {"valid_logloss": loss, "test_logloss": loss, "test_auc": 0.8}
    figures |= {"weights": 1000, "madds": 2000}
    return {**figures, "trainings": trainings, "seconds": 3.0}


def figures(small: list[float], dlrm: list[float]) -> dict:
    models = {"full": [row(0.30), row(0.31)], "small": list(map(row, small))}
    models["dlrm"] = list(map(row, dlrm))
    stages = {space: [{"supernet": 1.0}, {"supernet": 3.0}] for space in ("full", "small")}
    logs = {"a log": {"seeds": 2, "models": models, "stages": stages}}
    return {"logs": logs, "machine": "x86_64, 2 cores"}


def test_the_verdict_compares_the_best_of_both_kinds_paired_by_seed():
    ahead = page(figures([0.28, 0.30], [0.29, 0.32]))
    assert (
        "NASRecNet (Small), the best space on validation, leads: "
        "its test log loss differs by -0.0150 ± 0.0071"
    ) in ahead
    behind = page(figures([0.33, 0.34], [0.29, 0.29]))
    assert "NASRecNet (Full), the best space on validation, does not lead" in behind
    assert "of the best hand-made model, DLRM." in behind


def test_models_are_ranked_by_mean_and_shown_with_spread():
    table = [line for line in page(figures([0.28, 0.30], [0.29, 0.32])).splitlines() if "|" in line]
    assert [line.split(" |")[0] for line in table[2:]] == [
        "| NASRecNet (Small)",
        "| NASRecNet (Full)",
        "| DLRM",
    ]
    assert "0.2900 ± 0.0141" in table[2]
    assert "supernet 2" in page(figures([0.28], [0.29]) | figures([0.28, 0.3], [0.29, 0.3]))


def test_the_page_of_published_figures_says_what_misses_them():
    run = {"auc": 0.9845, "logloss": 0.15, "seconds": 9.0, "slope": 0.7, "calibrated": 0.14}
    text = published.page({"deepfm": [run, run], "dlrm": [run]})
    assert "| DeepFM | 2 | 0.9845 ± 0.0000 | 0.9839 (5) | +0.0006 | 0.1500 ± 0.0000 |" in text
    assert "All of these are within that." in text
    assert "Not trained yet: DCN-V2, xDeepFM, AutoInt+, MLP." in text
    assert "- DLRM: pairwise products" in text
    text = published.page({"deepfm": [run | {"auc": 0.982}], "dlrm": [run | {"logloss": 0.16}]})
    assert "**Missed by DeepFM, DLRM.**" in text
