"""The whole path on a tiny log: results, going on after a stop, refusals."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import nasrec
from nasrec.pipeline import Reporter
from tests.end_to_end.tiny import (
    LOG,
    SETTINGS,
    contents,
    result_of,
    run_command,
    search_command,
    write_log,
)

QUIET = Reporter(quiet=True)


def test_python_in_five_lines(finished):
    run = nasrec.open_run(finished / "run")
    names = {row["name"] for row in run.leaderboard}
    assert names == {"NASRecNet", "logistic regression", "MLP", "DLRM", "base rate"}
    frame = LOG.generate(20, stream=9)
    probabilities = run.model.predict_proba(frame.drop("label"))
    assert probabilities.shape == (20,)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert "test rows" in run.summary
    assert run.table in run.summary


def test_the_run_folder_holds_everything(finished):
    run = finished / "run"
    for name in (
        "request.json", "config.json", "environment.json", "stages.jsonl", "data/manifest.json",
        "supernet/weights.safetensors", "supernet/metrics.jsonl", "search/journal.jsonl",
        "search/ranking.json", "retrain/nasrec-1-dropout/architecture.json",
        "retrain/nasrec-1-plain/metrics.jsonl", "retrain/mlp-1-plain/result.json",
        "retrain/dlrm-1-dropout/weights.safetensors", "leaderboard.json", "leaderboard.txt",
        "summary.txt", "model/manifest.json", "report.html",
    ):  # fmt: skip
        assert (run / name).is_file(), name
    assert not list(run.rglob("checkpoint"))
    assert not list(run.rglob("*.tmp"))


def test_each_family_gets_as_many_trainings_and_is_tested_once(finished):
    board = json.loads((finished / "run/leaderboard.json").read_text())
    counts = {row["family"]: row["trainings"] for row in board["rows"]}
    assert counts == {"nasrec": 3, "logreg": 3, "mlp": 3, "dlrm": 3, "base rate": 0}
    assert not any("test_logloss" in trial for trial in board["trials"])
    trainings = {t["trial"]: t for t in board["trials"] if not t["trial"].endswith("-blend")}
    for row in board["rows"]:
        if row["family"] == "base rate":
            continue
        own = [t for t in trainings.values() if t["family"] == row["family"]]
        best = min(own, key=lambda t: t["valid_logloss"])
        assert (row["blend"] or [row["trial"]])[0] == best["trial"]
        if not row["blend"]:
            assert row["valid_logloss"] == best["valid_logloss"]
    rates = {name: t["learning_rate"] for name, t in trainings.items()}
    assert len(rates) == 12
    assert rates["mlp-1-plain"] == rates["mlp-1-dropout"] == rates["nasrec-1-plain"]
    (second,) = (rate for name, rate in rates.items() if name.startswith("mlp-2"))
    assert second == rates["mlp-1-plain"] / 2
    (second,) = (rate for name, rate in rates.items() if name.startswith("nasrec-2"))
    assert second == rates["mlp-1-plain"]


def test_the_model_scores_what_the_leaderboard_says(finished):
    run = nasrec.open_run(finished / "run")
    again = run.model.evaluate(finished / "run/data", "test")
    assert again.logloss == pytest.approx(run.test_logloss, abs=1e-6)
    assert again.auc == pytest.approx(run.test_auc, abs=1e-6)


def test_a_finished_run_is_not_done_again(finished):
    before = contents(finished / "run")
    nasrec.search(finished / "log.csv", "label", finished / "run", reporter=QUIET, **SETTINGS)
    assert contents(finished / "run") == before


@pytest.mark.parametrize(
    "part", ["model", "summary.txt", "leaderboard.json", "retrain/mlp-1-plain"]
)
def test_a_lost_part_is_made_again_equal(finished, tmp_path, part):
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    expected = result_of(run)
    lost = run / part
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    if part == "retrain/mlp-1-plain":
        (run / "leaderboard.json").unlink()
    nasrec.search(finished / "log.csv", "label", run, reporter=QUIET, **SETTINGS)
    assert result_of(run) == expected


def refused(finished: Path, data: object, **changes: object) -> str:
    before = contents(finished / "run")
    settings = {"label": "label", **SETTINGS, **changes}
    with pytest.raises(nasrec.NasrecError) as error:
        nasrec.search(data, out=finished / "run", reporter=QUIET, **settings)
    assert contents(finished / "run") == before
    return str(error.value)


def test_other_settings_are_refused(finished):
    message = refused(finished, finished / "log.csv", seed=1, top_k=3)
    assert "seed was 0, now 1" in message
    assert "top_k was 2, now 3" in message
    assert "another --out" in message


def test_other_data_are_refused(finished, tmp_path):
    message = refused(finished, write_log(tmp_path, rows=1400))
    assert "the data differ" in message


def test_another_preparation_is_refused(finished):
    assert "ignore" in refused(finished, finished / "log.csv", ignore=["C1"])


def test_a_run_at_work_is_left_alone(finished):
    import fcntl

    with (finished / "run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another process" in refused(finished, finished / "log.csv")


def test_prepared_data_give_the_same_result(finished, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(finished / "run/data", data)
    run = nasrec.search(data, out=tmp_path / "run", reporter=QUIET, **SETTINGS)
    assert run.test_logloss == nasrec.open_run(finished / "run").test_logloss
    with pytest.raises(nasrec.NasrecError, match="--ignore does not apply"):
        nasrec.search(data, ignore=["C1"], out=tmp_path / "other", reporter=QUIET)
    assert not (tmp_path / "other").exists()


def test_random_architectures_trained_from_scratch_join_the_leaderboard(tmp_path):
    log = write_log(tmp_path)
    run = nasrec.search(
        log,
        "label",
        tmp_path / "run",
        reporter=QUIET,
        **{**SETTINGS, "from_scratch_random": 3, "baselines": [], "method": "random", "top_k": 1},
    )
    counts = {row["family"]: row["trainings"] for row in run.leaderboard}
    assert counts == {"nasrec": 2, "random": 4, "base rate": 0}


@pytest.mark.slow
def test_a_method_that_learns_from_rows_learns_the_same_again(tmp_path):
    settings = {"baselines": [], "method": "progressive", "top_k": 1, "relaxation": {"rows": 200}}
    arguments = (write_log(tmp_path), "label", tmp_path / "run")
    nasrec.search(*arguments, reporter=QUIET, **{**SETTINGS, **settings})
    search = tmp_path / "run" / "search"
    ranking = (search / "ranking.json").read_bytes()
    (search / "ranking.json").unlink()  # killed before the last candidates were scored
    journal = (search / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (search / "journal.jsonl").write_bytes(b"".join(journal[:3]))
    nasrec.search(*arguments, reporter=QUIET, **{**SETTINGS, **settings})
    assert (search / "ranking.json").read_bytes() == ranking


def test_a_budget_is_resolved_once(tmp_path):
    log = write_log(tmp_path)
    settings = {k: v for k, v in SETTINGS.items() if k not in ("top_k", "evolution")}
    settings |= {"budget": 0.02, "baselines": ["logreg"], "reporter": QUIET}
    first = nasrec.search(log, "label", tmp_path / "run", **settings)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["budget_minutes"] == 0.02
    assert config["measured"]["narrowest"]["seconds"] > 0
    (tmp_path / "run/summary.txt").unlink()
    assert nasrec.search(log, "label", tmp_path / "run", **settings).config == first.config


def test_one_command_gives_one_json_object(tmp_path):
    write_log(tmp_path)
    done = run_command(search_command(tmp_path, tmp_path / "run", "--baselines", "logreg"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"test_logloss", "test_auc", "architecture", "model", "leaderboard"} <= set(result)
    assert nasrec.load(result["model"]).architecture is not None
    assert "Training the supernet" in done.stderr
    assert np.isfinite(result["test_logloss"])


def progress(run: Path) -> int:
    """How far a run is: files it has made, and lines in its logs."""
    try:
        files = [f for f in run.rglob("*") if f.is_file()]
        lines = sum(f.read_bytes().count(b"\n") for f in files if f.suffix == ".jsonl")
    except FileNotFoundError:  # renamed or removed since it was listed
        return 0
    return len(files) + lines


@pytest.mark.slow
@pytest.mark.parametrize("goals", [(), ("--objective", "auc,madds", "--max-weights", "20k")])
def test_killed_at_any_moment_and_started_again_ends_the_same(goals, tmp_path):
    write_log(tmp_path)
    whole = run_command(search_command(tmp_path, tmp_path / "whole", *goals))
    assert whole.returncode == 0, whole.stderr
    end = progress(tmp_path / "whole")
    # By progress rather than by the clock, the moments spread over all stages on any machine.
    moments = sorted(random.Random(0).sample(range(1, end), 7))
    kills = 0
    for moment in moments:
        process = subprocess.Popen(
            search_command(tmp_path, tmp_path / "killed", *goals),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and progress(tmp_path / "killed") < moment:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    last = run_command(search_command(tmp_path, tmp_path / "killed", *goals))
    assert last.returncode == 0, last.stderr
    assert kills >= 5
    assert result_of(tmp_path / "killed") == result_of(tmp_path / "whole")
