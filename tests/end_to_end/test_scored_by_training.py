"""A search whose candidates are scored by trainings of their own."""

from __future__ import annotations

import json

import numpy as np
import torch

import nasrec
from nasrec.config import SearchConfig
from nasrec.data import prepare
from nasrec.pipeline import Reporter, findings
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.scratch import ScratchScorer
from nasrec.pipeline.workers import Workers
from tests.end_to_end.tiny import LOG, SETTINGS

QUIET = Reporter(quiet=True)
CONFIG = SearchConfig(**{**SETTINGS, "score_by": "training", "baselines": ("logreg",)})


def test_it_ranks_as_the_retraining_does_and_needs_no_supernet(tmp_path):
    run = nasrec.search(
        LOG.generate(1500), "label", tmp_path / "run", config=CONFIG, reporter=QUIET
    )
    assert not (run.path / "supernet").exists()
    found = findings.findings(RunFolder(run.path))
    assert found["finished"]
    assert found["missing"] == []
    ranked = json.loads((run.path / "search/ranking.json").read_text())["candidates"]
    losses = [candidate["logloss"] for candidate in ranked]
    assert losses == sorted(losses)
    # The same data, settings and seed: the best candidate's training by the first recipe again.
    again = json.loads((run.path / "retrain/nasrec-1-plain/result.json").read_text())["valid"]
    assert again["logloss"] == losses[0]
    assert "supernet" not in (run.path / "summary.txt").read_text().lower()
    report = run.report.read_text()
    assert "a training of each candidate for itself" in report
    assert "shared weights" not in report
    assert "a linear part reads all columns" in report


def test_scores_do_not_depend_on_what_is_trained_beside(tmp_path):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    rng = np.random.default_rng(0)
    architectures = [CONFIG.space.sample(rng) for _ in range(3)]
    before = torch.get_num_threads()
    alone = [ScratchScorer(data.path, CONFIG, Workers(1))(a) for a in architectures]
    with Workers(2) as workers:
        scorer = ScratchScorer(data.path, CONFIG, workers)
        beside = scorer.score_many(architectures[:2]) + scorer.score_many(architectures[2:])
    assert repr(beside) == repr(alone)  # NaN where there are no groups
    assert len({score.logloss for score in alone}) == 3
    assert torch.get_num_threads() == before


def test_a_training_that_diverges_is_the_worst(tmp_path):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    wild = CONFIG.replaced(
        retrain=CONFIG.retrain.model_copy(update={"learning_rate": 1e30, "clip_norm": None})
    )
    architecture = CONFIG.space.sample(np.random.default_rng(0))
    score = ScratchScorer(data.path, wild, Workers(1))(architecture)
    assert score.logloss == np.inf
