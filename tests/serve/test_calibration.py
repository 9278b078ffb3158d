"""Calibration: fits against scikit-learn, order kept, and probabilities that mean clicks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from nasrec.data import prepare
from nasrec.errors import ConfigError, DataError, RunError
from nasrec.serve import Calibration, calibrate, load_model, predict
from nasrec.serve.calibration import (
    CalibrationModule,
    fit_calibration,
    pool_adjacent,
)
from nasrec.serve.interval import interval, report
from nasrec.train.metrics import auc, log_loss, metrics_of
from nasrec.train.platt import fit_platt
from nasrec.train.reliability import bias_ratio, calibration_curve, calibration_error
from tests.serve.models import LOG, model_of


def drawn(rows=20_000, slope=0.5, intercept=-1.0, seed=0):
    """Logits x of a model that is wrong: the true ones are slope · x + intercept."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, rows)
    p = 1 / (1 + np.exp(-(slope * x + intercept)))
    return x, (rng.random(rows) < p).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=40))
def test_pooling_is_isotonic_regression(points):
    values, weights = (np.array(part, dtype=float) for part in zip(*points, strict=True))
    places = np.arange(len(values))
    expected = IsotonicRegression().fit(places, values, weights).predict(places)
    np.testing.assert_allclose(pool_adjacent(values, weights), expected, atol=1e-12)


def test_platt_is_a_logistic_regression():
    x, y = drawn()
    found = fit_platt(x, y)
    oracle = LogisticRegression(C=1e9, tol=1e-8).fit(x[:, None], y)
    assert found == pytest.approx((oracle.coef_[0, 0], oracle.intercept_[0]), abs=2e-3)


@pytest.mark.parametrize(
    "logits",
    [[-1.0, 1.0, 2.0, -3.0], [0.0, 0.0, 0.0, 0.0], [1.0, -1.0, -2.0, 3.0], [500.0, -500, 1, 2]],
    ids=["mixed", "constant", "wrong order", "far"],
)
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_fits_are_finite_and_never_fall(method, logits):
    fitted = fit_calibration(method, logits, [0, 1, 1, 0])
    found = fitted(np.linspace(-1000, 1000, 201))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_probabilities_mean_clicks(method):
    fitted = fit_calibration(method, *drawn(seed=1))
    x, y = drawn(seed=2)
    before, after = metrics_of(x, y), metrics_of(fitted(x), y)
    assert before.ece > 0.1
    assert after.ece < 0.02
    assert after.bias == pytest.approx(1, abs=0.05)
    assert after.logloss < before.logloss
    assert after.auc == pytest.approx(before.auc, abs=1e-3)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
def test_the_negative_rate_gives_the_clicks_of_the_full_log(rate):
    x, y = drawn(400_000, slope=1.0, intercept=-1.0)
    kept = (y > 0) | (np.random.default_rng(3).random(len(y)) < rate)
    fitted = fit_calibration("platt", x[kept], y[kept], rate)
    assert metrics_of(fitted(x), y).bias == pytest.approx(1, abs=0.03)
    inflated = metrics_of(fitted.for_rows_like_training()(x), y)
    assert inflated.bias > 1.2


@pytest.mark.parametrize("method", ["none", "platt", "isotonic"])
def test_the_exported_module_computes_the_same(method):
    fitted = fit_calibration(method, *drawn(), 0.3)
    x = np.concatenate([np.linspace(-40, 40, 301), fitted.x]).astype(np.float32)
    found = CalibrationModule(fitted)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, fitted(x), atol=1e-5)
    assert Calibration.from_dict(fitted.to_dict()) == fitted


def test_bad_calibrations_are_refused():
    x, y = drawn(100)
    with pytest.raises(ConfigError, match="no calibration 'beta'"):
        fit_calibration("beta", x, y)
    for rate in (0, -1, 1.5, math.nan):
        with pytest.raises(ConfigError, match="negative rate"):
            fit_calibration("none", x, y, rate)
    with pytest.raises(DataError, match="with and without"):
        fit_calibration("platt", x, np.ones(100))
    for wrong in ({"x": [1.0, 0.0], "y": [0.0, 1.0]}, {"x": [0.0, 1.0], "y": [1.0, 0.0]}, {"z": 1}):
        with pytest.raises(ConfigError):
            Calibration.from_dict({"method": "isotonic", **wrong})


# -- what is measured ---------------------------------------------------------------------------


def test_calibration_error_by_hand():
    # two bins of two rows: |0.2 - 0| and |0.7 - 1|
    assert calibration_error([0.1, 0.8, 0.3, 0.6], [0, 1, 0, 1], bins=2) == pytest.approx(0.25)
    assert math.isnan(calibration_error([], []))
    assert bias_ratio([0.5, 0.5, 0.5], [1, 0, 0]) == pytest.approx(1.5)
    assert math.isnan(bias_ratio([0.5], [0]))


def test_the_calibration_curve_adds_up_to_the_error():
    rng = np.random.default_rng(3)
    p = rng.random(997)
    y = (rng.random(997) < p**2).astype(float)
    curve = calibration_curve(p, y, bins=7)
    assert {n for _, _, n in curve} <= {142, 143}
    assert sum(n for _, _, n in curve) == 997
    assert [a for a, _, _ in curve] == sorted(a for a, _, _ in curve)
    error = sum(n * abs(a - b) for a, b, n in curve) / 997
    assert error == pytest.approx(calibration_error(p, y, bins=7))
    assert calibration_curve([], []) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 10**6))
def test_calibration_error_is_that_of_a_loop(rows, bins, seed):
    rng = np.random.default_rng(seed)
    p, y = rng.random(rows), rng.integers(0, 2, rows)
    order = np.argsort(p, kind="stable")
    cuts = [int(c) for c in np.linspace(0, rows, min(bins, rows) + 1)]
    total = 0.0
    for low, high in itertools.pairwise(cuts):
        part = order[low:high]
        if len(part):
            total += len(part) / rows * abs(p[part].mean() - y[part].mean())
    assert calibration_error(p, y, bins) == pytest.approx(total, abs=1e-9)


def test_the_interval_is_that_of_resampled_rows():
    x, y = drawn(2_000, slope=1.0, intercept=-1.0)
    rng = np.random.default_rng(9)
    rows = [rng.integers(0, len(x), len(x)) for _ in range(300)]
    losses, areas = (
        np.quantile([f(x[r], y[r]) for r in rows], [0.025, 0.975]) for f in (log_loss, auc)
    )
    found = interval(x, y)
    width = losses[1] - losses[0]
    np.testing.assert_allclose(found["logloss"], losses, atol=0.15 * width)
    np.testing.assert_allclose(found["auc"], areas, atol=0.15 * (areas[1] - areas[0]))
    assert interval(x, y) == found


def test_many_rows_are_grouped_without_harm(monkeypatch):
    x, y = drawn(50_000, slope=1.0)
    exact = interval(x, y)
    monkeypatch.setattr("nasrec.serve.interval.GROUPS", 2_000)
    grouped = interval(x, y)
    for name in ("logloss", "auc"):
        width = exact[name][1] - exact[name][0]
        np.testing.assert_allclose(grouped[name], exact[name], atol=0.2 * width)
        low, high = grouped[name]
        assert low < report(x, y)[name] < high


# -- in the model folder ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m")
    model_of(folder)
    return folder


def test_a_calibrated_model_is_another_folder(folder, tmp_path):
    model = load_model(folder / "model")
    made = calibrate(model, folder / "data", tmp_path / "c", method="platt", negative_rate=0.5)
    assert load_model(tmp_path / "c").calibration == made.calibration
    frame = LOG.generate(40, stream=2)
    logits = np.log(1 / (1 / model.predict_proba(frame) - 1))
    expected = 1 / (1 + np.exp(-made.calibration(logits)))
    np.testing.assert_allclose(made.predict_proba(frame), expected, atol=1e-6)
    np.testing.assert_allclose(predict(made, frame).frame["probability"], expected, atol=1e-6)
    with pytest.raises(RunError, match="exists already"):
        calibrate(model, folder / "data", tmp_path / "c")
    assert {"calibration", "test"} <= set(made.metrics)
    assert made.metrics["test"]["interval"]["level"] == 0.95
    # measured on rows that lack negatives like the training rows do
    assert made.evaluate(folder / "data").bias == pytest.approx(made.metrics["test"]["bias"])
    assert made.evaluate(LOG.generate(300)).bias < made.evaluate(folder / "data", "train").bias


def test_a_calibration_on_a_file(folder, tmp_path):
    LOG.generate(200, stream=6).write_csv(tmp_path / "rows.csv")
    made = calibrate(load_model(folder / "model"), tmp_path / "rows.csv", tmp_path / "c")
    assert made.calibration.method == "isotonic"
    assert made.evaluate(tmp_path / "rows.csv").bias == pytest.approx(1, abs=0.05)


def test_labels_are_checked(folder, tmp_path):
    model = load_model(folder / "model")
    frame = LOG.generate(50)
    with pytest.raises(DataError, match="no column 'label'"):
        model.evaluate(frame.drop("label"))
    with pytest.raises(DataError, match="only one class"):
        model.evaluate(frame.filter(frame["label"] == 0))
    prepare(LOG.generate(200, stream=1), tmp_path / "other", label="label")
    with pytest.raises(DataError, match="another encoder"):
        calibrate(model, tmp_path / "other", tmp_path / "c")
    assert not (tmp_path / "c").exists()
