"""Exports: every model, in the other runtime, beside an encoder that needs numpy only."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Encoder, Schema, SyntheticLog
from nasrec.data.schema import Column
from nasrec.errors import ConfigError, NasrecError, RunError
from nasrec.nn import BASELINES
from nasrec.serve import calibrate, load_model, reference_encoder
from nasrec.serve import export as export_module
from nasrec.serve.bench import bench, timing_table
from nasrec.serve.export import export, exported_encoder, load_program
from tests.serve.models import LOG, model_of

onnx = pytest.importorskip("onnx", reason="needs nasrec[onnx]")

#: Each takes a second or two; the other hand-made models wait for the slow tests.
FAST = {"nasrec", "logreg", "mlp", "blend"}
MODELS = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
    for name in ("nasrec", "every operator", "blend", *BASELINES)
]


@pytest.mark.parametrize("to", ["onnx", "torch"])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_exports(tmp_path, name, to):
    model = model_of(tmp_path, name)
    made = export(model, tmp_path / "out", to=to)
    assert made.difference < 1e-5
    frame = LOG.generate(23, stream=8)
    dense, sparse = model.encoder.encode(frame)
    run = load_program(tmp_path / "out" / export_module.TARGETS[to], to)
    for rows in (1, 2, 23):  # the number of rows is free
        logit, probability = run(dense[:rows], sparse[:rows].astype(np.int64))
        assert logit.shape == probability.shape == (rows,)
        np.testing.assert_allclose(probability, model.predict_proba(frame)[:rows], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("log", [SyntheticLog(3, 0), SyntheticLog(0, 3)], ids=["dense", "ids"])
@pytest.mark.parametrize("name", ["nasrec", "every operator", *BASELINES])
def test_logs_with_one_kind_of_column(tmp_path, name, log):
    model = model_of(tmp_path, name, log)
    assert export(model, tmp_path / "out").difference < 1e-5


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_calibration_is_within(tmp_path, method):
    model_of(tmp_path, "logreg")
    model = calibrate(
        load_model(tmp_path / "model"), tmp_path / "data", tmp_path / "c", method=method,
        negative_rate=0.4,
    )  # fmt: skip
    rows = tmp_path / "rows.csv"
    LOG.generate(50, stream=4).write_csv(rows)
    made = export(model, tmp_path / "out", rows=rows)
    assert (made.rows, made.difference < 1e-5) == (50, True)
    run = load_program(tmp_path / "out/model.onnx", "onnx")
    dense, sparse = model.encoder.encode(pl.read_csv(rows))
    _, probability = run(dense, sparse.astype(np.int64))
    np.testing.assert_allclose(probability, model.predict_proba(rows), atol=1e-5)


def test_large_tensors_go_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "ONNX_LIMIT", 1000)
    made = export(model_of(tmp_path, "mlp"), tmp_path / "out")
    assert made.external
    assert (tmp_path / "out/model.onnx.data").stat().st_size > 1000
    (tmp_path / "out").rename(tmp_path / "moved")
    load_program(tmp_path / "moved/model.onnx", "onnx")


@pytest.mark.slow
def test_a_program_that_differs_is_not_kept(tmp_path, monkeypatch):
    model = model_of(tmp_path, "logreg")
    true = export_module.load_program

    def wrong(path, to, threads=None):
        run = true(path, to, threads)

        def shifted(dense, sparse):
            logit, probability = run(dense, sparse)
            return logit, probability + np.where(np.arange(len(logit)) == 5, 2e-4, 0)

        return shifted

    monkeypatch.setattr(export_module, "load_program", wrong)
    with pytest.raises(RunError, match=r"differs .* by 2.0.e-04"):
        export(model, tmp_path / "out")
    monkeypatch.setattr(
        export_module, "load_program", lambda *_: lambda d, s: (d[:, 0] * np.nan,) * 2
    )
    with pytest.raises(RunError, match=r"differs .* by inf"):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_faults_are_told(tmp_path, monkeypatch):
    model = model_of(tmp_path, "logreg")
    with pytest.raises(ConfigError, match="'tflite'"):
        export(model, tmp_path / "out", to="tflite")
    with pytest.raises(RunError, match="exists already"):
        export(model, tmp_path / "data")
    with pytest.raises(NasrecError, match="cannot write"):
        export(model, "/proc/none/out")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"onnxruntime\n.*pip install 'nasrec\[onnx\]'"):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- the encoder --------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_exported_folder_is_all_that_a_service_needs(tmp_path):
    """Raw rows to probabilities in a process that has neither torch nor this library."""
    model = model_of(tmp_path)
    export(model, tmp_path / "out")
    frame = LOG.generate(60, stream=5).drop("label")
    (tmp_path / "rows.json").write_text(json.dumps(frame.to_dict(as_series=False)))
    code = """
import json, sys
import numpy as np, onnxruntime
from encoder import Encoder
dense, sparse = Encoder("encoder.json").encode(json.load(open("../rows.json")))
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
_, probability = session.run(None, {"dense": dense, "sparse": sparse})
assert not {"nasrec", "torch", "polars"} & set(sys.modules)
sample = np.load("sample.npz")
_, again = session.run(None, {"dense": sample["dense"], "sparse": sample["sparse"]})
assert abs(again - sample["probability"]).max() < 1e-5
print(json.dumps(probability.tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), model.predict_proba(frame), atol=1e-5)


def test_the_reference_encoder_is_short_and_needs_numpy_only():
    text = Path(reference_encoder.__file__).read_text()
    assert len(text.splitlines()) < 180
    imports = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    allowed = ("__future__", "collections", "typing", "json", "math", "numpy", "re")
    assert all(line.split()[1].startswith(allowed) for line in imports)


TEXTS = st.one_of(
    st.none(), st.sampled_from(["", " ", "a", "B", "null", "NA", "é", "1", "1.0", "01", "a b"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
)  # fmt: skip
FLOATS = st.one_of(
    st.none(),
    st.floats(-1e30, 1e30),
    st.integers(-(2**60), 2**60).map(float),
    st.just(float("nan")),
)
NUMBER_TEXTS = st.one_of(
    st.none(), st.sampled_from(["", " 7 ", "NaN", "n/a", "NULL", "-1.5e3", "+2", ".5", "0"]),
    st.floats(-1e9, 1e9).map(str), st.integers(-(10**9), 10**9).map(str),
)  # fmt: skip
COLUMNS = {
    "texts": (TEXTS, pl.String), "floats": (FLOATS, pl.Float64),
    "integers": (st.one_of(st.none(), st.integers(-(2**62), 2**62)), pl.Int64),
    "booleans": (st.one_of(st.none(), st.booleans()), pl.Boolean),
}  # fmt: skip


def schema_of(**column):
    return Schema(columns=(Column(name="y", role="label"), Column(**column)))


def reference(encoder: Encoder, path):
    text = json.dumps(exported_encoder(encoder), ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return reference_encoder.Encoder(str(path))


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", COLUMNS)
def test_categories_encode_equally(tmp_path_factory, kind, data):
    values, dtype = COLUMNS[kind]
    known = data.draw(st.lists(values, min_size=1, max_size=20))
    new = known + data.draw(st.lists(values, max_size=20))
    schema = schema_of(name="c", role="categorical", min_count=1)
    encoder = Encoder.fit(pl.DataFrame({"c": pl.Series(known, dtype=dtype)}), schema)
    _, ours = encoder.encode(pl.DataFrame({"c": pl.Series(new, dtype=dtype)}))
    path = tmp_path_factory.getbasetemp() / "encoder.json"
    _, theirs = reference(encoder, path).encode({"c": new})
    np.testing.assert_array_equal(theirs, ours)


SPELT = st.one_of(
    TEXTS, st.integers(-(2**70), 2**70).map(str), st.integers(0, 2**40).map("{:x}".format),
    st.sampled_from(["+7", "-ff", "1_0", "0x1f", " 5", "FF", "-0"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(SPELT, min_size=1, max_size=30))
@pytest.mark.parametrize("kind", ["text", "decimal", "hex"])
def test_hashed_categories_encode_equally(tmp_path_factory, kind, values):
    schema = schema_of(name="c", role="categorical", hash_size=97, hash_as=kind)
    frame = pl.DataFrame({"c": pl.Series(values, dtype=pl.String)})
    encoder = Encoder.fit(frame, schema)
    path = tmp_path_factory.getbasetemp() / "encoder.json"
    _, theirs = reference(encoder, path).encode({"c": values})
    np.testing.assert_array_equal(theirs, encoder.encode(frame)[1])


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("options", [{"min_count": 1}, {"hash_size": 50}], ids=["known", "hashed"])
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "separated"])
def test_columns_of_several_values_encode_equally(tmp_path_factory, options, lists, data):
    one = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
    several = st.lists(st.one_of(st.none(), one) if lists else one, max_size=5)
    values = data.draw(st.lists(st.one_of(st.none(), several), min_size=1, max_size=20))
    column = {"name": "c", "role": "categorical", "max_values": 3, **options}
    if not lists:
        values = [None if value is None else ";".join(value) for value in values]
        column["separator"] = ";"
    schema = schema_of(**column)
    dtype = pl.List(pl.String) if lists else pl.String
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    encoder = Encoder.fit(frame, schema)
    path = tmp_path_factory.getbasetemp() / "encoder.json"
    _, theirs = reference(encoder, path).encode({"c": values})
    np.testing.assert_array_equal(theirs, encoder.encode(frame)[1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(NUMBER_TEXTS, min_size=1, max_size=20),
    st.sampled_from(["log1p", "standardize", "none"]),
)
def test_numbers_encode_equally(tmp_path_factory, values, transform):
    schema = schema_of(name="x", role="dense", transform=transform)
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.String)})
    encoder = Encoder.fit(frame, schema)
    ours, _ = encoder.encode(frame)
    path = tmp_path_factory.getbasetemp() / "encoder.json"
    theirs, _ = reference(encoder, path).encode({"x": values})
    np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wrong", ["seven", "1_000", "inf", "0x10"])
def test_what_is_no_number_is_refused_by_both(tmp_path, wrong):
    schema = schema_of(name="x", role="dense")
    encoder = Encoder.fit(pl.DataFrame({"x": ["1", "2"]}), schema)
    with pytest.raises(NasrecError):
        encoder.encode(pl.DataFrame({"x": [wrong]}))
    with pytest.raises(ValueError):
        reference(encoder, tmp_path / "encoder.json").encode({"x": [wrong]})


# -- bench --------------------------------------------------------------------------------------


def test_bench_times_both_runtimes(tmp_path):
    model = model_of(tmp_path, "mlp")
    timings = bench(model, batches=[1, 400], seconds=0.01)
    assert [(t.runtime, t.batch) for t in timings] == [
        ("torch", 1), ("torch", 400), ("onnx", 1), ("onnx", 400),
    ]  # fmt: skip
    for timing in timings:
        assert timing.calls >= 20
        assert 0 < timing.p50 <= timing.p99
        mean = timing.batch / timing.rows_per_second * 1000
        assert timing.p50 / 5 < mean
    assert len(timing_table(timings).splitlines()) == 5
    for wrong in ({"runtimes": ["tpu"]}, {"batches": [0]}, {"seconds": 0}):
        with pytest.raises(ConfigError):
            bench(model, **wrong)
