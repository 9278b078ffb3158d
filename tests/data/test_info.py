"""`nasrec data info` and `nasrec data check`, and what `nasrec prepare` prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nasrec.cli import app
from nasrec.data import SyntheticLog

RUNNER = CliRunner()
LOG = SyntheticLog(n_dense=1, n_sparse=2, vocabulary=(4, 9))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two files with a bad line, prepared through the command line."""
    path = tmp_path_factory.mktemp("info")
    for i in range(2):
        LOG.write_csv(path / f"day{i}.csv", 200, stream=i)
    with (path / "day1.csv").open("a") as file:
        file.write("1,2\n")
    options = "--label label --bad-rows quarantine --split random:0.5,0.3,0.2 --memory 1"
    days = [str(path / f"day{i}.csv") for i in range(2)]
    done = RUNNER.invoke(app, ["prepare", *days, "--out", str(path / "data"), *options.split()])
    assert done.exit_code == 0, done.output
    assert "1 bad row is left out" in done.stderr
    assert "day1.csv, line 202: 2 fields where 4 are expected" in done.stderr
    assert "nasrec data info" in done.stdout
    return path / "data"


def test_info_shows_what_there_is(folder):
    done = RUNNER.invoke(app, ["data", "info", str(folder)])
    assert done.exit_code == 0, done.output
    for part in (
        "format version 3",
        "train        200 rows, click rate 0.2",
        "split        random (fractions [0.5, 0.3, 0.2], seed 0)",
        "data         400 rows of day0.csv, day1.csv",
        "I1     dense, log1p",
        "categorical, 6 ids by vocabulary",
        "bad rows     1 left out",
        "bytes a row",
    ):
        assert part in done.stdout, done.stdout
    found = json.loads(RUNNER.invoke(app, ["data", "info", str(folder), "--json"]).stdout)
    assert found["splits"]["valid"]["rows"] == 120
    assert [column["role"] for column in found["columns"]] == ["label", "dense"] + [
        "categorical"
    ] * 2
    assert found["bytes"] == sum(
        file.stat().st_size for file in folder.rglob("*") if file.is_file()
    ) - len((folder / "manifest.json").read_bytes())


def test_check_says_whole_or_which_file(folder):
    done = RUNNER.invoke(app, ["data", "check", str(folder)])
    assert done.exit_code == 0, done.output
    assert "is whole: 400 rows" in done.stdout
    file = folder / "test" / "00000.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\x07")
    done = RUNNER.invoke(app, ["data", "check", str(folder), "--json"])
    file.write_bytes(content)
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["where"] == str(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bad-rows", "ignore"], "bad rows: 'ignore'"),
        (["--memory", "0.1"], "too little"),
        (["--split", "sometimes"], "not a split"),
        (["--protocol", "movielens"], "no protocol 'movielens'"),
        (["--protocol", "criteo-paper"], "40 are expected"),
    ],
)
def test_settings_that_are_wrong(folder, tmp_path, options, message):
    log = folder.parent / "day0.csv"
    arguments = ["prepare", str(log), "--label", "label", "--out", str(tmp_path / "out"), *options]
    done = RUNNER.invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
