"""Model folders written by earlier versions load and score as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nasrec.errors import RunError
from nasrec.serve import Calibration, calibrate, load_model, predict
from nasrec.serve.folder import READABLE, VERSION
from tests.serve.models import LOG, model_of

STORED = sorted((Path(__file__).parent / "stored").glob("version-*"))


def test_every_version_since_the_first_with_calibration_is_stored():
    assert [folder.name for folder in STORED] == [f"version-{v}" for v in range(2, VERSION + 1)]
    assert set(READABLE) == set(range(1, VERSION + 1))


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
    assert set(model.trained_rates) == set(model.encoder.columns)


def test_a_folder_of_version_1_still_scores(tmp_path):
    """Version 1 had neither calibration nor sample nor statistics."""
    model = model_of(tmp_path, "logreg")
    expected = model.predict_proba(LOG.generate(10))
    folder = tmp_path / "model"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("calibration.json", "statistics.json", "sample.safetensors"):
        (folder / name).unlink()
        manifest["files"].pop(name)
    manifest["format"] = "nasrec-model/1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = load_model(folder)
    np.testing.assert_array_equal(old.predict_proba(LOG.generate(10)), expected)
    assert old.calibration == Calibration()
    assert all(not column.notable for column in predict(old, LOG.generate(10)).drift)
    with pytest.raises(RunError, match="version 1"):
        calibrate(old, tmp_path / "data", tmp_path / "c")
    with pytest.raises(RunError, match="--rows"):
        old.encoded(None, 5)
    assert len(old.encoded(LOG.generate(10), 5).logits) == 5


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
