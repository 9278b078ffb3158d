"""Blends: how many trainings are one model, what it scores, may cost, and is told of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasrec
from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split, SyntheticLog, prepare
from nasrec.nn import Blend, ModelOptions
from nasrec.pipeline import Reporter, inputs_of
from nasrec.pipeline.blend import best_few, with_blend
from nasrec.pipeline.trials import Trial, run_trial
from nasrec.serve import ModelSpec
from nasrec.serve.spec import blend_of
from nasrec.train import TrainConfig, log_loss
from nasrec.train.platt import Platt
from tests.end_to_end.tiny import SETTINGS

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))
QUIET = Reporter(quiet=True)
CONFIG = TrainConfig(epochs=2, batch_size=64, calibrate=True)


# -- how many -----------------------------------------------------------------------------------


def plain(**changes):
    return TrainConfig(calibrate=False, **changes)


def truth_and_rows(rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1, 1.5, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    dense, sparse = np.zeros((rows, 1), np.float32), np.zeros((rows, 1), np.int32)
    return rng, truth, Split("valid", dense, sparse, labels, float(labels.mean()))


def test_independent_errors_are_averaged_and_a_bad_model_is_left_out():
    rng, truth, valid = truth_and_rows()
    good = [truth + rng.normal(0, 0.5, len(truth)) for _ in range(4)]
    assert sorted(best_few(good, valid, plain(), most=9).chosen) == [0, 1, 2, 3]
    bad = [rng.normal(-1, 1.5, len(truth)) for _ in range(2)]  # knows nothing, and is as sure
    assert best_few([*good[:1], *bad], valid, plain(), most=3).chosen == (0,)
    assert sorted(best_few([*good[:2], *bad, *good[2:]], valid, plain(), most=6).chosen) == [
        *(0, 1, 4, 5)
    ]


def test_one_that_errs_in_another_way_comes_before_nearly_the_same_again():
    rng, truth, valid = truth_and_rows()
    best = truth + rng.normal(0, 0.6, len(truth))
    again = [best + rng.normal(0, 0.05, len(truth)) for _ in range(3)]
    other = truth + rng.normal(0, 0.7, len(truth))  # worse by itself
    assert best_few([best, *again, other], valid, plain(), most=2).chosen == (0, 4)


def test_the_same_model_again_is_no_worse_and_one_alone_is_itself():
    _, truth, valid = truth_and_rows()
    assert best_few([truth], valid, plain(), most=4).chosen == (0,)
    few = best_few([truth] * 3, valid, plain(), most=4)
    assert few.chosen == (0, 1, 2)  # these rows do not tell it from one
    assert few.valid.logloss == pytest.approx(log_loss(truth, valid.labels))
    assert best_few([truth] * 3, valid, plain(), most=2).chosen == (0, 1)
    fits = {(0, 2), (0, 2, 3)}
    few = best_few([truth] * 4, valid, plain(), 4, lambda chosen: tuple(chosen) in fits)
    assert few.chosen == (0, 2, 3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    noise=st.lists(st.floats(0.1, 3), min_size=1, max_size=5),
    most=st.integers(1, 6),
    calibrate=st.booleans(),
    criterion=st.sampled_from(["logloss", "auc"]),
)
def test_as_a_naive_loop_chooses(seed, noise, most, calibrate, criterion):
    rng, truth, valid = truth_and_rows(600, seed)
    y = valid.labels
    logits = [truth + rng.normal(0, sd, len(truth)) for sd in sorted(noise)]
    config = TrainConfig(calibrate=calibrate, criterion=criterion)
    few = best_few(logits, valid, config, most)

    def mean(chosen):
        return sum(logits[i] for i in chosen) / len(chosen)

    order = [0]
    while len(order) < min(most, len(logits)):
        others = set(range(len(logits))) - set(order)
        order.append(min(others, key=lambda i: log_loss(mean([*order, i]), y)))
    steps = []
    for number in range(1, len(order) + 1):
        alone = best_few([mean(order[:number])], valid, config, 1)
        x = alone.calibration(mean(order[:number]))
        steps.append((alone.valid, np.log1p(np.exp(np.where(y > 0.5, -x, x)))))
    best = min(steps, key=lambda one: one[0].logloss if criterion == "logloss" else -one[0].auc)
    even = [
        number
        for number, (found, rows) in enumerate(steps, start=1)
        if found is best[0]
        or (rows - best[1]).mean() <= (rows - best[1]).std() / np.sqrt(len(y)) + 1e-15
    ]
    assert few.chosen == tuple(order[: max(even)])
    assert few.valid.logloss == pytest.approx(steps[max(even) - 1][0].logloss)


# -- of trainings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(LOG.generate(900), tmp_path_factory.mktemp("blend") / "data", label="label")


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    options = ModelOptions(embedding_dim=8, hidden=(8,), first_order=True, click_rates=True)
    found = []
    for number in range(3):  # of one make, so that validation does not tell them apart
        spec = ModelSpec("mlp", inputs_of(data), options)
        trial = Trial(f"mlp-{number}", "mlp", spec, CONFIG, number)
        found.append(run_trial(trial, data, folder / trial.name, QUIET))
    assert all(result.learned for result in found)
    return sorted(found, key=lambda result: result.order)


def test_a_blend_is_the_calibrated_mean_of_calibrated_logits(data, results, tmp_path):
    blend, *rest = with_blend(results, data, tmp_path / "mlp-blend", most=3)
    assert rest == results
    parts = blend.parts
    assert len(parts) == len(json.loads((tmp_path / "mlp-blend/blend.json").read_text())["parts"])
    assert len(parts) > 1
    assert parts[0] == results[0]
    assert all(part in results for part in parts)
    mean = np.mean([part.logits(data.test) for part in parts], axis=0)
    np.testing.assert_allclose(blend.logits(data.test), blend.calibration(mean), atol=1e-5)
    assert blend.madds == sum(part.madds for part in parts)
    network = blend.network()
    assert isinstance(network, Blend)
    assert network.madds == blend.madds
    assert blend.costs["bytes"] == 4 * sum(p.numel() for p in network.parameters())
    again = with_blend(results, data, tmp_path / "mlp-blend", most=3)[0]
    assert (again.parts, again.calibration) == (parts, blend.calibration)
    assert again.valid.to_dict() == pytest.approx(blend.valid.to_dict(), nan_ok=True)


def test_limits_and_failures(data, results, tmp_path):
    assert with_blend(results, data, tmp_path / "a", most=1) == results
    one = results[0].costs
    for name in one:
        few = with_blend(
            results, data, tmp_path / name, most=3, limits={name: int(2.5 * one[name])}
        )
        assert len(few[0].parts) == 2
        assert (
            with_blend(results, data, tmp_path / f"{name}1", 3, {name: int(one[name])}) == results
        )
    failed = [replace(result, failed="the loss is nan") for result in results]
    assert with_blend(failed, data, tmp_path / "c", most=3) == failed
    assert with_blend([results[0], *failed[1:]], data, tmp_path / "d", most=3)[0] == results[0]


def test_weights_of_a_blend_need_its_slopes(data, results):
    tilted = [
        replace(result, calibration=Platt(0.5 + i, 0.1 * i)) for i, result in enumerate(results)
    ]
    spec = blend_of([result.trial.spec for result in tilted])
    whole = replace(tilted[0], parts=tuple(tilted), calibration=Platt())
    whole = replace(whole, trial=replace(whole.trial, spec=spec))
    mean = np.mean([result.logits(data.valid) for result in tilted], axis=0)
    np.testing.assert_allclose(whole.logits(data.valid), mean, atol=1e-5)


# -- in a search and a comparison -----------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {**SETTINGS, "evolution": None} | {"evaluations": 4, "top_k": 3, "seed": 1}
    del settings["evolution"]
    return nasrec.search(
        LOG.generate(1500),
        label="label",
        out=tmp_path_factory.mktemp("search") / "run",
        config=SearchConfig(**settings, baselines=["logreg"]),
        reporter=QUIET,
    )


def test_a_search_takes_its_blend_home(run):
    row = next(row for row in run.leaderboard if row["family"] == "nasrec")
    trials = json.loads((run.path / "leaderboard.json").read_text())["trials"]
    alone = [t for t in trials if t["family"] == "nasrec" and t["trial"] != "nasrec-blend"]
    assert row["trainings"] == len(alone)
    assert row["trial"] == "nasrec-blend"
    assert 1 < len(row["blend"]) <= SearchConfig().blend
    assert row["madds"] == sum(t["madds"] for t in alone if t["trial"] in row["blend"])
    model = run.model
    assert len(model.spec.parts) == len(row["blend"])
    assert model.evaluate(run.path / "data").logloss == pytest.approx(row["test_logloss"], abs=1e-6)
    assert f"the mean of {len(row['blend'])} networks, {row['blend'][0]}" in run.summary
    assert f"nasrec take {run.path} {row['blend'][0]} --out ONE" in run.summary
    line = next(line for line in run.table.splitlines() if line.startswith("NASRecNet"))
    assert line.split()[4] == str(len(row["blend"]))
    page = run.report.read_text(encoding="utf-8")
    assert f"the mean logit of {len(row['blend'])} of them: {row['blend'][0]}" in page
    assert all(point["trial"] != "nasrec-blend" for point in run.front["points"])
    assert run.architecture.digest in {t["digest"] for t in alone}


def test_costs_or_a_limit_on_latency_leave_one_network():
    assert SearchConfig().most_blended == SearchConfig().blend > 1
    assert SearchConfig(costs=["madds"]).most_blended == 1
    assert SearchConfig(max_p99_ms=3).most_blended == 1


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_comparison_blends_every_family_and_repeats_all_parts(tmp_path, jobs):
    pytest.importorskip("lightgbm", reason="needs nasrec[lightgbm]")
    out, models = tmp_path / "c", ["logreg", "lightgbm"]
    config = SearchConfig(model={"embedding_dim": 8}, blend=2)
    found = nasrec.compare(
        LOG.generate(700), "label", out, models=models, seeds=2, trials=3, jobs=jobs,
        config=config, reporter=QUIET,
    )  # fmt: skip
    data = PreparedData.open(out / "data")
    assert any(row.get("blend") for row in found.rows)
    for row in found.rows:
        if not row["seeds"]:
            continue
        assert (row["trials"], row["seeds"]) == (3, 2)
        names = row["blend"] or [row["trial"]]
        losses = []
        for seed in ("", "-seed1"):
            for name in names:
                assert (out / "retrain" / f"{name}{seed}" / "result.json").is_file()
            logits = np.load(out / "retrain" / f"{row['trial']}{seed}" / "test-logits.npy")
            losses.append(log_loss(logits, data.test.labels))
        assert row["test_logloss"] == pytest.approx(np.mean(losses))
    one = nasrec.compare(
        LOG.generate(700), "label", tmp_path / "one", models=models, seeds=1, trials=3, jobs=jobs,
        config=config.replaced(blend=1), reporter=QUIET,
    )  # fmt: skip
    assert not any(row.get("blend") for row in one.rows)
