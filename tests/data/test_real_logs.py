"""The real logs, where they are at hand (see CONTRIBUTING.md)."""

from __future__ import annotations

import pytest

from nasrec.data import PreparedData, prepare


def log(folder, *parts):
    path = folder.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    return path


def test_criteo_adkdd21(real_data, tmp_path):
    path = log(real_data, "criteo_adkdd21", "train.csv")
    data = prepare(path, tmp_path / "out", label="click", ignore=["sale"])
    assert (data.n_dense, data.n_sparse) == (0, 19)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [81947, 10243, 10244]
    assert data.train.click_rate == pytest.approx(0.0995, abs=1e-4)
    assert data.warnings == ()
    PreparedData.open(tmp_path / "out").check()


def test_criteo_adkdd21_with_its_leak(real_data, tmp_path):
    path = log(real_data, "criteo_adkdd21", "train.csv")
    (warning,) = prepare(path, tmp_path / "out", label="click").warnings
    assert "'sale' may leak the label" in warning


def test_criteo_kaggle(real_data, tmp_path):
    path = log(real_data, "criteo_kaggle", "train.txt")
    data = prepare(path, tmp_path / "out", format="criteo")
    assert (data.n_dense, data.n_sparse) == (13, 26)
    assert len(data.train) + len(data.valid) + len(data.test) == 19076
    assert data.test.click_rate == pytest.approx(0.237, abs=1e-3)
    assert 0 < data.train.dense.max() < 20


def test_avazu(real_data, tmp_path):
    path = log(real_data, "avazu", "train.csv")
    data = prepare(path, tmp_path / "out", label="click")
    roles = {column.name: column.role for column in data.schema.columns}
    assert roles.pop("id") == "ignore"
    assert roles.pop("click") == "label"
    assert set(roles.values()) == {"categorical"}
    assert (data.n_dense, data.n_sparse) == (0, 22)


def test_frappe_with_its_own_split(real_data, tmp_path):
    train, valid, test = (
        log(real_data, "frappe_x1", f"{s}.csv") for s in ("train", "valid", "test")
    )
    data = prepare(train, tmp_path / "out", label="label", valid=valid, test=test, min_count=1)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [202027, 57722, 28860]
    assert (data.n_dense, data.n_sparse) == (0, 10)
    # The ids that train has, and one unknown id for each of the ten columns.
    assert sum(data.vocabulary_sizes) == pytest.approx(5382 + 10, abs=20)
