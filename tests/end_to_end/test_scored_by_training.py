"""A search whose candidates are scored by trainings of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import nasrec
from nasrec.config import SearchConfig
from nasrec.data import prepare
from nasrec.errors import ConfigError
from nasrec.nn import Inputs, SharedWeights
from nasrec.pipeline import Reporter, candidates, findings, scorers
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.scorers import from_copies, from_scratch, second_looks, trained_score
from nasrec.pipeline.workers import Workers
from nasrec.search import Journal, Scorer
from nasrec.search.candidate import Candidate, Score
from nasrec.search.journal import read_records
from nasrec.space import Architecture
from nasrec.train import CRITERIA
from nasrec.train.recipes import RECIPES
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
    ranking = json.loads((run.path / "search/ranking.json").read_text())
    ranked = ranking["candidates"]
    losses = [candidate["logloss"] for candidate in ranked]
    assert losses == sorted(losses)
    # The recipe is the one by which one of two networks did best.
    lowest = {
        name: min(
            c["score"]["logloss"] for c in read_records(run.path / f"search/recipe-{name}.jsonl")
        )
        for name in ("plain", "dropout")
    }
    recipe = min(lowest, key=lowest.get)
    # The same data, settings and seed: the first candidate's training by that recipe again.
    again = json.loads((run.path / f"retrain/nasrec-1-{recipe}/result.json").read_text())["valid"]
    (first,) = (c for c in ranked if c["digest"] == ranking["chosen"][0])
    assert again["logloss"] == first["logloss"]
    # The best had another training each, and both together have chosen.
    second = read_records(run.path / "search/second.jsonl")
    assert [c["digest"] for c in second] == [c["digest"] for c in ranked[: CONFIG.second_looks]]
    pairs = list(zip(ranked[: len(second)], second, strict=True))
    both = {c["digest"]: c["logloss"] + s["score"]["logloss"] for c, s in pairs}
    assert first["digest"] == min(both, key=both.get)
    assert all(c["logloss"] != s["score"]["logloss"] for c, s in pairs)
    assert "supernet" not in (run.path / "summary.txt").read_text().lower()
    report = run.report.read_text()
    assert "a training of each candidate for itself" in report
    assert "shared weights" not in report
    assert "a linear part reads all columns" in report


@pytest.mark.slow
def test_a_recipe_far_behind_makes_room_for_an_architecture(tmp_path):
    recipes = [{"name": "none", "rate": 1e-6}, {"name": "plain"}]
    run = nasrec.search(
        LOG.generate(1500), "label", tmp_path / "run", reporter=QUIET,
        config=CONFIG.replaced(recipes=recipes),
    )  # fmt: skip
    ranking = json.loads((run.path / "search/ranking.json").read_text())
    assert ranking["recipes"] == ["plain"]
    assert len(ranking["chosen"]) == CONFIG.top_k + 1
    of_family = {
        family: {
            trial["trial"]
            for trial in json.loads((run.path / "leaderboard.json").read_text())["trials"]
            if trial["family"] == family and not trial["trial"].endswith("-blend")
        }
        for family in ("nasrec", "logreg")
    }
    assert of_family["nasrec"] == {f"nasrec-{i}-plain" for i in (1, 2, 3)}
    assert len(of_family["logreg"]) == 3
    assert f"the {CONFIG.top_k + 1} best of" in (run.path / "summary.txt").read_text()


@pytest.mark.slow
def test_a_few_steps_from_scratch_need_no_supernet_either(tmp_path):
    steps = {**SETTINGS["scoring"], "scope": "all", "start": "scratch"}
    config = CONFIG.replaced(score_by=None, scoring=steps)
    data = prepare(LOG.generate(1500), tmp_path / "data", label="label")
    run = nasrec.search(data, out=tmp_path / "run", config=config, reporter=QUIET)
    assert not (run.path / "supernet").exists()
    assert findings.findings(RunFolder(run.path))["finished"]
    found = read_records(run.path / "search/journal.jsonl")
    few = [Architecture.from_dict(record["architecture"]) for record in found[:2]]
    with Workers(2) as workers:
        beside = from_copies(data.path, None, config, workers).score_many(few)
    assert [s.logloss for s in beside] == [record["score"]["logloss"] for record in found[:2]]
    assert "a few steps from scratch" in run.report.read_text()


@pytest.mark.slow
def test_scores_do_not_depend_on_what_is_trained_beside(tmp_path):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    rng = np.random.default_rng(0)
    architectures = [CONFIG.space.sample(rng) for _ in range(3)]
    before = torch.get_num_threads()
    alone = [from_scratch(data.path, CONFIG, Workers(1))(a) for a in architectures]
    with Workers(2) as workers:
        scorer = from_scratch(data.path, CONFIG, workers)
        beside = scorer.score_many(architectures[:2]) + scorer.score_many(architectures[2:])
    assert repr(beside) == repr(alone)  # NaN where there are no groups
    assert len({score.logloss for score in alone}) == 3
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_copies_of_a_supernet_are_scored_side_by_side_as_by_one_scorer(tmp_path):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    config = CONFIG.replaced(score_by="supernet", scoring={"scope": "all", "finetune_steps": 4})
    shared = SharedWeights(config.space, inputs_of(data), config.supernet_options, seed=3)
    rng = np.random.default_rng(0)
    architectures = [config.space.sample(rng) for _ in range(3)]
    before = [shared.extract(a).state_dict() for a in architectures]
    shared.save(tmp_path / "weights.safetensors")
    file = (tmp_path / "weights.safetensors").read_bytes()
    alone = [Scorer(shared, data.train, data.valid, config.scoring)(a) for a in architectures]
    with Workers(2) as workers:
        beside = from_copies(data.path, tmp_path / "weights.safetensors", config, workers)
        assert repr(beside.score_many(architectures)) == repr(alone)
    assert (tmp_path / "weights.safetensors").read_bytes() == file
    for architecture, weights in zip(architectures, before, strict=True):
        after = shared.extract(architecture).state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())


def test_candidates_are_trained_on_some_of_the_rows(tmp_path, monkeypatch):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    seen = []
    monkeypatch.setattr(
        scorers, "fit", lambda net, train, valid, *more: seen.append((train, valid))
    )
    architecture = CONFIG.space.sample(np.random.default_rng(0))
    for most in (100, None):
        with pytest.raises(AttributeError):  # nothing was fitted
            trained_score(data.path, CONFIG.replaced(search_rows=most), architecture)
    (some, looked_at), (train, valid) = seen
    assert (len(some), len(looked_at)) == (100, len(data.valid))
    assert (len(train), len(valid)) == (len(data.train), len(data.valid))
    rows = {tuple(row) for row in data.train.take(np.arange(len(train))).sparse.tolist()}
    assert {tuple(row) for row in some.take(np.arange(100)).sparse.tolist()} <= rows


def test_a_training_that_diverges_is_the_worst(tmp_path):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    wild = CONFIG.replaced(
        retrain=CONFIG.retrain.model_copy(update={"learning_rate": 1e30, "clip_norm": None})
    )
    architecture = CONFIG.space.sample(np.random.default_rng(0))
    score = from_scratch(data.path, wild, Workers(1))(architecture)
    assert score.logloss == np.inf


class Told:
    """A scorer whose scores are known."""

    workers = Workers(1)

    def __init__(self, losses):
        self.losses, self.asked = list(losses), 0

    def score_many(self, architectures):
        self.asked += len(architectures)
        return [Score(self.losses.pop(0)) for _ in architectures]


def test_second_looks_order_by_both_scores_and_are_not_repeated(tmp_path):
    rng, spread = np.random.default_rng(0), (0.40, 0.41, 0.42)
    best = [Candidate(CONFIG.space.sample(rng), Score(x), i, 1.0) for i, x in enumerate(spread)]
    with Journal(tmp_path / "second.jsonl", {"seed": 1}) as journal:
        found = second_looks(Told([0.45]), journal, best[:1], CRITERIA["logloss"])
        assert found == best[:1]
    with Journal(tmp_path / "second.jsonl", {"seed": 1}) as journal:  # gone on with
        scorer = Told([0.43, 0.40])
        found = second_looks(scorer, journal, best, CRITERIA["logloss"])
    assert scorer.asked == 2
    assert found == [best[2], best[1], best[0]]
    with Journal(tmp_path / "third.jsonl", {"seed": 1}) as journal:  # luck again, or a divergence
        found = second_looks(Told([0.40, np.inf, 0.39]), journal, best, CRITERIA["logloss"])
    assert found == [best[0], best[2], best[1]]


def test_of_few_rows_the_best_of_each_size_is_looked_at_with_more_rows(tmp_path, monkeypatch):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    rng, asked = np.random.default_rng(0), []
    scores = ((0.40, 10), (0.41, 9), (0.42, 100), (0.43, 50), (0.44, 1000), (np.inf, 10_000))
    best = [
        Candidate(CONFIG.space.sample(rng), Score(loss), i, 1.0, {"madds": madds})
        for i, (loss, madds) in enumerate(scores)
    ]

    def looked(rows, *losses):
        config = CONFIG.replaced(search_rows=rows, second_looks=3)
        scorer = Told(losses)
        monkeypatch.setattr(candidates, "from_scratch", lambda _, c, w: asked.append(c) or scorer)
        run = RunFolder(tmp_path / str(rows))
        found = candidates.looked_again(run, data, config, {"seed": 0}, best, Workers(1))
        return [best.index(candidate) for candidate in found]

    assert looked(None, 0.43, 0.40, 0.39) == [1, 2, 0, 3, 4, 5]
    assert looked(100, 0.39, 0.37, 0.38) == [4, 2, 0, 1, 3, 5]  # asked for in the order 0, 4, 2
    assert [config.search_rows for config in asked] == [None, 400]
    assert len({CONFIG.seed, *(config.seed for config in asked)}) == 2


def test_recipes_that_go_through_whole_tables_are_for_small_ones():
    few, many = Inputs(0, (62_500,)), Inputs(0, (62_501,))  # of 16: a million weights
    names = [recipe.name for recipe in SearchConfig().suited(few).recipes]
    assert names == [recipe.name for recipe in RECIPES]
    assert [r.name for r in SearchConfig().suited(many).recipes] == names[:-1]
    only = SearchConfig(recipes=RECIPES[-1:])
    with pytest.raises(ConfigError, match="too large for every recipe: 62,501 rows of 16"):
        only.suited(many)
    anyway = RECIPES[-1].model_copy(update={"most_table_weights": None})
    assert SearchConfig(recipes=(anyway,)).suited(many).recipes == (anyway,)
