"""The pages say what their figures say."""

from __future__ import annotations

from benchmarks import published


def test_the_page_of_published_figures_says_what_misses_them():
    run = {"auc": 0.9845, "logloss": 0.15, "seconds": 9.0, "slope": 0.7, "calibrated": 0.14}
    text = published.page({"deepfm": [run, run], "dlrm": [run]})
    assert "| DeepFM | 2 | 0.9845 ± 0.0000 | 0.9839 (5) | +0.0006 | 0.1500 ± 0.0000 |" in text
    assert "All of these are within that." in text
    assert "Not trained yet: DCN-V2, xDeepFM, AutoInt+, MLP." in text
    assert "- DLRM: pairwise products" in text
    text = published.page({"deepfm": [run | {"auc": 0.982}], "dlrm": [run | {"logloss": 0.16}]})
    assert "**Missed by DeepFM, DLRM.**" in text
