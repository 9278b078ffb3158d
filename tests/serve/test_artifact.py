"""The model folder: what goes in comes out, and nothing damaged is taken for whole."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from nasrec.data import prepare
from nasrec.data.dataset import sha256_of_file
from nasrec.errors import DataError, RunError
from nasrec.nn import BASELINES
from nasrec.serve import load_model
from nasrec.train import evaluate, predict_logits
from tests.serve.models import LOG, prepared, saved, spec_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("d"))


@pytest.mark.parametrize("name", ["nasrec", *BASELINES])
def test_a_loaded_model_scores_raw_rows_as_the_trained_one(tmp_path, data, name):
    network = saved(tmp_path / "model", data, name)
    model = load_model(tmp_path / "model")
    frame = LOG.generate(300)
    probabilities = model.predict_proba(frame.drop("label"))
    dense, sparse = data.encoder.encode(frame)
    with torch.no_grad():
        logits = network(torch.from_numpy(dense), torch.from_numpy(sparse.astype(np.int64)))
    np.testing.assert_allclose(probabilities, torch.sigmoid(logits).numpy(), atol=1e-6)
    assert model.spec == spec_of(name, data)
    assert (model.architecture is None) == (name != "nasrec")
    assert model.fingerprint == data.fingerprint
    found = model.metrics["test"]
    unknown = dict.fromkeys(("auc", "ece", "bias", "grouped_auc", "normalized_entropy"))
    assert found == {"logloss": 0.6, "rows": 30, **unknown}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_files_score_like_frames(tmp_path, data, suffix):
    saved(tmp_path / "model", data)
    model, frame, file = load_model(tmp_path / "model"), LOG.generate(50), tmp_path / f"f.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file, separator="," if suffix == "csv" else "\t")
    np.testing.assert_array_equal(model.predict_proba(file), model.predict_proba(frame))
    assert model.evaluate(file) == model.evaluate(frame)


def test_evaluate_on_the_prepared_folder_is_that_of_training(tmp_path, data):
    network = saved(tmp_path / "model", data)
    model = load_model(tmp_path / "model")
    assert model.evaluate(data.path, "valid") == evaluate(network, data.valid)
    assert len(predict_logits(model.network, data.test)) == len(data.test)
    with pytest.raises(DataError, match="no split 'tests'"):
        model.evaluate(data.path, "tests")


def test_data_of_another_encoder_are_refused(tmp_path, data):
    saved(tmp_path / "model", data)
    other = prepare(LOG.generate(200, stream=1), tmp_path / "other", label="label")
    with pytest.raises(DataError, match="another encoder"):
        load_model(tmp_path / "model").evaluate(other.path)


def test_rows_that_do_not_fit_are_told_with_their_place(tmp_path, data):
    saved(tmp_path / "model", data)
    model, frame = load_model(tmp_path / "model"), LOG.generate(5)
    with pytest.raises(DataError, match="no column 'C2'"):
        model.predict_proba(frame.drop("C2"))
    with pytest.raises(DataError, match="row 1, column 'I1'"):
        model.predict_proba(frame.with_columns(pl.lit("x").alias("I1")))


def test_nothing_is_overwritten(tmp_path, data):
    saved(tmp_path / "model", data)
    with pytest.raises(RunError, match="exists already"):
        saved(tmp_path / "model", data)


# -- damage -------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path, data):
    saved(tmp_path / "model", data)
    return tmp_path / "model"


def refused(path, *words: str) -> None:
    with pytest.raises(RunError) as error:
        load_model(path).network  # noqa: B018
    for word in words:
        assert word in str(error.value)


def edit_manifest(model, **changes):
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def rewrite_weights(model, change):
    """Other weights under a manifest that matches them, as another program might write."""
    tensors = load_file(model / "weights.safetensors")
    change(tensors)
    save_file(tensors, model / "weights.safetensors")
    manifest = json.loads((model / "manifest.json").read_text())
    entry = manifest["files"]["weights.safetensors"]
    entry["bytes"] = (model / "weights.safetensors").stat().st_size
    entry["sha256"] = sha256_of_file(model / "weights.safetensors")
    (model / "manifest.json").write_text(json.dumps(manifest))


def test_no_folder(tmp_path):
    refused(tmp_path / "none", "no such folder")


def test_not_a_model_folder(tmp_path):
    refused(tmp_path, "not a model folder", "no manifest.json")


def test_the_run_folder_instead_of_its_model(model):
    refused(model.parent, str(model))


def test_another_format(model):
    edit_manifest(model, format="other/1")
    refused(model, "'other/1'")


def test_a_newer_version(model):
    edit_manifest(model, format="nasrec-model/5", versions={"nasrec": "9.9"})
    refused(model, "format version 5", "reads version 2, 3, 4", "9.9")


@pytest.mark.parametrize(
    "name", ["encoder.parquet", "schema.yaml", "weights.safetensors", "architecture.json"]
)
def test_a_missing_file(model, name):
    (model / name).unlink()
    refused(model, name, "missing")


@pytest.mark.parametrize("name", ["encoder.parquet", "weights.safetensors", "metrics.json"])
def test_a_flipped_byte(model, name):
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    refused(model, name, "checksum")


def test_a_damaged_manifest(model):
    (model / "manifest.json").write_text('{"format": "nasrec-mod')
    refused(model, "manifest.json", "cannot be read")


def test_a_manifest_that_leaves_files_out(model):
    edit_manifest(model, files={})
    refused(model, "does not list")


def test_a_missing_tensor(model):
    rewrite_weights(model, lambda tensors: tensors.pop("head.bias"))
    refused(model, "head.bias", "missing", "weights.safetensors")


def test_an_unknown_tensor(model):
    rewrite_weights(model, lambda tensors: tensors.update(extra=torch.zeros(1)))
    refused(model, "'extra'")


def test_a_tensor_of_another_shape(model):
    rewrite_weights(model, lambda tensors: tensors.update({"head.bias": torch.zeros(2)}))
    refused(model, "head.bias", "(2,)", "(1,)")


def test_no_part_of_the_folder_is_a_pickle(model):
    names = {file.suffix for file in model.iterdir()}
    assert names == {".json", ".yaml", ".safetensors", ".parquet"}
    shutil.copytree(model, model.parent / "copy")
    assert load_model(model.parent / "copy").architecture is not None
