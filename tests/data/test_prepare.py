"""Preparing: train-only statistics, whole or nothing, the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from nasrec.data import Column, Encoder, Schema, prepare
from nasrec.data.hash import MISSING, hash_texts
from nasrec.data.info import info
from nasrec.errors import ConfigError, DataError
from tests.data.logs import DAYS, FRAME, LOG, ROWS, SCHEMA, contents, log_of, only


def test_statistics_are_of_train_alone(path, tmp_path):
    data = prepare(path, tmp_path / "out", label="label")
    texts = pl.read_csv(path, infer_schema=False)
    # Train rows by another way: by the features that the splits say they have.
    rows = {}
    for split in (data.train, data.valid, data.test):
        rows[split.name] = len(split)
        assert split.click_rate == pytest.approx(FRAME["label"].mean(), abs=0.02)
    assert rows == {"train": 480, "valid": 60, "test": 60}
    sparse = data.encoder.encode(texts)[1]
    stacked = np.concatenate([s.sparse for s in (data.train, data.valid, data.test)])
    assert sorted(map(tuple, stacked)) == sorted(map(tuple, sparse))
    for i, column in enumerate(data.schema.categorical):
        known = data.encoder.categorical[i].values
        counts = np.bincount(data.train.sparse[:, i], minlength=len(known) + 1)
        assert (counts[1:] >= column.min_count).all(), "every id is seen in train"
        assert (np.diff(counts[1:]) <= 0).all(), "ids by falling count"
    for i, column in enumerate(data.schema.dense):
        if column.transform == "standardize":
            assert data.train.dense[:, i].mean() == pytest.approx(0, abs=1e-5)


def test_frame_and_file_give_the_same_data(path, tmp_path):
    one = prepare(path, tmp_path / "one", label="label")
    two = prepare(FRAME, tmp_path / "two", label="label")
    FRAME.write_parquet(tmp_path / "log.parquet")
    FRAME.write_csv(tmp_path / "log.tsv", separator="\t")
    three = prepare(tmp_path / "log.parquet", tmp_path / "three", label="label")
    four = prepare(tmp_path / "log.tsv", tmp_path / "four", label="label")
    assert len({data.fingerprint for data in (one, two, three, four)}) == 1


SCRIPT = (
    "import sys; from nasrec.data import prepare; prepare(sys.argv[1], sys.argv[2], label='label')"
)


def test_same_bytes_in_another_process_with_other_threads(path, tmp_path):
    prepare(path, tmp_path / "one", label="label")
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "77"}
    arguments = [sys.executable, "-c", SCRIPT, str(path), str(tmp_path / "two")]
    subprocess.run(arguments, check=True, env=environment)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_seed_schema_and_rows_change_the_fingerprint(path, tmp_path):
    base = prepare(path, tmp_path / "base", label="label")
    others = {
        "seed": prepare(path, tmp_path / "seed", label="label", seed=1),
        "count": prepare(path, tmp_path / "count", label="label", min_count=9),
        "ignore": prepare(path, tmp_path / "ignore", label="label", ignore=["C1"]),
        "shares": prepare(path, tmp_path / "shares", label="label", fractions=(0.6, 0.2, 0.2)),
        "rows": prepare(FRAME.head(500), tmp_path / "rows", label="label"),
    }
    prints = {data.fingerprint for data in (base, *others.values())}
    assert len(prints) == len(others) + 1
    assert others["ignore"].n_sparse == 2
    assert len(others["shares"].valid) == pytest.approx(120, abs=1)


def test_edited_schema(path, tmp_path):
    first = prepare(path, tmp_path / "one", label="label")
    text = (tmp_path / "one" / "schema.yaml").read_text()
    edited = tmp_path / "mine.yaml"
    edited.write_text(text.replace("log1p", "none"))
    second = prepare(path, tmp_path / "two", schema=edited)
    assert second.fingerprint != first.fingerprint
    assert {column.transform for column in second.schema.dense} == {"none"}
    same = prepare(path, tmp_path / "three", schema=first.schema)
    assert same.fingerprint == first.fingerprint
    with pytest.raises(DataError, match="the label is to be 'C1', and the schema says 'label'"):
        prepare(path, tmp_path / "four", schema=edited, label="C1")
    wrong = Schema.load(edited)
    columns = tuple(
        c.model_copy(update={"name": "C99"}) if c.name == "C2" else c for c in wrong.columns
    )
    with pytest.raises(DataError, match="no column 'C99'"):
        prepare(path, tmp_path / "four", schema=Schema(columns=columns))


@pytest.mark.parametrize("given", [("valid",), ("test",), ("valid", "test")])
def test_splits_given_as_files(path, tmp_path, given):
    sources = {name: LOG.generate(50 + i, stream=i) for i, name in enumerate(given, start=1)}
    files = {}
    for name, frame in sources.items():
        files[name] = tmp_path / f"{name}.csv"
        frame.select(reversed(frame.columns)).write_csv(files[name])
    data = prepare(path, tmp_path / "out", label="label", **files)
    for name, frame in sources.items():
        split = getattr(data, name)
        assert np.array_equal(split.labels, frame["label"].to_numpy())
        assert np.array_equal(split.sparse, data.encoder.encode(frame)[1])
    drawn = {"valid", "test"} - set(given)
    assert info(data)["split"]["kind"] == ("random" if drawn else "files")
    for name in drawn:
        assert len(getattr(data, name)) == pytest.approx(600 * 0.1 / 0.9, abs=1)
    total = len(data.train) + sum(len(getattr(data, name)) for name in drawn)
    assert total == 600
    alone = Encoder.fit(FRAME, data.schema)
    if not drawn:
        assert alone.dense == data.encoder.dense
        assert alone.categorical == data.encoder.categorical


def test_errors_in_given_files_name_them(path, tmp_path):
    wrong = tmp_path / "test.csv"
    LOG.generate(50).drop("C2").write_csv(wrong)
    with pytest.raises(DataError, match=r"test\.csv: there is no column 'C2'"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    wrong.write_text(wrong.read_text().replace("label", "lable"))
    with pytest.raises(DataError, match=r"(?s)test\.csv: there is no column 'label'.*'lable'"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    LOG.generate(50).with_columns(label=0).write_csv(wrong)
    with pytest.raises(DataError, match=r"test\.csv, column 'label': only one class"):
        prepare(path, tmp_path / "out", label="label", test=wrong)
    assert not (tmp_path / "out").exists()


def test_value_that_is_not_a_number(path, tmp_path):
    schema = prepare(path, tmp_path / "good", label="label").schema
    lines = path.read_text().splitlines()
    fields = lines[7].split(",")
    fields[1] = "oops"
    lines[7] = ",".join(fields)
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "out", schema=schema)
    assert caught.value.where == f"{path}, line 8, column 'I1'"
    assert "'oops'" in caught.value.what
    assert "schema" in caught.value.mend


def test_column_that_is_all_missing(tmp_path):
    frame = FRAME.with_columns(I1=None)
    with pytest.raises(DataError, match=r"(?s)column 'I1': every value is missing.*--ignore I1"):
        prepare(frame, tmp_path / "out", label="label")
    schema = prepare(FRAME, tmp_path / "good", label="label").schema
    with pytest.raises(DataError, match="column 'I1': every value is missing"):
        prepare(frame, tmp_path / "out", schema=schema)
    assert prepare(frame, tmp_path / "out", label="label", ignore=["I1"]).n_dense == 1


def test_missing_only_in_test_is_ordinary(tmp_path):
    test = LOG.generate(50, stream=1).with_columns(C1=pl.lit(None, pl.String), I1=None)
    data = prepare(FRAME, tmp_path / "out", label="label", test=test)
    assert len(set(data.test.sparse[:, 0])) == 1
    assert not data.test.dense[:, 0].any()


def test_too_few_clicks_for_three_parts(tmp_path):
    frame = pl.DataFrame({"label": [1, 1] + [0] * 30, "c": ["a", "b"] * 16})
    with pytest.raises(DataError, match="data frame, split valid: only one class"):
        prepare(frame, tmp_path / "out", label="label")
    assert only(tmp_path) == []


def test_leaks_are_kept_as_warnings(tmp_path):
    sale = (FRAME["label"].to_numpy() * (np.arange(600) % 3 == 0)).astype(int)
    data = prepare(FRAME.with_columns(sale=pl.Series(sale)), tmp_path / "out", label="label")
    assert len(data.warnings) == 1
    assert "'sale' may leak" in data.warnings[0]


@pytest.mark.parametrize(
    "options", [{"fractions": (0.8, 0.3, 0.1)}, {"seed": -1}, {"min_count": 0}]
)
def test_bad_settings(path, tmp_path, options):
    with pytest.raises(ConfigError):
        prepare(path, tmp_path / "out", label="label", **options)
    assert only(tmp_path) == ["log.csv"]


def test_the_same_preparation_is_reused(path, tmp_path):
    first = prepare(path, tmp_path / "out", label="label")
    before = (tmp_path / "out" / "manifest.json").stat()
    again = prepare(path, tmp_path / "out", label="label")
    after = (tmp_path / "out" / "manifest.json").stat()
    assert again.fingerprint == first.fingerprint
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("what", ["empty", "file", "other", "seed", "rows", "link"])
def test_an_existing_folder_is_not_touched(path, tmp_path, what):
    out = tmp_path / "out"
    options = {"label": "label"}
    if what == "file":
        out.write_text("mine")
    elif what == "link":
        out.symlink_to(tmp_path / "nowhere")
    elif what in ("seed", "rows"):
        prepare(path, out, **options)
        if what == "seed":
            options["seed"] = 1
        else:
            path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    else:
        out.mkdir()
        if what == "other":
            (out / "thesis.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(DataError, match="the output folder exists and holds") as caught:
        prepare(path, out, **options)
    assert caught.value.where == str(out)
    assert contents(out) == before
    assert only(tmp_path) == ["log.csv", "out"]


def test_a_damaged_preparation_is_not_reused(path, tmp_path):
    prepare(path, tmp_path / "out", label="label")
    file = tmp_path / "out" / "train" / "00000.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"00000\.npy: the file is damaged"):
        prepare(path, tmp_path / "out", label="label")


def test_groups_are_kept_for_every_split(tmp_path):
    columns = [c for c in SCHEMA.columns if c.name not in ("day", "tags")]
    schema = Schema(columns=(*columns, Column(name="day", role="group")))
    rows = [*ROWS, "1,2,a,,1,", "0,2,a,,1,"]
    log = log_of(tmp_path / "log.csv", rows)
    data = prepare(log, tmp_path / "out", schema=schema, split=DAYS)
    data.check()
    days = hash_texts(pl.Series(["mon", "tue", "wed", None], dtype=pl.String))
    assert data.train.groups.tolist() == [*[days[0]] * 2, *[days[3]] * 2]
    assert data.valid.groups.tolist() == [days[1]] * 2
    assert data.test.groups.tolist() == [days[2]] * 2
    assert days[3] == MISSING


def test_a_split_by_group_keeps_groups_together(tmp_path):
    rows = [f"{i % 3 % 2},{i % 5},a,g{i % 20}" for i in range(400)]
    (tmp_path / "log.csv").write_text("\n".join(["label,x,c,g", *rows]) + "\n")
    schema = Schema(columns=(*SCHEMA.columns[:3], Column(name="g", role="group")))
    data = prepare(tmp_path / "log.csv", tmp_path / "out", schema=schema, split="group")
    parts = [set(split.groups.tolist()) for split in (data.train, data.valid, data.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 20


def test_roles_can_be_named(tmp_path):
    rows = [f"{i % 3 % 2},{i % 5},a,{i % 20},{20240101 + i % 9},{i % 7}" for i in range(400)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["label,x,stamp,user,when,w", *rows]).replace("a,", "2024-01-01,"))
    roles = {"group": "user", "timestamp": "when", "weight": "w"}
    data = prepare(log, tmp_path / "out", label="label", split="group:0.6,0.2,0.2", **roles)
    assert {c.name: c.role for c in data.schema.columns} == {
        **{"label": "label", "x": "categorical", "stamp": "ignore"},
        **{name: role for role, name in roles.items()},
    }
    assert len(np.unique(data.train.groups)) < 20
    assert set(data.train.weights.tolist()) == set(map(float, range(7)))
    again = prepare(log, tmp_path / "out", label="label", split="group:0.6,0.2,0.2", **roles)
    assert again.fingerprint == data.fingerprint
    schema = tmp_path / "out" / "schema.yaml"
    data = prepare(log, tmp_path / "other", schema=schema, group="w")
    assert (data.schema.group.name, data.schema.weight) == ("w", None)
    for wrong in ({"group": "label"}, {"group": "w", "weight": "w"}):
        with pytest.raises(ConfigError, match="is named as"):
            prepare(log, tmp_path / "wrong", label="label", **wrong)
    with pytest.raises(DataError, match="no column 'none'"):
        prepare(log, tmp_path / "wrong", label="label", group="none")


def test_groups_do_not_hide_repeated_rows(tmp_path):
    rows = [f"{i % 2},{i % 5},a,g{i}" for i in range(60)]
    for name, role in (("without", "ignore"), ("with", "group")):
        (tmp_path / name).write_text("\n".join(["label,x,c,g", *rows]) + "\n")
        schema = Schema(columns=(*SCHEMA.columns[:3], Column(name="g", role=role)), format="csv")
        data = prepare(tmp_path / name, tmp_path / f"{name}-out", schema=schema)
        assert any("same" in text or "repeat" in text for text in data.warnings), data.warnings


def test_weights_and_several_values(tmp_path):
    data = prepare(log_of(tmp_path / "log.csv", ROWS), tmp_path / "out", schema=SCHEMA, split=DAYS)
    assert data.slots == (1, 3)
    assert data.vocabulary_sizes == (7, 3)
    train, valid, test = (split.rows(0, 9) for split in (data.train, data.valid, data.test))
    assert train.weights.tolist() == [1, 2]
    assert valid.weights.tolist() == [3.5, 0]
    assert train.dense[:, 0].tolist() == [-1, 1]
    assert test.dense[:, 0].tolist() == [1, 0]
    assert train.sparse[:, 1:].tolist() == [[1, 2, -1], [1, -1, -1]]
    assert valid.sparse[:, 1:].tolist() == [[0, -1, -1], [2, 0, 1]], "a missing list is one value"
    assert test.sparse[:, 1:].tolist() == [[1, 2, 2], [2, -1, -1]]
    assert train.sparse[1, 0] == 0, "a missing hashed value"
    new = pl.read_csv(tmp_path / "log.csv", infer_schema=False)
    dense, sparse = data.encoder.encode(new)
    every = [split.rows(0, 9) for split in (data.train, data.valid, data.test)]
    assert np.array_equal(sparse, np.concatenate([batch.sparse for batch in every]))
    assert np.array_equal(dense, np.concatenate([batch.dense for batch in every]))
    lists = new.with_columns(pl.col("tags").str.split("|"))
    assert np.array_equal(data.encoder.encode(lists)[1], sparse)
    data.check()


@pytest.mark.slow
def test_caps_and_a_value_of_a_megabyte(tmp_path):
    values = ["x" * (1 << 20)] * 6 + ["b"] * 9 + ["a"] * 9 + ["c"] * 12
    frame = pl.DataFrame({"label": [0, 1, 0, 1, 0, 1] * 6, "c": values})
    column = Column(name="c", role="categorical", cap=2)
    schema = Schema(columns=(Column(name="label", role="label"), column))
    data = prepare(frame, tmp_path / "out", schema=schema)
    assert data.vocabulary_sizes == (3,)
    longer = Schema(columns=(schema.columns[0], column.model_copy(update={"cap": None})))
    other = prepare(frame, tmp_path / "longer", schema=longer)
    assert max(map(len, other.encoder.categorical[0].values)) == 1 << 20


def test_missing_numbers_are_counted_whatever_the_transform(tmp_path):
    transforms = ("log1p", "standardize", "none")
    numbers = [None, 0.0, 3.0, None, 7.0] * 20
    frame = pl.DataFrame({"click": [0, 1] * 50, **dict.fromkeys(transforms, numbers)})
    columns = [Column(name=name, role="dense", transform=name) for name in transforms]
    schema = Schema(columns=(Column(name="click", role="label"), *columns))
    data = prepare(frame, tmp_path / "data", schema=schema)
    shares = data.manifest["missing"]
    assert len(set(shares.values())) == 1, shares
    assert shares["log1p"] == pytest.approx(0.4, abs=0.1)
    assert np.isfinite(data.train.dense).all()
