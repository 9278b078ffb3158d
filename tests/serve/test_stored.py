"""Model folders written by earlier versions load and score as they did."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nasrec.errors import RunError
from nasrec.serve import calibrate, load_model, predict
from nasrec.serve.folder import READABLE, VERSION
from tests.serve.stored.make import LOG

STORED = sorted((Path(__file__).parent / "stored").glob("version-*"))


def test_every_version_since_the_first_with_calibration_is_stored():
    assert [folder.name for folder in STORED] == [f"version-{v}" for v in range(2, VERSION + 1)]
    assert set(READABLE) == set(range(2, VERSION + 1))


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_a_stored_model_scores_as_it_did(folder):
    model = load_model(folder / "model")
    again = model.logits(model.sample.dense, model.sample.sparse)
    np.testing.assert_allclose(again, model.sample.logits, atol=1e-4)
    scores = pl.read_csv(folder / "scores.csv")["probability"]
    found = predict(model, folder / "rows.csv")
    np.testing.assert_allclose(found.frame["probability"], scores, atol=1e-5)
    assert model.calibration.method == "platt"
    assert set(model.metrics) == {"valid", "test", "calibration"}
    assert set(model.trained.rates) == set(model.encoder.columns)
    told = {column.column: column for column in predict(model, folder / "rows.csv").drift}
    assert (told["I1"].shift is None) == (folder.name == "version-2")


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_a_calibrated_copy_knows_of_training_what_its_model_knew(folder, tmp_path):
    model = load_model(folder / "model")
    rows = LOG.generate(200, stream=2)
    assert calibrate(model, rows, tmp_path / "copy", method="platt").trained == model.trained


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd"])
def test_a_manifest_that_leads_outside_is_refused(tmp_path, name):
    shutil.copytree(STORED[-1] / "model", tmp_path / "model")
    file = tmp_path / "model/manifest.json"
    manifest = json.loads(file.read_text())
    manifest["files"][name] = {"bytes": 1, "sha256": "0"}
    file.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="manifest is damaged"):
        load_model(tmp_path / "model")


def test_opening_reads_neither_weights_nor_encoder_into_memory(tmp_path):
    model = load_model(STORED[-1] / "model")
    assert not {"network", "encoder", "sample"} & set(vars(model))


@pytest.mark.parametrize(("key", "words"), [("Flat", "operator Flat"), ("batch_norm", "BatchNorm")])
def test_parts_that_are_made_in_another_way_now_are_refused(tmp_path, key, words):
    folder = tmp_path / "model"
    shutil.copytree(STORED[1] / "model", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    name = "architecture.json" if key == "Flat" else "model.json"
    content = json.loads((folder / name).read_text())
    if key == "Flat":
        content["blocks"][0]["dense_ops"] = ["Flat"]
    else:
        content["options"][key] = True
    (folder / name).write_text(json.dumps(content))
    written = (folder / name).read_bytes()
    entry = {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}
    manifest["files"][name] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=f"{words}.*another way since format version 4"):
        load_model(folder)
