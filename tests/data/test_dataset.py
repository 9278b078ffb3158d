"""Prepared folders: batches, resuming, and every kind of damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Batch, PreparedData, SyntheticLog, prepare, store
from nasrec.data import dataset as module
from nasrec.errors import ConfigError, DataError

ROWS = 1003


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare(SyntheticLog(n_dense=2, n_sparse=3).generate(ROWS), out, label="label")
    return out


@pytest.fixture(scope="module")
def data(folder) -> PreparedData:
    return PreparedData.open(folder)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def join(batches) -> Batch:
    columns = zip(*batches, strict=True)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


def same(a: Batch, b: Batch) -> bool:
    return all(
        x is y if x is None or y is None else torch.equal(x, y) for x, y in zip(a, b, strict=True)
    )


def test_shapes_and_types(data):
    assert (data.n_dense, data.n_sparse) == (2, 3)
    assert len(data.train) + len(data.valid) + len(data.test) == ROWS
    batch = next(data.train.batches(64, shuffle_seed=1))
    assert [tuple(x.shape) for x in batch[:3]] == [(64, 2), (64, 3), (64,)]
    assert [x.dtype for x in batch[:3]] == [torch.float32, torch.int32, torch.float32]
    assert batch.weights is None
    split = data.train
    assert (split.dense.dtype, split.sparse.dtype) == (np.float32, np.int32)
    records = split.records(0, 9)
    assert not records.flags.writeable
    assert {records.dtype[f"id{i}"] for i in range(3)} == {np.dtype("u1")}, "the smallest type"
    assert records.dtype.itemsize == 12
    assert split.click_rate == pytest.approx(float(split.labels.mean()))
    assert (split.sparse.max(axis=0) < np.array(data.vocabulary_sizes)).all()
    assert len(data.fingerprint) == 64


def test_batches_are_copies(data):
    before = data.train.dense[:4].copy()
    for batch in (data.train.rows(0, 4), data.train.take(np.arange(4))):
        batch.dense.fill_(7)
        batch.labels.fill_(7)
    assert np.array_equal(data.train.dense[:4], before)


def test_rows_take_and_batches_agree(data):
    split = data.valid
    whole = split.rows(0, len(split))
    assert np.array_equal(whole.dense.numpy(), split.dense)
    assert same(split.take(np.arange(len(split))), whole)
    assert same(join(split.batches(7)), whole)
    assert same(split.rows(len(split) - 2, len(split) + 9), split.rows(len(split) - 2, len(split)))
    order = np.array([3, 0, 3])
    assert np.array_equal(split.take(order).sparse.numpy(), split.sparse[order])


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 120),
    seed=st.one_of(st.none(), st.integers(0, 5)),
    drop_last=st.booleans(),
    share=st.floats(0, 1.2),
)
def test_resuming_gives_the_rest(data, size, seed, drop_last, share):
    split = data.test
    options = {"shuffle_seed": seed, "drop_last": drop_last}
    whole = list(split.batches(size, **options))
    assert len(whole) == split.n_batches(size, drop_last)
    assert all(len(batch.labels) == size for batch in whole[: len(whole) if drop_last else -1])
    start = int(share * len(whole))
    rest = list(split.batches(size, start=start, **options))
    assert len(rest) == max(len(whole) - start, 0)
    assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_shuffling_is_a_permutation_by_seed(data):
    n = len(data.train)
    keys = np.arange(n, dtype=np.float32)
    split = module.Split("train", data.train.dense, data.train.sparse, keys, 0.5)
    orders = [join(split.batches(50, shuffle_seed=seed)).labels.numpy() for seed in (1, 1, 2)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert np.array_equal(np.sort(orders[0]), keys)
    assert abs(np.corrcoef(orders[0], keys)[0, 1]) < 0.2
    expected = np.random.Generator(np.random.PCG64(1)).permutation(n)
    assert np.array_equal(orders[0], expected)
    assert np.array_equal(
        join(split.batches(50, shuffle_seed=1)).sparse.numpy(), split.sparse[expected]
    )


def test_batch_size_below_one(data):
    with pytest.raises(ConfigError, match="batch size 0"):
        next(data.train.batches(0))


@pytest.mark.parametrize("kept", ["x", "c"])
def test_features_of_one_kind_only(tmp_path, kept):
    values = {"x": np.linspace(0, 1, 60), "c": ["a", "b"] * 30}[kept]
    frame = pl.DataFrame({"label": [0, 1, 1] * 20, kept: values})
    data = prepare(frame, tmp_path / "out", label="label")
    batch = next(data.train.batches(8, shuffle_seed=0))
    assert (data.n_dense, data.n_sparse) == ((1, 0) if kept == "x" else (0, 1))
    assert tuple(batch.dense.shape) == (8, data.n_dense)
    assert tuple(batch.sparse.shape) == (8, data.n_sparse)
    assert batch.sparse.dtype == torch.int32
    data.check()


def test_check_accepts_a_good_folder(data):
    data.check()


@pytest.mark.parametrize("missing", ["folder", "manifest", "file"])
def test_not_a_prepared_folder(tmp_path, missing):
    path = tmp_path / "data"
    if missing == "file":
        path.write_text("x")
    if missing == "manifest":
        path.mkdir()
    with pytest.raises(DataError, match=r"(?s)not a prepared folder.*nasrec prepare"):
        PreparedData.open(path)


FILES = ["schema.yaml", "encoder.parquet", *(f"{s}/00000.npy" for s in ("train", "valid", "test"))]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone"])
def test_a_damaged_file_is_named(copy, name, damage):
    path = copy / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "cut":
        content = content[:-3]
    elif damage == "longer":
        content += b"x"
    path.write_bytes(content)
    if damage == "gone":
        path.unlink()
    with pytest.raises(DataError) as caught:
        PreparedData.open(copy)
    assert caught.value.where == str(path)
    assert ("missing" if damage == "gone" else "damaged") in caught.value.what
    assert "prepare the data again" in caught.value.mend


def test_large_data_is_verified_by_check(copy, monkeypatch):
    monkeypatch.setattr(module, "CHECK_AT_OPEN", 0)
    path = copy / "train" / "00000.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    opened = PreparedData.open(copy)
    with pytest.raises(DataError, match=r"00000\.npy: the file is damaged: its checksum"):
        opened.check()


def rewrite_manifest(folder: Path, **changes) -> None:
    manifest = store.read_manifest(folder) | changes
    store.write_manifest(folder, manifest)


def test_check_finds_ids_out_of_range(copy):
    rewrite_manifest(copy, vocabulary_sizes=[2, 2, 2])
    with pytest.raises(DataError, match=r"00000\.npy: an id is outside its vocabulary"):
        PreparedData.open(copy).check()


def test_arrays_that_do_not_fit_the_manifest(copy):
    rewrite_manifest(copy, n_dense=3)
    with pytest.raises(DataError, match=r"00000\.npy: the array is \["):
        PreparedData.open(copy).train.rows(0, 1)


@pytest.mark.parametrize("version", [0, 1, 4, "2", None])
def test_another_version(copy, version):
    rewrite_manifest(copy, version=version)
    with pytest.raises(DataError, match=r"manifest\.json: the folder has version"):
        PreparedData.open(copy)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "", "cannot be read"),
        (lambda text: "[1]", "not a JSON object"),
        (lambda text: "{}", "not the manifest"),
        (lambda text: text.replace('"n_dense": 2', '"n_dense": 1'), "checksum"),
        (lambda text: json.dumps({**json.loads(text), "seed": 9}), "checksum"),
    ],
)
def test_a_damaged_manifest(copy, edit, message):
    path = copy / "manifest.json"
    path.write_text(edit(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        PreparedData.open(copy)
    assert caught.value.where == str(path)
