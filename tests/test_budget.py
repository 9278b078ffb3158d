"""Sizes of a search that fit into so many minutes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nasrec.config import (
    SearchConfig,
    config_from_options,
)
from nasrec.data import SyntheticLog, prepare
from nasrec.errors import ConfigError, DivergenceError
from nasrec.nn import (
    ModelOptions,
    NASRecNet,
)
from nasrec.pipeline.budget import PASSES, Measured, Pass, SupernetSpeed, measure, sized
from nasrec.pipeline.data import inputs_of
from nasrec.search import SCORE_RECIPES, ScoreConfig
from nasrec.space import NASREC_SMALL
from nasrec.train import TrainConfig, fit


def test_a_budget_and_sizes_together_are_refused():
    with pytest.raises(ConfigError, match="--budget chooses --evaluations"):
        config_from_options(None, 5, evaluations=10)


#: Of a log of 100,000 rows on a laptop: a pass of the narrowest network takes a second.
SPEEDS = Measured(
    narrowest=Pass(2_000, 1.0),
    sampled=Pass(500_000, 20.0),
    baseline_seconds=2.0,
    supernet=SupernetSpeed(rows=2000, candidate_seconds=0.5),
)


def test_equal_speeds_and_more_time_never_make_a_search_smaller():
    before = None
    for minutes in (1, 5, 20, 60, 300, 3000, 9000):
        now = sized(SearchConfig(score_by="supernet"), SPEEDS, 100_000, 60.0 * minutes)
        rows = now.search_rows or 100_000 * now.supernet.epochs
        size = (rows, now.planned_evaluations, now.top_k)
        assert before is None or all(a >= b for a, b in zip(size, before, strict=True))
        before = size
    assert before == (800_000, 2048, 11)


@pytest.mark.parametrize("score_by", ["supernet", "training"])
@pytest.mark.parametrize("minutes", [12, 30, 120])
def test_the_sizes_fit_the_budget(minutes, score_by):
    c = sized(SearchConfig(score_by=score_by), SPEEDS, 100_000, 60.0 * minutes)
    assert c.scored_by == score_by
    one = PASSES * SPEEDS.pass_seconds(min(c.max_madds, SPEEDS.sampled.madds))
    seconds = c.trainings * (one + len(c.baselines) * PASSES * SPEEDS.baseline_seconds)
    if score_by == "training":
        seconds += (c.planned_evaluations + c.second_looks + c.probings) * one
    else:
        seconds += (c.search_rows or 100_000 * c.supernet.epochs) / SPEEDS.supernet.rows
        seconds += c.planned_evaluations * SPEEDS.supernet.candidate_seconds
    assert seconds <= 60 * minutes


def test_with_little_time_a_score_has_fewer_steps():
    speed = SupernetSpeed(rows=2000, candidate_seconds=2.1, score_step_seconds=0.02)
    m = replace(SPEEDS, supernet=speed)
    for minutes, steps in ((1, 20), (10, 55), (60, 100)):
        c = sized(SearchConfig(score_by="supernet"), m, 100_000, 60.0 * minutes)
        assert c.scoring == SCORE_RECIPES["whole"].model_copy(update={"finetune_steps": steps})
        seconds = (c.search_rows or 100_000 * c.supernet.epochs) / speed.rows
        seconds += c.planned_evaluations * (0.1 + 0.02 * steps)
        assert minutes == 1 or seconds <= 60 * minutes
        assert c.planned_evaluations >= (100 if steps > 20 else 16)
    head = SearchConfig(score_by="supernet", scoring="paper")
    assert sized(head, SPEEDS, 100_000, 60.0).scoring == ScoreConfig()


def test_without_a_supernet_its_time_is_for_scores():
    speed = SupernetSpeed(rows=math.inf, candidate_seconds=2.1, score_step_seconds=0.02)
    config = SearchConfig(scoring="scratch")
    c = sized(config, replace(SPEEDS, supernet=speed), 100_000, 300.0)
    assert c.scored_by == "steps"
    assert (c.supernet, c.search_rows) == (config.supernet, None)
    assert c.scoring == config.scoring  # a few steps from scratch would teach nothing
    assert 80 < c.planned_evaluations * speed.candidate_seconds <= 0.56 * 300


def test_candidates_are_trained_where_that_is_affordable():
    chosen = [
        sized(SearchConfig(), SPEEDS, 100_000, 60.0 * minutes, jobs)
        for minutes, jobs in ((1, 1), (5, 1), (50, 1), (50, 2), (120, 1), (9000, 1))
    ]
    assert [c.scored_by for c in chosen] == ["supernet"] * 2 + ["training"] * 4
    assert [c.planned_evaluations for c in chosen[2:]] == [18, 52, 66, 400]
    most = [c.max_madds for c in chosen[2:]]
    # A candidate may cost four trainings of the narrowest network, which takes a second a pass;
    # with time for more candidates than are any use, it may cost more.
    assert [SPEEDS.pass_seconds(madds) for madds in most[:3]] == pytest.approx([4] * 3, rel=0.05)
    assert most[3] > 10 * most[2]
    given = sized(SearchConfig(max_madds=12_345), SPEEDS, 100_000, 7200.0)
    assert given.max_madds == 12_345


def test_with_time_for_few_passes_the_rate_falls_by_a_plan():
    m = replace(SPEEDS, narrowest=Pass(1000, 20), sampled=Pass(500_000, 200), baseline_seconds=30)
    for minutes, passes in ((1, 1), (5, 1), (12, 2), (20, 4)):
        c = sized(SearchConfig(), m, 10_000_000, 60.0 * minutes)
        plain = c.retrain.schedule == "plateau"
        assert plain == (passes >= 4)
        assert c.retrain.epochs == (20 if plain else passes)
        assert c.scored_by == "supernet"
    own = TrainConfig(epochs=3)
    assert sized(SearchConfig(retrain=own), m, 10_000_000, 60.0).retrain == own


def test_networks_that_diverge_at_once_are_measured_too(tmp_path):
    data = prepare(SyntheticLog(2, 3).generate(300), tmp_path / "data", label="label")
    space = NASREC_SMALL.with_(dense_ops=("DP",), dense_dims=(16,), sparse_dims=(16,), blocks=4)
    options = ModelOptions(layer_norm=False, embedding_std=1e9)
    measured = measure(SearchConfig(space=space, model=options, baselines=()), data)
    assert 0 < measured.narrowest.seconds < math.inf
    network = NASRecNet(space.sample(np.random.default_rng(0)), inputs_of(data), options)
    with pytest.raises(DivergenceError):
        fit(network, data.train, None)
