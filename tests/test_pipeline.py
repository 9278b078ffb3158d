"""The parts of the pipeline that need no training."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from nasrec.config import (
    SCRATCH_ROWS,
    SearchConfig,
    config_from_options,
    evolution_for,
    model_options,
)
from nasrec.data import SyntheticLog, prepare
from nasrec.errors import ConfigError, RunError, SpaceError
from nasrec.nn import (
    Inputs,
    ModelOptions,
    build_baseline,
    count_dense_weights,
    live_madds,
)
from nasrec.pipeline import Reporter, RunFolder
from nasrec.pipeline.candidates import method_of, recipes_near_the_best, too_little_known
from nasrec.pipeline.costs import Costs
from nasrec.pipeline.data import DataRequest
from nasrec.pipeline.leaderboard import text_table
from nasrec.pipeline.retrain import matching_hidden, random_architectures
from nasrec.pipeline.trials import (
    TrialResult,
    carried_out,
    nasrec_variants,
    rate_factors,
    rate_variants,
    tuned,
)
from nasrec.search import SCORE_RECIPES, ScoreConfig
from nasrec.search.candidate import Candidate, Score
from nasrec.serve import ModelSpec
from nasrec.space import NASREC_SMALL
from nasrec.train import Metrics, TrainConfig
from nasrec.train.platt import UNCHANGED
from nasrec.train.recipes import STEADY, Recipe, in_passes
from tests.train.helpers import make_split

# -- settings -----------------------------------------------------------------------------------


def test_settings_survive_a_file():
    config = SearchConfig(space="small", seed=4, model=ModelOptions(embedding_dim=8))
    assert SearchConfig(**json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_a_space_may_be_a_name_a_file_or_content(tmp_path):
    (tmp_path / "s.yaml").write_text(NASREC_SMALL.to_yaml())
    for given in ("small", str(tmp_path / "s.yaml"), NASREC_SMALL, NASREC_SMALL.to_dict()):
        assert SearchConfig(space=given).space == NASREC_SMALL
    with pytest.raises(SpaceError, match="no search space"):
        SearchConfig(space="none")


@pytest.mark.parametrize("evaluations", [1, 2, 5, 16, 100, 399, 2048])
def test_an_evolution_of_any_size_is_valid_and_large_enough(evaluations):
    e = evolution_for(evaluations)
    assert e.population + e.generations * e.children >= evaluations
    assert e.tournament <= e.population


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_k": 0}, ["top_k = 0", "greater than or equal to 1"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"top_kk": 1}, ["'top_kk'", "'top_k'"]),
        ({"evaluations": 3, "top_k": 4}, ["top_k (4)", "evaluations (3)"]),
        ({"baselines": ["mpl"]}, ["'mpl'", "mlp"]),
        ({"retrain": {"epochs": 0}}, ["epochs = 0"]),
        ({"evolution": {"population": 4, "tournament": 5}}, ["tournament (5)"]),
        ({"model": {"embedding_dim": 10}}, ["embedding_dim 10", "heads"]),
    ],
)
def test_a_bad_setting_is_named_with_value_and_range(settings, words):
    with pytest.raises(ConfigError) as error:
        SearchConfig(**settings)
    for word in words:
        assert word in str(error.value)


def test_options_go_before_the_file_and_the_file_before_the_defaults(tmp_path):
    (tmp_path / "s.yaml").write_text("top_k: 3\nsupernet: {epochs: 4, batch_size: 64}\n")
    config = config_from_options(
        tmp_path / "s.yaml", None, epochs=2, top_k=None, embedding_dim=12, evaluations=50
    )
    assert (config.top_k, config.supernet.epochs, config.supernet.batch_size) == (3, 2, 64)
    assert (config.model.embedding_dim, config.model.heads) == (12, 4)
    assert config.planned_evaluations == 50


def test_a_mapping_of_some_settings_leaves_the_others():
    config = SearchConfig(retrain={"batch_size": 64}, model={"embedding_dim": 8})
    assert config.retrain == SearchConfig().retrain.model_copy(update={"batch_size": 64})
    assert config.model == replace(SearchConfig().model, embedding_dim=8)
    with pytest.raises(ConfigError, match="epochz"):
        SearchConfig(retrain={"epochz": 1})
    whole = SCORE_RECIPES["whole"]
    assert SearchConfig().score_recipe == whole
    assert SearchConfig(scoring={"valid_rows": 9}).scoring == whole.model_copy(
        update={"valid_rows": 9}
    )
    assert SearchConfig(scoring="paper").scoring == ScoreConfig()
    with pytest.raises(ConfigError, match="known: paper, whole, scratch"):
        SearchConfig(scoring="papr")


def test_the_log_decides_how_candidates_are_scored_where_nothing_is_said():
    few, many = SCRATCH_ROWS, SCRATCH_ROWS + 1
    asked = SearchConfig()
    assert asked.for_log(few).scoring == SCORE_RECIPES["scratch"]
    assert asked.for_log(few).scored_by == "steps"
    assert asked.for_log(many).scoring == SCORE_RECIPES["whole"]
    assert asked.for_log(many).scored_by == "supernet"
    for needs in (
        {"score_by": "supernet"},
        {"method": "relaxed"},
        {"search_rows": 9},
        {"supernet": {"epochs": 2}},
    ):
        assert SearchConfig(**needs).for_log(few).scored_by == "supernet"
    assert SearchConfig(scoring="paper").for_log(few).scoring == ScoreConfig()
    assert config_from_options(scoring="scratch").for_log(many).scored_by == "steps"
    assert SearchConfig(score_by="training").for_log(few).scored_by == "training"


def test_layer_norm_as_an_option_goes_before_the_recipes():
    assert {recipe.layer_norm for recipe in config_from_options().recipes} == {None}
    for given in (True, False):
        recipes = config_from_options(layer_norm=given).recipes
        assert {recipe.layer_norm for recipe in recipes} == {given}


@pytest.mark.parametrize(("passes", "schedule"), [(1, "cosine"), (3, "cosine"), (4, "plateau")])
def test_a_plateau_of_few_passes_is_a_cosine(passes, schedule):
    retrain = config_from_options(retrain_epochs=passes).retrain
    assert (retrain.epochs, retrain.schedule) == (passes, schedule)
    assert in_passes(TrainConfig(schedule="constant"), passes).schedule == "constant"


def test_heads_divide_any_embedding_width():
    for width in range(1, 40):
        assert width % model_options(width).heads == 0


# -- trials -------------------------------------------------------------------------------------


def test_the_ladder_of_learning_rates():
    assert rate_factors(1) == [1.0]
    assert rate_factors(5) == [1.0, 0.5, 2.0, 0.25, 4.0]


def test_a_family_tries_every_recipe_and_goes_on_with_the_best():
    inputs, options, config = Inputs(2, (3, 4)), ModelOptions(), TrainConfig()
    recipes = (
        Recipe(name="plain"),
        Recipe(name="off", layer_norm=False, dropout=0.5, rate=2.0, embedding_l2=1e-4),
    )
    three = [NASREC_SMALL.sample(np.random.default_rng(i)) for i in range(3)]
    for family, variants, factors in (
        ("nasrec", nasrec_variants(inputs, options, config, three), [1, 2, 2, 2]),
        ("nasrec", nasrec_variants(inputs, options, config, three[:2], rates=2), [1, 2, 1, 2]),
        ("mlp", rate_variants(ModelSpec("mlp", inputs, options), config, 3), [1, 2, 1, 4]),
    ):
        trained = []

        def run(trial, trained=trained):
            trained.append(trial)
            loss = 0.5 - 0.1 * trial.spec.options.dropout - 0.001 * len(trained)
            return TrialResult(trial, None, Metrics(loss, 0.7, 9), UNCHANGED, 1, 1, 1, 1, 1.0, None)

        plan = tuned(family, variants, recipes, 7)
        results = carried_out({"a": plan}, lambda trials, run=run: [run(t) for t in trials])["a"]
        assert [t.spec.options.dropout for t in trained] == [0, 0.5, 0.5, 0.5]
        assert [t.spec.options.layer_norm for t in trained] == [True, False, False, False]
        assert [t.config.embedding_l2 for t in trained] == [0, 1e-4, 1e-4, 1e-4]
        assert len({t.name for t in trained}) == 4
        assert {t.seed for t in trained} == {7}
        losses = [result.valid.logloss for result in results]
        assert losses == sorted(losses)
        assert results[0].trial is trained[-1]
        rates = [t.config.learning_rate / config.learning_rate for t in trained]
        assert rates == factors
    assert SearchConfig(top_k=3, rates=2, recipes=recipes).trainings == 5


def test_recipes_far_behind_are_left_out():
    recipes = tuple(Recipe(name=name) for name in "abcd")

    def near(*losses: float) -> str:
        found = recipes_near_the_best(recipes, dict(zip("abcd", losses, strict=True)))
        return "".join(recipe.name for recipe in found)

    assert near(0.5, 0.499, 0.52, 0.513) == "bad"
    assert near(-0.7, -0.75, -0.74, -0.72) == "bc"  # an area, less is better
    assert near(0.3, math.inf, 0.3, math.inf) == "ac"
    assert near(*[math.inf] * 4) == "abcd"


def test_trainings_are_recipes_then_rates_and_architectures_in_turn():
    found = [SearchConfig().with_trainings(count) for count in (1, 3, 6, 7, 8, 9)]
    assert [config.trainings for config in found] == [1, 3, 6, 7, 8, 9]
    assert [len(config.recipes) for config in found] == [1, 3, 6, 6, 6, 6]
    assert [(config.rates, config.top_k) for config in found[2:]] == [
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 2),
    ]
    many = SearchConfig().with_trainings(20)
    assert (many.trainings, many.rates) == (20, 5)
    few = SearchConfig(top_k=1).with_evaluations(2).with_trainings(12)
    assert (few.trainings, few.top_k, few.rates) == (12, 2, 6)


@pytest.mark.parametrize(
    ("outcomes", "names"),
    [
        ([None, None, 0.5, 0.4, 0.3], ["1-plain", "1-off", "1-steady", "2-steady"]),
        ([None, 1.2, None, 0.9, 0.8], ["1-plain", "1-off", "1-steady", "1-steadier", "2-steadier"]),
        ([1e7, 0.9, 0.5, 0.4, 0.3], ["1-plain", "1-off", "2-off"]),
        ([None] * 5, ["1-plain", "1-off", "1-steady", "1-steadier", "2-off"]),
    ],
)
def test_where_nothing_is_learned_by_any_recipe_steadier_ones_are_tried(outcomes, names):
    trained = []

    def run(trial):
        entropy = outcomes[len(trained)]
        trained.append(trial)
        valid = Metrics(entropy or math.nan, 0.7, 9, normalized_entropy=entropy or math.nan)
        failed = None if entropy else "diverged"
        return TrialResult(trial, None, valid, UNCHANGED, 1, 1, 1, 1, 1.0, failed)

    variants = rate_variants(ModelSpec("mlp", Inputs(2, (3, 4)), ModelOptions()), TrainConfig(), 2)
    recipes = (Recipe(name="plain"), Recipe(name="off"))
    plan = tuned("mlp", variants, recipes, 7, STEADY)
    results = carried_out({"a": plan}, lambda trials: [run(t) for t in trials])["a"]
    assert [t.name.removeprefix("mlp-") for t in trained] == names
    assert results[0].learned == any(entropy and entropy < 1 for entropy in outcomes)
    assert all(t.spec.options.layer_norm for t in trained if "steady" in t.name)


def test_recipes_are_told_apart_by_name():
    with pytest.raises(ConfigError, match="two recipes are called 'plain'"):
        SearchConfig(recipes=(Recipe(name="plain"), Recipe(name="plain")))


@pytest.mark.parametrize("weights", [50, 5_000, 300_000])
def test_hidden_widths_match_a_size(weights):
    class Winner:
        def __init__(self):
            self.weights = weights

    inputs = Inputs(4, (100, 2000))
    hidden = matching_hidden(inputs, ModelOptions(), Winner())
    found = count_dense_weights(build_baseline("mlp", inputs, ModelOptions(hidden=hidden)))
    wider = tuple(width + 1 for width in hidden)
    more = count_dense_weights(build_baseline("mlp", inputs, ModelOptions(hidden=wider)))
    assert found <= weights < more or hidden == (1, 1)


def test_random_architectures_are_different_and_repeatable():
    config = SearchConfig(space="small")
    drawn = random_architectures(config, 20)
    assert len({architecture.digest for architecture in drawn}) == 20
    assert drawn == random_architectures(config, 20)
    tiny = NASREC_SMALL.with_(dense_dims=(16,), sparse_dims=(16,), blocks=1)
    assert 0 < len(random_architectures(SearchConfig(space=tiny), 1000)) < 30


def test_no_candidate_is_dearer_than_the_limit(tmp_path):
    inputs, limit = Inputs(4, (100, 2000)), 6_000

    def costs_of(config):
        return Costs(config, inputs, make_split(10), tmp_path / "latency.json")

    space = NASREC_SMALL.with_(name="two", blocks=2, dense_dims=(16, 32, 64), sparse_dims=(4, 8))
    for method in ("evolution", "random"):
        config = SearchConfig(space=space, method=method, max_madds=limit).with_evaluations(30)
        asked = method_of(config, costs_of(config))
        rng = np.random.default_rng(0)
        proposed = []
        while len(proposed) < 30:
            for architecture in asked.ask(4):
                proposed.append(architecture)
                asked.tell(architecture, [float(rng.random())])
        assert all(live_madds(a, inputs, config.model) <= limit for a in proposed)
    free = method_of(SearchConfig(space=space), costs_of(SearchConfig(space=space))).ask(30)
    assert any(live_madds(a, inputs) > limit for a in free)


def test_a_folder_is_prepared_data_or_the_files_of_a_log(tmp_path):
    raw, data = tmp_path / "raw", tmp_path / "data"
    raw.mkdir()
    SyntheticLog(n_dense=1, n_sparse=1).write_csv(raw / "a.csv", 300)
    assert not DataRequest(raw).prepared
    assert not DataRequest(raw / "a.csv").prepared
    prepare(raw, data, label="label")
    assert DataRequest(data).prepared
    (data / "manifest.json").unlink()  # damaged, and still no log
    assert DataRequest(data).prepared
    assert DataRequest(tmp_path).prepared  # neither: told as a folder that is not prepared


# -- the run folder -----------------------------------------------------------------------------


def test_a_claim_that_makes_nothing_leaves_nothing(tmp_path):
    run = RunFolder(tmp_path / "a/run")
    with pytest.raises(ValueError), run.claimed({"seed": 0}):
        raise ValueError
    assert not run.path.exists()


def test_a_claimed_folder_is_gone_on_with_and_swept(tmp_path):
    run = RunFolder(tmp_path / "run")
    with run.claimed({"seed": 0}):
        run.data.mkdir()
        (run.path / ".x.1.tmp").write_text("half")
        (run.path / ".data.0.partial").mkdir()
    with run.claimed({"seed": 0}):
        assert sorted(p.name for p in run.path.iterdir()) == [".lock", "data", "request.json"]
    with pytest.raises(RunError, match="seed was 0, now 1"), run.claimed({"seed": 1}):
        pass


def test_an_empty_folder_and_what_a_kill_left_in_it_may_be_used(tmp_path):
    run = RunFolder(tmp_path)
    (tmp_path / ".request.json.7.tmp").write_text("{")
    with run.claimed({"seed": 0}):
        run.data.mkdir()


def test_a_run_of_another_format_is_refused(tmp_path):
    (tmp_path / "request.json").write_text('{"format": "nasrec-run/9"}')
    with pytest.raises(RunError, match="nasrec-run/9"), RunFolder(tmp_path).claimed({}):
        pass


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunError, match="this is a file"), RunFolder(tmp_path / "run").claimed({}):
        pass


# -- telling ------------------------------------------------------------------------------------


def test_no_bar_without_a_terminal_but_a_last_line(capsys):
    with Reporter().bar("Training", "rows", 10) as update:
        for i in range(5):
            update(i + 1, 5)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Training: 50 of 50 rows")
    assert len(told.err.splitlines()) == 1


def test_bars_on_a_terminal():
    reporter = Reporter()
    reporter._console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with reporter.bar("Training", "rows", 10) as update:
        update(3, 5)
        update(5, 5)
    drawn = reporter._console.file.getvalue()
    assert "Training" in drawn
    assert "50/50" in drawn
    assert "rows/s" in drawn


def test_a_quiet_reporter_tells_nothing(capsys):
    reporter = Reporter(quiet=True)
    reporter.say("x")
    with reporter.bar("Training", "rows") as update:
        update(1, 1)
    assert capsys.readouterr() == ("", "")


def test_tables_are_aligned():
    assert text_table(("a", "bb"), [("x", "1"), ("yyy", "22")]).splitlines() == [
        "a    bb",
        "---  --",
        "x     1",
        "yyy  22",
    ]


@pytest.mark.parametrize(
    ("entropies", "warned"),
    [([1.2, 0.985], "98.5%"), ([1.2, 0.9], None), ([float("nan")], None), ([], None)],
)
def test_scores_at_the_base_rate_are_told(entropies, warned):
    architecture = NASREC_SMALL.sample(np.random.default_rng(0))
    found = [
        Candidate(architecture, Score(0.5, normalized_entropy=entropy), i, 0.0)
        for i, entropy in enumerate(entropies)
    ]
    text = too_little_known(found, by_supernet=True)
    assert (warned in text and "--epochs" in text) if warned else text is None
