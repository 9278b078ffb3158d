"""Scoring files: every format, any size, nothing lost, and one clear message for each fault."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from nasrec.data.formats import open_log
from nasrec.errors import ConfigError, DataError, NasrecError
from nasrec.serve import predict, reading
from nasrec.serve.reading import chunks
from tests.serve.models import LOG, model_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_of(tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="module")
def frame():
    return LOG.generate(700, stream=3).with_row_index("id")


def write(frame, file):
    if file.suffix == ".parquet":
        frame.write_parquet(file, row_group_size=100)
    else:
        frame.write_csv(file, separator="," if file.suffix == ".csv" else "\t")
    return file


def read(file):
    if file.suffix == ".parquet":
        return pl.read_parquet(file)
    return pl.read_csv(file, separator="," if file.suffix == ".csv" else "\t")


@pytest.mark.parametrize("into", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_files_keep_order_and_columns(tmp_path, monkeypatch, model, frame, kind, into):
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1000)
    expected = model.predict_proba(frame)
    out = tmp_path / f"out.{into}"
    told = predict(model, write(frame, tmp_path / f"in.{kind}"), out, keep=["id", "label"])
    found = read(out)
    assert found.columns == ["id", "label", "probability"]
    assert found["id"].cast(pl.Int64).to_list() == list(range(700))
    assert found["label"].cast(pl.Int64).to_list() == frame["label"].to_list()
    np.testing.assert_allclose(found["probability"].to_numpy(), expected, rtol=1e-6)
    assert told.rows == 700
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"in.{kind}", f"out.{into}"]


TEXT = (
    '\ufeff\n"a\nname",b\n1,x\n\n2,"two\nlines, and a comma"\r\n'
    '3,"a ""quoted"" one"\n\n\n4,\n5,last without a line end'
)


@pytest.mark.parametrize("size", [1, 7, 16, 40, 1000])
def test_a_pipe_gives_the_rows_of_the_file(tmp_path, monkeypatch, size):
    """Whatever the chunks, rows and their lines are those of a reader of the whole file."""
    monkeypatch.setattr(reading, "CHUNK_BYTES", size)
    (tmp_path / "f.csv").write_text(TEXT)
    whole = open_log(tmp_path / "f.csv").whole()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    parts = list(chunks("-", ["a\nname", "b"]))
    assert pl.concat([part.frame for part in parts]).equals(whole.frame)
    assert np.concatenate([part.lines for part in parts]).tolist() == whole.lines.tolist()


@pytest.mark.parametrize("size", [100, 10_000])
def test_a_fault_far_down_is_told_with_its_line(tmp_path, monkeypatch, model, frame, size):
    monkeypatch.setattr(reading, "CHUNK_BYTES", size)
    lines = write(frame, tmp_path / "f.csv").read_text().splitlines()
    cut = [*lines[:500], lines[500].rsplit(",", 2)[0], *lines[501:]]
    (tmp_path / "cut.csv").write_text("\n".join(cut))
    with pytest.raises(DataError, match=r"cut.csv, line 501: 5 fields where 7"):
        predict(model, tmp_path / "cut.csv")
    fields = lines[600].split(",")
    fields[2] = "many"
    (tmp_path / "bad.csv").write_text("\n".join([*lines[:600], ",".join(fields), *lines[601:]]))
    with pytest.raises(DataError, match=r"bad.csv, line 601, column 'I1': 'many'"):
        predict(model, tmp_path / "bad.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_fault_in_parquet_is_told_with_its_row(tmp_path, monkeypatch, model, frame):
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1000)
    texts = frame.with_columns(pl.when(pl.col("id") == 300).then(pl.lit("x")).otherwise(
        pl.col("I1").cast(pl.String)).alias("I1"))  # fmt: skip
    with pytest.raises(DataError, match="row 301, column 'I1'"):
        predict(model, write(texts, tmp_path / "f.parquet"))


def test_standard_input_to_standard_output(model, frame):
    command = [sys.executable, "-m", "nasrec", "predict", str(model.path), "-", "--keep", "id"]
    done = subprocess.run(command, input=frame.write_csv().encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    found = pl.read_csv(io.BytesIO(done.stdout))
    np.testing.assert_allclose(found["probability"], model.predict_proba(frame), rtol=1e-6)
    assert found["id"].to_list() == list(range(700))
    assert b"700 rows" in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Scoring 60 MB takes no more memory than 20 MB: what is kept is a few chunks."""
    model = model_of(tmp_path, "logreg")
    header, _, body = LOG.generate(3000).write_csv().partition("\n")
    code = (
        "import sys, resource, nasrec, torch; torch.set_num_threads(1); "
        "from nasrec.serve import reading; reading.CHUNK_BYTES = 2**21;"
        "nasrec.predict(*sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    env = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    peaks = []
    for megabytes in (20, 60):
        with (tmp_path / "in.csv").open("w") as file:
            file.write(header + "\n")
            for _ in range(megabytes * 1_000_000 // len(body)):
                file.write(body)
        args = [str(model.path), str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, env=env)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * 1024)
    assert peaks[1] - peaks[0] < 20_000_000


# -- drift --------------------------------------------------------------------------------------


def test_drift_counts_what_is_missing_and_unknown(model, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_BYTES", 500)
    frame = LOG.generate(100, stream=4).with_columns(
        pl.Series("C1", ["never seen"] * 40 + [None] * 25 + ["c1_0"] * 35),
        pl.Series("I1", [None] * 30 + [0] * 20 + [5] * 50),
    )
    for source in (frame, write(frame, tmp_path / "f.csv"), write(frame, tmp_path / "f.parquet")):
        told = {column.column: column for column in predict(model, source).drift}
        assert (told["C1"].unknown, told["C1"].missing) == (0.4, 0.25)
        assert told["C1"].notable
        assert told["I1"].missing == 0.3
        assert told["I1"].notable


def test_drift_of_the_training_rows_themselves_is_none(tmp_path):
    model = model_of(tmp_path)
    train = LOG.generate(300)
    told = predict(model, train).drift
    raw = {c: train[c].null_count() / 300 for c in train.columns}
    for column in told:
        assert column.missing == pytest.approx(raw[column.column])
        assert column.trained["missing"] is not None
        for name, then in column.trained.items():
            if then is not None:  # 240 of the 300 rows
                assert getattr(column, name) == pytest.approx(then, abs=0.05)
        assert not column.notable
        assert (column.shift is None) == (column.role == "categorical")


# -- bad input ----------------------------------------------------------------------------------


def fails(model, data, *words, out=None, **options):
    with pytest.raises(NasrecError) as error:
        predict(model, data, out, **options)
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)


def test_columns_missing_or_renamed(model, frame, tmp_path):
    renamed = frame.rename({"C2": "c2"})
    fails(model, renamed, "no column 'C2'", "did you mean 'c2'")
    for kind in ("csv", "parquet"):
        fails(model, write(renamed, tmp_path / f"f.{kind}"), "no column 'C2'", "'c2'", f"f.{kind}")
    fails(model, frame, "no column 'ids'", "'id'", keep=["ids"])


def test_columns_of_other_types(model, frame):
    fails(model, frame.with_columns(pl.lit("x").alias("I1")), "row 1, column 'I1'", "'x'")
    fails(model, frame.with_columns(pl.Series("I1", [[1.0]] * 700)), "column 'I1'", "List")
    fails(model, frame.with_columns(pl.Series("C1", [b"x"] * 700)), "column 'C1'", "Binary")
    whole = frame.with_columns(pl.col("I1").cast(pl.Float64))  # the same numbers
    np.testing.assert_array_equal(model.predict_proba(whole), model.predict_proba(frame))


def test_files_that_hold_nothing_or_not_all(model, frame, tmp_path):
    for kind in ("csv", "tsv", "parquet"):
        empty = tmp_path / f"empty.{kind}"
        empty.write_bytes(b"")
        fails(model, empty, "empty", str(empty))
    header = tmp_path / "header.csv"
    header.write_text(",".join(frame.columns) + "\n")
    fails(model, header, "only a header", str(header))
    fails(model, frame[:0], "no rows")
    fails(model, write(frame[:0], tmp_path / "none.parquet"), "no rows")
    whole = write(frame, tmp_path / "f.parquet").read_bytes()
    (tmp_path / "f.parquet").write_bytes(whole[: len(whole) // 2])
    fails(model, tmp_path / "f.parquet", "not a whole Parquet file")
    text = write(frame, tmp_path / "f.csv").read_text().rstrip("\n")
    (tmp_path / "f.csv").write_text(text.rsplit(",", 1)[0])  # ends in the middle of a row
    fails(model, tmp_path / "f.csv", "line 701", "truncated line")
    fails(model, tmp_path / "none.csv", "no such file")
    (tmp_path / "nothing").mkdir()
    fails(model, tmp_path / "nothing", "no files in the folder")
    (tmp_path / "f.xyz").write_text("")
    fails(model, tmp_path / "f.xyz", "extension")


def test_outputs_that_cannot_be(model, frame, tmp_path):
    fails(model, frame, "extension", out=tmp_path / "f.xyz")
    fails(model, frame, "'xml'", out=tmp_path / "f.csv", out_format="xml")
    fails(model, frame, "folder", out=tmp_path)
    fails(model, frame, "cannot write", out="/proc/none/f.csv")
    with pytest.raises(ConfigError, match="twice"):
        predict(model, frame, keep=["id", "id"])
    with pytest.raises(ConfigError, match="pipe"):
        predict(model, frame, "-", out_format="parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(model, frame, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    fails(model, frame, "cannot write", out=tmp_path / "closed/f.csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_disk_that_gets_full(model, tmp_path, kind):
    """A limit on file size stands for the full disk: the same call fails, with another number."""
    rows = write(LOG.generate(20_000), tmp_path / "in.parquet")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    out = tmp_path / f"out.{kind}"
    command = [sys.executable, "-m", "nasrec", "predict", str(model.path), str(rows), "--out"]
    done = subprocess.run([*command, str(out)], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "cannot write the predictions" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in.parquet"]


def test_a_full_standard_output(model, tmp_path):
    rows = write(LOG.generate(2_000), tmp_path / "in.csv")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nasrec", "predict", str(model.path), str(rows)],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
