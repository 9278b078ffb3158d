"""Calibration of a training on its validation rows: against scikit-learn, its guards, its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import nasrec
from nasrec.data import Split, SyntheticLog
from nasrec.nn import ModelOptions
from nasrec.pipeline import Reporter
from nasrec.pipeline.boosting import Boosted, train_lightgbm
from nasrec.serve.export import export, load_program
from nasrec.train import TrainConfig, fit, log_loss, metrics_on, predict_logits
from nasrec.train.platt import UNCHANGED, calibrated, fit_platt, sigmoid
from tests.train.helpers import TinyNet, make_split

RNG = np.random.default_rng(0)
FIRST = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_numbers_after_any_other_test():
    RNG.bit_generator.state = FIRST


def with_labels(labels):
    """Rows with these labels; the columns do not matter."""
    columns = np.zeros((len(labels), 1), np.float32), np.zeros((len(labels), 1), np.int32)
    return Split("rows", *columns, labels.astype(np.float32), float(labels.mean()))


def rows_of(logits, seed=1):
    """Rows whose true logits are these."""
    return with_labels(np.random.default_rng(seed).random(len(logits)) < sigmoid(logits))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_fit_is_a_logistic_regression_without_penalty(weighted):
    x = RNG.normal(0, 2, 3000)
    y = rows_of(0.6 * x - 1).labels.astype(np.float64)
    weights = RNG.uniform(0.1, 5, 3000) if weighted else np.ones(3000)
    # Platt's targets are shares of clicks: every row stands there as click and as none.
    clicks = y.sum()
    share = np.where(y > 0.5, (clicks + 1) / (clicks + 2), 1 / (len(y) - clicks + 2))
    oracle = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.tile(x, 2)[:, None],
        np.repeat([1, 0], len(x)),
        np.concatenate([weights * share, weights * (1 - share)]),
    )
    expected = oracle.coef_[0, 0], oracle.intercept_[0]
    assert fit_platt(x, y, weights) == pytest.approx(expected, abs=1e-5)


def test_it_mends_a_model_that_is_too_sure_and_changes_no_order():
    true = RNG.normal(-1, 1.5, 20_000)
    found, metrics = calibrated(rows_of(true), 2 * true + 1)
    assert found == pytest.approx((0.5, -0.5), abs=0.05)
    others = rows_of(true, seed=2)
    before, after = metrics_on(others, 2 * true + 1), metrics_on(others, found(2 * true + 1))
    assert after.auc == before.auc
    assert after.logloss < before.logloss - 0.01
    assert metrics.logloss == pytest.approx(after.logloss, abs=0.01)


def test_the_loss_is_not_flattered():
    # models that are right already: what they seem to gain on these rows is of chance
    truth, told, applied = [], [], 0
    for seed in range(200):
        true = np.random.default_rng(seed).normal(-1, 1.5, 500)
        platt, metrics = calibrated(rows_of(true, seed), true)
        others = rows_of(true, seed + 1000)
        told.append(metrics.logloss - log_loss(true, rows_of(true, seed).labels))
        truth.append(log_loss(platt(true), others.labels) - log_loss(true, others.labels))
        applied += platt != UNCHANGED
    assert applied < 50
    assert -0.001 < np.mean(told) <= 0
    assert 0 <= np.mean(truth) < 0.002


@pytest.mark.parametrize("case", ["one class", "worse than chance", "constant", "nan", "right"])
def test_where_it_does_not_help_there_is_none(case):
    true = RNG.normal(-1, 1.5, 2000)
    rows, logits = rows_of(true), true
    if case == "one class":
        rows = with_labels(np.zeros(2000))
    elif case == "worse than chance":
        logits = -true
    elif case == "constant":
        rate = rows.labels.mean()
        logits = np.full(2000, math.log(rate / (1 - rate)))
    elif case == "nan":
        logits = np.full(2000, math.nan)
    with np.errstate(invalid="ignore"):
        platt, metrics = calibrated(rows, logits)
        expected = metrics_on(rows, logits)
    assert platt == UNCHANGED
    np.testing.assert_equal(metrics.to_dict(), expected.to_dict())


def test_a_training_stops_by_the_calibrated_loss_and_keeps_the_calibration_of_its_best():
    train, valid, model = make_split(60, 1), make_split(300, 2), TinyNet(dropout=0.0)
    config = TrainConfig(
        epochs=60, batch_size=20, learning_rate=0.5, schedule="constant", patience=3
    )
    plain = fit(TinyNet(dropout=0.0), train, valid, config)
    assert plain.calibration == UNCHANGED
    result = fit(model, train, valid, config.model_copy(update={"calibrate": True}))
    platt, metrics = calibrated(valid, predict_logits(model, valid))
    assert platt == result.calibration != UNCHANGED
    assert result.best == metrics
    assert result.best_step > plain.best_step  # sure of itself too early, it went on learning
    assert result.best.logloss < plain.best.logloss


def test_a_trained_model_scores_with_its_calibration_wherever_it_goes(tmp_path):
    data = nasrec.prepare(
        SyntheticLog(n_dense=2, n_sparse=3).generate(1500), tmp_path / "data", label="label"
    )
    model = nasrec.train(
        data,
        "mlp",
        tmp_path / "model",
        options=ModelOptions(embedding_std=3.0),  # too sure of itself from the start
        config=TrainConfig(calibrate=True),
        reporter=Reporter(quiet=True),
    )
    assert model.calibration.method == "platt"
    logits, labels, weights, _ = model.labelled(data.path, "valid")
    assert (model.calibration.slope, model.calibration.intercept) == pytest.approx(
        fit_platt(logits.astype(float), labels.astype(float), weights)
    )
    test = model.evaluate(data.path)
    assert model.metrics["test"]["logloss"] == pytest.approx(test.logloss, abs=1e-6)
    exported = export(model, tmp_path / "exported", to="torch")
    rows = model.sample
    _, probability = load_program(exported.path / "model.pt2", "torch")(rows.dense, rows.sparse)
    expected = sigmoid(model.calibration(rows.logits))
    np.testing.assert_allclose(probability, expected, atol=1e-6)


def test_trees_are_calibrated_alike(tmp_path):
    pytest.importorskip("lightgbm", reason="needs nasrec[lightgbm]")
    rows = SyntheticLog(n_dense=2, n_sparse=3).generate(1500)
    data = nasrec.prepare(rows, tmp_path / "data", label="label")
    settings = {"num_leaves": 31, "learning_rate": 2.0}  # steps far too long
    for calibrate in (False, True):
        folder = tmp_path / str(calibrate)
        train_lightgbm("trees", settings, 0, data, folder, calibrate=calibrate)
        content = nasrec.files.read_object(folder / "result.json", RuntimeError, "")
        platt, metrics = calibrated(data.valid, Boosted(folder).logits(data.valid))
        assert platt != UNCHANGED
        assert content["calibration"] == pytest.approx(
            (platt if calibrate else UNCHANGED)._asdict()
        )
    assert content["valid"]["logloss"] == pytest.approx(metrics.logloss)
