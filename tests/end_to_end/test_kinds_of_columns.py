"""Columns of every kind at once, from the log to every way out: a weight, a group, hashed ids, ids
of a vocabulary, several values in a row."""

from __future__ import annotations

import importlib.util

import numpy as np
import polars as pl
import pytest
import yaml

import nasrec
from nasrec.data import Column, PreparedData, Schema
from tests.end_to_end.tiny import SETTINGS
from tests.test_cli import object_of

pytestmark = pytest.mark.slow

SCHEMA = Schema(
    columns=(
        Column(name="click", role="label"),
        Column(name="price", role="dense", transform="log1p"),
        Column(name="user", role="group"),
        Column(name="item", role="categorical", hash_size=50, hash_as="text"),
        Column(name="tags", role="categorical", min_count=2, separator="|", max_values=3),
        Column(name="words", role="categorical", hash_size=30, separator=" ", max_values=2),
        Column(name="shop", role="categorical", min_count=2),
        Column(name="weight", role="weight"),
        Column(name="part", role="ignore"),
    )
)


def log_of(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(4)
    good = rng.integers(0, 40, rows)
    tags = ["|".join(f"t{t}" for t in rng.integers(0, 9, n)) for n in rng.integers(0, 5, rows)]
    words = [" ".join(f"w{w}" for w in rng.integers(0, 99, n)) for n in rng.integers(0, 4, rows)]
    return pl.DataFrame(
        {
            "click": (rng.random(rows) < 0.1 + 0.6 * (good % 3 == 0)).astype(int),
            "price": rng.lognormal(2, 1, rows).round(2),
            "user": rng.integers(0, 60, rows),
            "item": [f"item {i}" for i in good],
            "tags": pl.Series(tags).replace("", None),
            "words": pl.Series(words).replace("", None),
            "shop": pl.Series([f"s{i}" for i in rng.integers(0, 6, rows)]),
            "weight": rng.choice([0.5, 1.0, 3.0], rows),
            "part": rng.choice(["train", "valid", "test"], rows, p=[0.6, 0.2, 0.2]),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log, prepared, and a model trained on it."""
    folder = tmp_path_factory.mktemp("kinds")
    frame = log_of(1200)
    frame.write_csv(folder / "log.csv")
    frame.filter(pl.col("part") == "test").write_csv(folder / "test.csv")
    SCHEMA.save(folder / "schema.yaml")
    split = ["--split", "column:part:valid:test"]
    object_of(
        *("prepare", folder / "log.csv", "--schema", folder / "schema.yaml", *split),
        *("--out", folder / "data"),
    )
    object_of(
        *("train", folder / "data", "--arch", "published:criteo-small", "--space", "small"),
        *("--epochs", 1, "--batch-size", 128, "--out", folder / "model"),
    )
    return folder


def test_raw_and_prepared_rows_score_the_same(folder):
    raw = object_of("evaluate", folder / "model", folder / "test.csv")
    prepared = object_of("evaluate", folder / "model", folder / "data")
    for name in ("rows", "logloss", "auc", "grouped_auc"):
        assert raw[name] == pytest.approx(prepared[name], rel=1e-5), name
    assert PreparedData.open(folder / "data").slots == (1, 3, 2, 1)
    new = pl.read_csv(folder / "test.csv").drop("click", "weight", "part", "user").reverse()
    new.write_csv(folder / "new.csv")
    told = object_of(
        "predict", folder / "model", folder / "new.csv", "--out", folder / "scores.csv"
    )
    assert told["rows"] == prepared["rows"]
    scores = pl.read_csv(folder / "scores.csv")["probability"]
    found = nasrec.load(folder / "model").predict_proba(folder / "test.csv")
    np.testing.assert_allclose(scores.reverse(), found, rtol=1e-5)


@pytest.mark.parametrize("to", ["torch", "onnx"])
def test_exports_agree(folder, to):
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="needs nasrec[onnx]")
    out = folder / to
    told = object_of("export", folder / "model", "--to", to, "--out", out)
    assert told["largest_difference"] < 1e-5
    timed = object_of(
        *("bench", folder / "model", "--batch", "1,8", "--seconds", 0.01, "--runtime", to),
    )
    assert [t["batch"] for t in timed["timings"]] == [1, 8]
    spec = importlib.util.spec_from_file_location("exported_encoder", out / "encoder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = pl.read_csv(folder / "test.csv", infer_schema=False)
    dense, sparse = module.Encoder(out / "encoder.json").encode(rows.to_dict(as_series=False))
    ours = nasrec.load(folder / "model").encoder.encode(rows)
    np.testing.assert_array_equal(sparse, ours[1])
    np.testing.assert_allclose(dense, ours[0], rtol=1e-6)


def test_calibration_and_explanation(folder):
    out = folder / "calibrated"
    object_of("calibrate", folder / "model", folder / "data", "--method", "platt", "--out", out)
    raw = object_of("evaluate", out, folder / "test.csv")
    assert raw["logloss"] == pytest.approx(
        object_of("evaluate", out, folder / "data")["logloss"], rel=1e-5
    )
    told = object_of("explain", out, folder / "test.csv")
    names = {entry["column"] for entry in told["importance"]}
    assert names == {"price", "item", "tags", "words", "shop"}


def test_a_search(folder):
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    told = object_of(
        *("search", folder / "data", "--out", folder / "run", "--threads", 1),
        *("--config", folder / "settings.yaml"),
    )
    assert told["leaderboard"]
    found = object_of("evaluate", folder / "run" / "model", folder / "test.csv")
    assert found["rows"] == pl.read_csv(folder / "test.csv").height
