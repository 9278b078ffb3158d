"""The commands around a trained model: what they print, and what they say of bad input."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import nasrec
from nasrec.data.dataset import sha256_of_file
from tests.serve.models import LOG, model_of
from tests.test_cli import invoke, object_of, refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its data, and rows to score."""
    folder = tmp_path_factory.mktemp("serving")
    model_of(folder)
    LOG.generate(200, stream=5).with_row_index("id").write_csv(folder / "rows.csv")
    return folder


@pytest.mark.parametrize("command", ["predict", "calibrate", "export", "bench", "explain"])
def test_every_help_has_an_example_and_json(command):
    done = invoke(command, "--help")
    assert done.exit_code == 0
    assert "--json" in done.stdout
    assert f"Example: nasrec {command}" in " ".join(done.stdout.split())


def test_predict(folder, tmp_path):
    out = tmp_path / "scores.tsv"
    told = object_of("predict", folder / "model", folder / "rows.csv", "--out", out, "--keep", "id")
    assert told["rows"] == 200
    assert set(told["seconds"]) == {"read", "encode", "score", "write"}
    assert {column["column"] for column in told["drift"]} == {"I1", "I2", "C1", "C2", "C3"}
    found = pl.read_csv(out, separator="\t")
    assert found.columns == ["id", "probability"]
    model = nasrec.load(folder / "model")
    np.testing.assert_allclose(
        found["probability"], model.predict_proba(folder / "rows.csv"), rtol=1e-6
    )
    done = invoke("predict", folder / "model", folder / "rows.csv")
    assert done.stdout == (pl.read_csv(out, separator="\t").drop("id").write_csv())
    assert "rows/s" in done.stderr


def test_calibrate_evaluate_explain(folder, tmp_path):
    out = tmp_path / "calibrated"
    args = [folder / "model", folder / "data", "--out", out, "--method", "platt"]
    assert object_of("calibrate", *args)["method"] == "platt"
    found = object_of("evaluate", out, folder / "data")
    assert {"logloss", "auc", "rows", "ece", "bias", "normalized_entropy"} <= set(found)
    assert found["grouped_auc"] is None
    text = invoke("evaluate", out, folder / "data").stdout
    assert "calibration error" in text
    told = object_of("explain", out, folder / "data")
    assert len(told["importance"]) == 5
    assert [way["kind"] for way in told["reach"]] == ["numeric", "categorical"]
    text = invoke("explain", out, folder / "rows.csv", "--rows", 50).stdout
    assert "on 50 rows" in text
    assert "logit" in invoke("explain", out).stdout


def test_export_and_bench(folder, tmp_path):
    told = object_of("export", folder / "model", "--to", "torch", "--out", tmp_path / "e")
    assert told["largest_difference"] < 1e-5
    assert told["rows"] == 30
    args = ["bench", folder / "model", "--batch", "1,8", "--seconds", 0.01, "--runtime", "torch"]
    assert [t["batch"] for t in object_of(*args)["timings"]] == [1, 8]
    assert "p99" in invoke(*args).stdout


# -- bad input ----------------------------------------------------------------------------------


def predict_refused(folder, rows, *more):
    before = set(rows.parent.iterdir())
    message = refused("predict", folder / "model", rows, "--out", rows.parent / "scores.csv", *more)
    assert set(rows.parent.iterdir()) == before
    return message


def test_rows_that_cannot_be_scored(folder, tmp_path):
    rows, good = tmp_path / "rows.csv", (folder / "rows.csv").read_text()
    rows.write_text(good.replace("C2", "c2", 1))
    assert "did you mean 'c2'" in predict_refused(folder, rows)
    pl.read_csv(folder / "rows.csv").drop("I1").write_csv(rows)
    assert "no column 'I1'" in predict_refused(folder, rows)
    pl.read_csv(folder / "rows.csv").with_columns(I1=pl.lit("many")).write_csv(rows)
    assert "line 2, column 'I1'" in predict_refused(folder, rows)
    rows.write_text("")
    assert "empty" in predict_refused(folder, rows)
    rows.write_text(good.rstrip("\n").rsplit(",", 2)[0])
    assert "line 201" in predict_refused(folder, rows)
    rows.write_text(good)
    assert "did you mean 'id'" in predict_refused(folder, rows, "--keep", "idd")
    assert "extension" in refused("predict", folder / "model", rows, "--out", tmp_path / "x.doc")
    assert "--out FILE" in refused("predict", folder / "model", rows)
    assert "no such file" in predict_refused(folder, tmp_path / "none.csv")
    assert "no such folder" in refused("predict", tmp_path / "none", rows, "--out", "x.csv")


def damaged(folder, tmp_path, change):
    """A copy of the model with other weights, under a manifest that matches them."""
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    file = model / "weights.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"][file.name] = {"bytes": file.stat().st_size, "sha256": sha256_of_file(file)}
    (model / "manifest.json").write_text(json.dumps(manifest))
    return model


@pytest.mark.parametrize("command", ["predict", "export", "bench", "explain"])
def test_weights_that_do_not_fit(folder, tmp_path, command):
    rows = folder / "rows.csv"
    more = {
        "predict": [rows, "--out", tmp_path / "scores.csv"],
        "export": ["--out", tmp_path / "e", "--to", "torch", "--rows", rows],
        "bench": ["--runtime", "torch"],
        "explain": [rows],
    }[command]
    model = damaged(folder, tmp_path, lambda tensors: tensors.pop("head.bias"))
    assert "'head.bias'" in refused(command, model, *more)
    shutil.rmtree(model)
    model = damaged(folder, tmp_path, lambda t: t.update({"head.bias": np.zeros(2, np.float32)}))
    assert "shape (2,)" in refused(command, model, *more)
    content = bytearray((model / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "weights.safetensors").write_bytes(content)
    assert "checksum" in refused(command, model, *more)
    assert not (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "e").exists()


def test_a_newer_model(folder, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    manifest = (model / "manifest.json").read_text()
    (model / "manifest.json").write_text(manifest.replace("nasrec-model/4", "nasrec-model/9"))
    for command in ("predict", "evaluate", "calibrate"):
        out = [] if command == "evaluate" else ["--out", tmp_path / "out.csv"]
        assert "version 9" in refused(command, model, folder / "rows.csv", *out)
    assert "version 9" in refused("export", model, "--out", tmp_path / "e")


def test_settings_that_cannot_be(folder, tmp_path, monkeypatch):
    model, data = folder / "model", folder / "data"
    out = ["--out", tmp_path / "out"]
    assert "'beta'" in refused("calibrate", model, data, *out, "--method", "beta")
    assert "negative rate" in refused("calibrate", model, data, *out, "--negative-rate", 2)
    assert "'tflite'" in refused("export", model, *out, "--to", "tflite")
    assert "'1,x'" in refused("bench", model, "--batch", "1,x", "--runtime", "torch")
    assert "'tpu'" in refused("bench", model, "--runtime", "tpu")
    assert "no column 'label'" in refused("explain", model, tmp_path_without_label(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "nasrec[onnx]" in refused("export", model, *out)
    assert not (tmp_path / "out").exists()


def tmp_path_without_label(tmp_path):
    LOG.generate(20).drop("label").write_csv(tmp_path / "unlabelled.csv")
    return tmp_path / "unlabelled.csv"


@pytest.mark.parametrize("command", ["calibrate", "export"])
def test_a_place_that_cannot_be_written(folder, command):
    args = [folder / "data"] if command == "calibrate" else ["--to", "torch"]
    assert "cannot write" in refused(command, folder / "model", *args, "--out", "/proc/none/out")
