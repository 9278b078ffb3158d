"""The command line: what it prints, and one clear message for each kind of bad input."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from nasrec.cli import app
from nasrec.nn import BASELINES
from nasrec.space import PUBLISHED
from tests.end_to_end.tiny import LOG, contents, write_log

RUNNER = CliRunner()


def invoke(*args: object):
    return RUNNER.invoke(app, [str(arg) for arg in args])


def object_of(*args: object) -> dict:
    """The one JSON object that a command prints."""
    done = invoke(*args, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def refused(*args: object, code: int = 2) -> str:
    """The message of a command that must fail, by itself and in JSON."""
    done = invoke(*args, "--json")
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    error = json.loads(done.stdout)["error"]
    assert error["message"] in done.stderr
    assert done.stderr.count("Error:") == 1
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log, a tiny finished search, and its settings."""
    folder = tmp_path_factory.mktemp("cli")
    before = torch.get_num_threads()
    write_log(folder)
    done = invoke(*search_args(folder, folder / "run"), "--baselines", "logreg")
    assert done.exit_code == 0, done.output
    yield folder
    torch.set_num_threads(before)


def search_args(folder, out, log=None):
    log = log or folder / "log.csv"
    config = folder / "settings.yaml"
    return ["search", log, "--label", "label", "--out", out, "--config", config, "--threads", 1]


# -- starting -----------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from nasrec.cli import app; from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'polars', 'sklearn', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


COMMANDS = [
    ["search"], ["prepare"], ["train"], ["evaluate"], ["demo"], ["report"],
    ["models"], ["compare"], ["front"], ["take"],
    ["arch", "show"], ["arch", "sample"], ["arch", "cost"], ["space", "count"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_json(command):
    done = invoke(*command, "--help")
    assert done.exit_code == 0
    assert "--json" in done.stdout
    assert f"Example: nasrec {' '.join(command)}" in " ".join(done.stdout.split())


def test_a_mistyped_command_gets_a_suggestion():
    done = invoke("serach")
    assert done.exit_code == 2
    assert "'search'" in done.stderr


def test_ctrl_c_says_how_to_go_on(monkeypatch, folder, tmp_path):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["nasrec.pipeline"], "search", stopped)
    done = invoke(*search_args(folder, tmp_path / "run"))
    assert done.exit_code == 130
    assert "same command again" in done.stderr


# -- commands that do well ----------------------------------------------------------------------


def test_search(folder):
    found = object_of(*search_args(folder, folder / "run"), "--baselines", "logreg")
    assert {"test_logloss", "test_auc", "architecture", "model", "leaderboard"} <= set(found)
    assert [set(row) >= {"name", "valid_logloss", "test_logloss"} for row in found["leaderboard"]]
    assert found["model"] == str(folder / "run/model")


def test_report(folder, tmp_path):
    found = object_of("report", folder / "run", "--out", tmp_path / "r.html")
    assert found["finished"]
    assert found["report"] == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert "not a run folder" in refused("report", tmp_path)
    assert "this is a folder" in refused("report", folder / "run", "--out", tmp_path)


def test_prepare_train_evaluate(folder, tmp_path):
    told = object_of("prepare", folder / "log.csv", "--label", "label", "--out", tmp_path / "data")
    assert told["rows"] == {"train": 1200, "valid": 150, "test": 150}
    object_of("arch", "sample", "--space", "small", "--out", tmp_path / "arch.json")
    for source, options in (
        (tmp_path / "data", ["--arch", tmp_path / "arch.json", "--space", "small"]),
        (folder / "log.csv", ["--label", "label", "--model", "logreg", "--epochs", 2]),
    ):
        out = tmp_path / f"model-{len(options)}"
        trained = object_of("train", source, *options, "--out", out)
        measured = object_of("evaluate", out, tmp_path / "data")
        assert measured["rows"] == 150
        assert math.isclose(measured["logloss"], trained["test_logloss"], abs_tol=1e-6)
    assert "log loss" in invoke("evaluate", out, folder / "log.csv").stdout


def test_evaluate_on_one_class_only_is_told(folder, tmp_path):
    LOG.generate(50).with_columns(pl.lit(0).alias("label")).write_csv(tmp_path / "zeros.csv")
    assert "only one class" in refused("evaluate", folder / "run/model", tmp_path / "zeros.csv")


def test_arch_cost_of_the_published_one():
    args = ["arch", "cost", "published:criteo-full", "--dense", 13, "--sparse", 26]
    found = object_of(*args)
    assert (found["weights"], found["live_weights"]) == (2222291, 752131)
    assert found["live_blocks"] == [1, 2, 3, 7]
    assert 0 < found["live_madds"] < found["madds"]
    found = object_of(*args, "--no-layer-norm")
    assert (found["weights"], found["live_weights"]) == (2217268, 749764)


def test_arch_show_and_sample():
    shown = object_of("arch", "show", "published:criteo-full")
    assert len(shown["blocks"]) == 7
    text = invoke("arch", "show", "published:criteo-full").stdout
    assert "1, 2, 3, 7 reach the logit" in text
    assert "never reaches the logit" in text
    assert object_of("arch", "sample", "--seed", 1) == object_of("arch", "sample", "--seed", 1)
    assert object_of("arch", "sample", "--seed", 1) != object_of("arch", "sample", "--seed", 2)


def test_arch_show_as_svg(tmp_path):
    args = ["arch", "show", "published:criteo-full", "--svg"]
    drawn = invoke(*args).stdout
    assert drawn.startswith("<svg ")
    invoke(*args, "--out", tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == drawn
    assert "exists already" in refused(*args, "--out", tmp_path / "a.svg")
    assert "--svg" in refused(*args[:-1], "--out", tmp_path / "b.svg")


def test_models():
    told = object_of("models")
    assert (told["dense"], told["sparse"]) == (13, 26)
    models = {m["name"]: m for m in told["models"]}
    published = [f"published:{name}" for name in PUBLISHED]
    assert list(models) == [*BASELINES, *published, "lightgbm"]
    assert (models["dcn-v2"]["title"], models["logreg"]["weights"]) == ("DCN-V2", 14)
    assert models["published:criteo-full"]["weights"] == 752_131
    width = 13 + 26 * 16
    perceptron = width * 400 + 400 * 400 + 400
    assert models["mlp"] == {
        "name": "mlp", "title": "MLP", "paper": BASELINES["mlp"].paper,
        "weights": perceptron + 801, "madds": perceptron,
    }  # fmt: skip
    small = object_of("models", "--dense", 0, "--sparse", 3, "--embedding-dim", 4)["models"]
    assert small[1]["madds"] == 12 * 400 + 400 * 400 + 400
    shown = invoke("models").stdout
    assert all(m["name"] in shown and m["paper"] in shown for m in told["models"])
    assert "at least one dense or categorical" in refused("models", "--dense", 0, "--sparse", 0)


def test_space_count():
    full, small = object_of("space", "count", "full"), object_of("space", "count", "small")
    assert full["paper_count"] == 15**7 * small["paper_count"]
    assert full["rules"]


# -- bad input ----------------------------------------------------------------------------------

GOOD = "label,x,c\n" + "".join(f"{i % 2},{i * 7 % 50}.5,{'ab'[i % 3 > 0]}\n" for i in range(60))

BAD_LOGS = {
    "empty": (b"", ["empty"]),
    "header only": (b"label,x,c\n", ["rows"]),
    "wrong label": (GOOD.replace("label", "clicked", 1).encode(), ["'label'"]),
    "label not 0/1": (GOOD.replace("\n1,", "\n2,", 1).encode(), ["line 3", "0 or 1"]),
    "one class": (GOOD.replace("\n1,", "\n0,").encode(), ["one class"]),
    "column all missing": (
        "\n".join(f"{line},{'empty' if i == 0 else ''}" for i, line in
                  enumerate(GOOD.splitlines())).encode(),
        ["'empty'", "missing"],
    ),
    "truncated line": (GOOD.encode() + b"1,2", ["line 62"]),
    "invalid UTF-8": (GOOD.encode().replace(b",b\n", b",\xff\n", 1), ["UTF-8", "line"]),
}  # fmt: skip


@pytest.mark.parametrize("command", ["search", "prepare"])
@pytest.mark.parametrize("kind", BAD_LOGS)
def test_a_bad_log(tmp_path, kind, command):
    content, words = BAD_LOGS[kind]
    log = tmp_path / "log.csv"
    log.write_bytes(content)
    message = refused(command, log, "--label", "label", "--out", tmp_path / "out")
    assert str(log) in message
    for word in words:
        assert word in message
    assert set(contents(tmp_path)) == {"log.csv"}
    assert not (tmp_path / "out").exists()


def test_a_missing_file(tmp_path):
    log = tmp_path / "none.csv"
    message = refused("search", log, "--label", "label", "--out", tmp_path / "out")
    assert str(log) in message
    assert "no such file" in message
    assert not contents(tmp_path)


def test_a_text_in_a_numeric_column(tmp_path):
    (tmp_path / "log.csv").write_text(GOOD)
    data = tmp_path / "data"
    object_of("prepare", tmp_path / "log.csv", "--label", "label", "--out", data)
    (tmp_path / "bad.csv").write_text(GOOD.replace(",7.5,", ",seven,", 1))
    message = refused(
        "search", tmp_path / "bad.csv", "--schema", data / "schema.yaml", "--out", tmp_path / "out"
    )
    assert "line 3, column 'x'" in message
    assert "'seven'" in message


def test_a_damaged_shard(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder / "run/data", data)
    shard = data / "train/00000.npy"
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    assert str(shard) in refused("search", data, "--out", tmp_path / "run")
    shard.write_bytes(content[:-100])
    assert str(shard) in refused("search", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def unfinished(folder, tmp_path):
    """A copy of the run that stopped in the middle of its search."""
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    for name in ("ranking.json",):
        (run / "search" / name).unlink()
    return run


def test_a_journal_cut_in_its_last_line_goes_on(folder, tmp_path):
    run = unfinished(folder, tmp_path)
    journal = run / "search/journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_bytes(journal.read_bytes()[:-20])
    done = invoke(*search_args(folder, run), "--baselines", "logreg")
    assert done.exit_code == 0, done.output
    assert "cut short" in done.stderr
    assert len(journal.read_text().splitlines()) == len(lines)
    ranking = (folder / "run/search/ranking.json").read_text()
    assert (run / "search/ranking.json").read_text() == ranking


def test_a_journal_cut_elsewhere_is_told(folder, tmp_path):
    run = unfinished(folder, tmp_path)
    journal = run / "search/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2], lines[2][:30] + "\n", *lines[3:]]))
    before = contents(run)
    message = refused(*search_args(folder, run), "--baselines", "logreg")
    assert f"{journal}, line 3" in message
    assert contents(run) == before


def test_an_output_folder_that_exists(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("mine")
    for args in (
        search_args(folder, tmp_path / "out"),
        ["prepare", folder / "log.csv", "--label", "label", "--out", tmp_path / "out"],
        ["train", folder / "run/data", "--model", "logreg", "--out", tmp_path / "out"],
    ):
        before = contents(tmp_path)
        assert str(tmp_path / "out") in refused(*args)
        assert contents(tmp_path) == before


def test_other_settings_on_a_run_folder(folder):
    before = contents(folder / "run")
    message = refused(*search_args(folder, folder / "run"), "--baselines", "logreg", "--seed", 5)
    assert "seed was 0, now 5" in message
    assert contents(folder / "run") == before


def test_a_model_of_a_newer_version_and_with_a_missing_tensor(folder, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(folder / "run/model", model)
    manifest = (model / "manifest.json").read_text()
    (model / "manifest.json").write_text(re.sub(r"nasrec-model/\d+", "nasrec-model/7", manifest))
    assert "version 7" in refused("evaluate", model, folder / "log.csv")
    (model / "manifest.json").write_text(manifest)
    (model / "weights.safetensors").unlink()
    assert "weights.safetensors" in refused("evaluate", model, folder / "log.csv")


def test_an_architecture_that_is_not_of_the_space(folder, tmp_path):
    invoke("arch", "sample", "--out", tmp_path / "arch.json")
    good = json.loads((tmp_path / "arch.json").read_text())
    for change, word in (
        ({"dense_dim": 17}, "17"),
        ({"dense_ops": ["Conv"]}, "Conv"),
        ({"dense_inputs": [5]}, "source 5"),
    ):
        bad = {"blocks": [{**good["blocks"][0], **change}, *good["blocks"][1:]]}
        (tmp_path / "bad.json").write_text(json.dumps(bad))
        message = refused(
            "train", folder / "run/data", "--arch", tmp_path / "bad.json", "--out", tmp_path / "m"
        )
        assert word in message
        assert "block 1" in message
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--space", "ful"], ["'ful'", "full"]),
        (["--baselines", "mpl"], ["'mpl'", "mlp"]),
        (["--top-k", 0], ["top_k", "0"]),
        (["--top-k", 50, "--evaluations", 20], ["top_k (50)", "evaluations (20)"]),
        (["--epochs", 0], ["epochs", "0"]),
        (["--learning-rate", -1], ["learning_rate", "-1"]),
        (["--method", "annealing"], ["method", "'annealing'"]),
        (["--budget", -3], ["budget", "-3"]),
        (["--budget", 3, "--top-k", 2], ["--budget chooses --top-k"]),
        (["--config", "none.yaml"], ["none.yaml"]),
        (["--ignore", "C9"], ["C9"]),
    ],
)
def test_bad_settings(folder, tmp_path, options, words):
    base = ["search", folder / "log.csv", "--label", "label", "--out", tmp_path / "out"]
    message = refused(*base, *options)
    for word in words:
        assert word in message
    assert not (tmp_path / "out/model").exists()


def test_a_settings_file_with_an_unknown_name(folder, tmp_path):
    (tmp_path / "s.yaml").write_text("top_kk: 3\n")
    args = ["search", folder / "log.csv", "--label", "label", "--out", tmp_path / "out"]
    assert "'top_k'" in refused(*args, "--config", tmp_path / "s.yaml")
