"""From real click logs to a service without this library; see CONTRIBUTING.md for the data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import nasrec
from nasrec.data.formats import open_log
from nasrec.pipeline import Reporter
from nasrec.serve import predict, reading, reference_encoder
from nasrec.serve.export import export, load_program
from nasrec.train import TrainConfig

LOGS = {
    "criteo": ("criteo_kaggle/train.txt", {"format": "criteo"}),
    "frappe": ("frappe_x1/test.csv", {"label": "label"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOGS)
def test_raw_rows_score_equally_by_every_way(real_data, tmp_path, monkeypatch, name):
    pytest.importorskip("onnxruntime", reason="needs nasrec[onnx]")
    file, options = LOGS[name]
    log = real_data / file
    data = nasrec.prepare(log, tmp_path / "data", **options)
    config = TrainConfig(epochs=1, learning_rate=0.05)
    quiet = Reporter(quiet=True)
    model = nasrec.train(data, "mlp", tmp_path / "model", config=config, reporter=quiet)
    expected = model.predict_proba(log)

    monkeypatch.setattr(reading, "CHUNK_BYTES", 100_000)
    predict(model, log, tmp_path / "scores.parquet")
    streamed = pl.read_parquet(tmp_path / "scores.parquet")["probability"].to_numpy()
    np.testing.assert_allclose(streamed, expected, atol=1e-6)

    export(model, tmp_path / "out", rows=log)
    frame = open_log(log, options.get("format")).whole().frame[:3000]
    encoder = reference_encoder.Encoder(str(tmp_path / "out/encoder.json"))
    dense, sparse = encoder.encode(frame.to_dict(as_series=False))
    ours = model.encoder.encode(frame)
    np.testing.assert_allclose(dense, ours[0], rtol=1e-6)
    np.testing.assert_array_equal(sparse, ours[1])
    _, probability = load_program(tmp_path / "out/model.onnx", "onnx")(dense, sparse)
    np.testing.assert_allclose(probability, expected[:3000], atol=1e-5)
