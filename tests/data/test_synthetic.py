from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.sparse import hstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import OneHotEncoder

from nasrec.data import SyntheticLog, infer_schema
from nasrec.errors import ConfigError, DataError

LOG = SyntheticLog()


@pytest.fixture(scope="module")
def frame():
    return LOG.generate(20_000)


def test_columns_missing_values_and_long_tails(frame):
    assert frame.columns == [
        "label",
        *(f"I{i}" for i in range(1, 5)),
        *(f"C{i}" for i in range(1, 7)),
    ]
    for name in frame.columns[1:]:
        assert frame[name].null_count() / len(frame) == pytest.approx(LOG.missing, abs=0.01)
    top = frame["C6"].drop_nulls().value_counts(sort=True)["count"]
    assert top[0] > 10 * top[60]
    assert frame["I1"].max() > 100 * frame["I1"].median()
    assert all(
        frame[f"C{i + 1}"].drop_nulls().n_unique() <= LOG.vocabulary_sizes[i] for i in range(6)
    )


def test_labels_are_drawn_from_the_probabilities(frame):
    probability = LOG.probability(frame)
    labels = frame["label"].to_numpy()
    assert labels.mean() == pytest.approx(LOG.click_rate, abs=0.02)
    for low in np.arange(0, 1, 0.1):
        rows = (probability >= low) & (probability < low + 0.1)
        error = np.sqrt(0.25 / rows.sum())
        assert labels[rows].mean() == pytest.approx(probability[rows].mean(), abs=4 * error)


def test_the_truth_does_not_depend_on_how_rows_are_given(frame, tmp_path):
    probability = LOG.probability(frame)
    part = frame[100:200].select(reversed(frame.columns)).drop("label")
    np.testing.assert_array_equal(SyntheticLog().probability(part), probability[100:200])
    LOG.write_csv(tmp_path / "log.csv", 500)
    written = LOG.probability(LOG.generate(500))
    read = pl.read_csv(tmp_path / "log.csv")
    np.testing.assert_array_equal(LOG.probability(read), written)
    texts = pl.read_csv(tmp_path / "log.csv", infer_schema=False)
    np.testing.assert_array_equal(LOG.probability(texts), written)


def test_seeds_and_streams():
    one, again = LOG.generate(300), SyntheticLog().generate(300)
    assert one.equals(again)
    other = LOG.generate(300, stream=1)
    assert not one.equals(other)
    stranger = SyntheticLog(seed=1)
    assert not one.equals(stranger.generate(300))
    assert not np.allclose(LOG.probability(one), stranger.probability(one))


def test_inference_gets_the_columns_right(frame):
    schema, warnings = infer_schema(frame, "label")
    assert warnings == []
    assert [(c.name, c.transform) for c in schema.dense] == [
        (f"I{i}", "log1p") for i in range(1, 5)
    ]
    assert [c.name for c in schema.categorical] == [f"C{i}" for i in range(1, 7)]


def test_a_linear_model_stays_far_from_the_truth(frame):
    numbers = np.log1p(frame.select(pl.col("^I.$").fill_null(0)).to_numpy()) / 3
    ids = OneHotEncoder(handle_unknown="ignore").fit_transform(
        frame.select(pl.col("^C.$")).to_numpy()
    )
    features, labels = hstack([numbers, ids]).tocsr(), frame["label"].to_numpy()
    train, test = slice(0, 16_000), slice(16_000, None)
    model = LogisticRegression(C=0.3, max_iter=300).fit(features[train], labels[train])
    base = log_loss(labels[test], np.full(4000, labels[train].mean()))
    linear = log_loss(labels[test], model.predict_proba(features[test])[:, 1])
    bayes = log_loss(labels[test], LOG.probability(frame)[test])
    assert bayes < linear < base
    assert linear - bayes > 0.5 * (base - bayes)


@pytest.mark.parametrize(("dense", "sparse"), [(0, 3), (2, 0), (1, 1)])
def test_few_columns(dense, sparse):
    log = SyntheticLog(n_dense=dense, n_sparse=sparse, vocabulary=5)
    frame = log.generate(2000)
    assert frame.width == 1 + dense + sparse
    assert frame["label"].mean() == pytest.approx(0.25, abs=0.06)
    assert log.generate(0).height == 0
    assert len(log.probability(frame.head(0))) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"n_dense": 0, "n_sparse": 0},
        {"vocabulary": ()},
        {"vocabulary": (3, 0)},
        {"click_rate": 0.0},
        {"missing": 1.0},
    ],
)
def test_bad_settings(options):
    with pytest.raises(ConfigError):
        SyntheticLog(**options)


def test_rows_of_another_log(frame):
    with pytest.raises(DataError, match="not rows of this synthetic log"):
        LOG.probability(frame.drop("C1"))
    with pytest.raises(DataError, match="'C1' is not from this"):
        LOG.probability(frame.with_columns(C1=pl.lit("c1_99999")))


def test_a_log_is_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("nasrec.data.synthetic.BLOCK_ROWS", 700)
    written = LOG.write_csv(tmp_path / "log.csv", 3000)
    frame = pl.read_csv(tmp_path / "log.csv")
    labels, p = frame["label"].to_numpy(), LOG.probability(frame)
    assert (written.rows, written.clicks) == (3000, labels.sum())
    assert written.log_loss == pytest.approx(log_loss(labels, p))
    assert written.entropy == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
    assert written.entropy == pytest.approx(written.log_loss, abs=0.03)
    assert frame[:700].equals(LOG.generate(700).cast(frame.schema))
    assert frame.n_unique() > 2900


def test_the_demonstrations_log_stays_as_it_is():
    """Figures in the README are of this log."""
    frame = LOG.generate(500, stream=1)
    assert frame["label"].sum() == 135
    assert LOG.probability(frame)[:3] == pytest.approx(
        [0.018958131536, 0.127443598407, 0.079386031659]
    )


def test_quads_are_not_seen_in_pairs_or_triples():
    log = SyntheticLog(first=0, pairs=0, triples=0, gates=0, quads=2.0, aligned=0.0, missing=0.0)
    frame = log.generate(20_000)
    p = log.probability(frame)
    assert p.std() > 0.1
    for names in (["C1"], ["C1", "C2"]):
        groups = frame.with_columns(p=p).group_by(names).agg(pl.col("p").mean(), pl.len())
        explained = np.cov(groups["p"], fweights=groups["len"])
        by_chance = groups.height / len(frame)
        assert explained < (0.05 + 1.5 * by_chance) * p.var()


def test_drift_turns_what_was_learnt(tmp_path):
    log = SyntheticLog(drift=2.0, pairs=0.0, gates=0.0, triples=0.0, first=0.1, missing=0.0)
    log.write_csv(tmp_path / "log.csv", 20_000)
    frame = pl.read_csv(tmp_path / "log.csv")
    assert frame["time"].is_sorted()
    assert frame["label"].mean() == pytest.approx(log.click_rate, abs=0.03)
    value = pl.col("C1") == "c1_0"
    rates = [
        part.filter(value)["label"].mean() - part.filter(~value)["label"].mean()
        for part in (frame[:4000], frame[-4000:])
    ]
    assert rates[0] * rates[1] < 0
    assert schema_roles(frame)["time"] == "timestamp"


def schema_roles(frame):
    return {c.name: c.role for c in infer_schema(frame, "label").schema.columns}
