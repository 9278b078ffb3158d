"""The scikit-learn classifier: its conventions, every kind of rows, budgets, callbacks."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from nasrec import NASRecClassifier
from nasrec.data import SyntheticLog
from nasrec.train.recipes import RECIPES
from tests.end_to_end.tiny import SPACE

pd = pytest.importorskip("pandas")

CONFIG = {
    "space": SPACE.with_(blocks=1).to_dict(),
    "model": {"embedding_dim": 8},
    "scoring": {"finetune_steps": 2, "finetune_batch": 32},
    "supernet": {"epochs": 1, "batch_size": 32},
    "retrain": {"epochs": 12, "batch_size": 16, "evaluations_per_epoch": 1},
    "top_k": 1,
    "rates": 1,
    "recipes": [RECIPES[0].model_dump()],
}
LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))
FRAME = LOG.generate(300)
X, Y = FRAME.drop("label"), FRAME["label"].to_numpy()


def tiny(**params) -> NASRecClassifier:
    return NASRecClassifier(**{"evaluations": 1, "config": CONFIG, **params})


# Nothing is excluded. What scikit-learn itself leaves out: several classes, by the tag
# `multi_class`; NaN and texts as bad input, by `allow_nan` and `string`; sample weights, which
# `fit` does not take; and array-API input, where SCIPY_ARRAY_API is not set.
@pytest.mark.slow
@parametrize_with_checks([tiny()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_it_learns_and_scores():
    fitted = tiny().fit(X, Y)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (300, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert roc_auc_score(Y, probabilities[:, 1]) > 0.7
    assert fitted.score(X, Y) == (fitted.predict(X) == Y).mean()
    assert list(fitted.feature_names_in_) == X.columns
    assert "NASRecNet" in fitted.table_


def test_frames_of_both_kinds_files_and_label_names_are_one(tmp_path):
    FRAME.write_csv(tmp_path / "log.csv")
    X.write_parquet(tmp_path / "rows.parquet")
    pandas = pd.DataFrame({name: X[name].to_list() for name in X.columns})
    pandas["C2"] = pandas["C2"].astype("category")
    fits = [
        tiny().fit(X, Y),
        tiny().fit(pandas, pd.Series(Y)),
        tiny().fit(FRAME, "label"),
        tiny().fit(pandas.assign(label=Y), "label"),
    ]
    expected = fits[0].predict_proba(X)
    for fitted in fits:
        for rows in (X, pandas, tmp_path / "rows.parquet"):
            np.testing.assert_allclose(fitted.predict_proba(rows), expected, atol=1e-6)
    from_file = tiny().fit(tmp_path / "log.csv", "label")
    assert list(from_file.classes_) == [0, 1]
    assert from_file.predict_proba(tmp_path / "log.csv").shape == (300, 2)


def test_arrays_with_texts_and_columns_said_to_be_categories():
    mixed = np.column_stack([Y + 0.5, np.where(Y, "yes", "no")]).astype(object)
    mixed[:, 0] = mixed[:, 0].astype(float)
    mixed[3] = [np.nan, None]
    fitted = tiny().fit(mixed, Y)
    assert [c.role for c in fitted.model_.schema.columns if c.name != "label"] == [
        "dense", "categorical",
    ]  # fmt: skip
    codes = np.column_stack([Y * 3, np.arange(300) % 7])
    fitted = tiny(categorical=[0], ignore=[1]).fit(codes, Y)
    roles = {c.name: c.role for c in fitted.model_.schema.columns}
    assert (roles["x0"], roles["x1"]) == ("categorical", "ignore")
    with pytest.raises(ValueError, match="'C9'"):
        tiny(ignore=["C9"]).fit(X, Y)


@pytest.mark.slow
def test_pipelines_clones_and_cross_validation():
    params = tiny(budget=None, random_state=4).get_params()
    assert params["random_state"] == 4
    copy = clone(tiny(random_state=4)).set_params(random_state=5)
    assert copy.random_state == 5
    pipe = Pipeline([("same", FunctionTransformer()), ("model", tiny())])
    scores = cross_val_score(pipe, X, Y, cv=2, scoring="neg_log_loss")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    scores = cross_val_score(tiny(), X.to_numpy(), Y, cv=2)
    assert (scores > 0.5).all()


def test_it_outlives_pickling_and_its_files(tmp_path):
    fitted = tiny().fit(X, Y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    kept = tiny(out=tmp_path / "run").fit(X, Y)
    np.testing.assert_array_equal(kept.predict_proba(X), fitted.predict_proba(X))
    assert (tmp_path / "run/model/manifest.json").is_file()


@pytest.mark.slow
def test_budgets_and_callbacks():
    heard = []
    config = CONFIG | {"recipes": [recipe.model_dump() for recipe in RECIPES]}
    tiny(
        config=config,
        evaluations=3,
        callbacks=[lambda stage, record: heard.append((stage, record))],
    ).fit(X, Y)
    assert [stage for stage, _ in heard].count("search") == 3
    trainings = {f"nasrec-1-{recipe.name}" for recipe in RECIPES}
    stages = {"supernet", "search"} | trainings
    assert stages == {stage for stage, _ in heard if not stage.startswith("nasrec-1-stead")}
    without = {k: v for k, v in CONFIG.items() if k != "top_k"}
    fitted = tiny(budget=0.02, evaluations=None, config=without).fit(X, Y)
    assert fitted.predict_proba(X).shape == (300, 2)
    with pytest.raises(ValueError, match="not both"):
        tiny(budget=1, evaluations=1).fit(X, Y)


def test_few_rows_get_enough_steps():
    settings = NASRecClassifier(config={"space": SPACE})._settings(rows=200)
    steps = settings.retrain.epochs * 160 / settings.retrain.batch_size
    assert 100 <= steps < 1000
    assert settings.planned_evaluations == 50
    said = NASRecClassifier(config={"space": SPACE, "retrain": {"epochs": 2}})._settings(rows=200)
    assert said.retrain.epochs == 2


@pytest.mark.slow
def test_without_scikit_learn_only_the_classifier_is_missing():
    code = (
        "import sys; sys.modules['sklearn.base'] = None\n"
        "from nasrec import *\n"
        "import nasrec\n"
        "try: nasrec.NASRecClassifier\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'nasrec[sklearn]'" in done.stdout, done.stderr


def test_faults_are_value_errors():
    with pytest.raises(ValueError, match="Only binary"):
        tiny().fit(X, np.arange(300) % 3)
    with pytest.raises(ValueError, match="one class only"):
        tiny().fit(X, np.zeros(300))
    with pytest.raises(ValueError, match="no column 'clicks'"):
        tiny().fit(FRAME, "clicks")
    fitted = tiny().fit(X, Y)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X.rename({"C1": "c1"}))
    with pytest.raises(ValueError, match="row 1, column 'I1'"):
        fitted.predict(X.with_columns(pl.lit("x").alias("I1")))
