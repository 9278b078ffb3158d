"""Comparisons: equal trials, gone on with, extended; LightGBM's features; side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.metrics import log_loss

import nasrec
from nasrec.config import SearchConfig
from nasrec.data import PreparedData, SyntheticLog, prepare
from nasrec.errors import ConfigError, NasrecError, RunError
from nasrec.nn import Inputs, ModelOptions, build_baseline
from nasrec.nn.rates import FOLDS
from nasrec.pipeline import Reporter
from nasrec.pipeline.boosting import Features, settings_of
from nasrec.pipeline.contest import known_models, title_of
from nasrec.pipeline.protocol import LEADERBOARD, PAPER, protocol_of
from nasrec.pipeline.workers import in_processes
from tests.end_to_end.tiny import SETTINGS, TIMES

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 300))
QUIET = Reporter(quiet=True)
SEARCH = SearchConfig(
    model={"embedding_dim": 8},
    **{name: SETTINGS[name] for name in ("space", "supernet", "scoring", "evolution")},
)
PLAIN = {"label": "label", "protocol": "paper", "jobs": 1, "config": SEARCH, "reporter": QUIET}


def mtimes(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("result.json")}


def test_every_model_has_as_many_trials_and_seeds_and_more_seeds_extend(tmp_path):
    rows, out = LOG.generate(600), tmp_path / "c"
    models = ["nasrec", "fm", "logreg"]
    found = nasrec.compare(rows, out=out, models=models, seeds=1, trials=2, **PLAIN)
    assert {row["family"] for row in found.rows} == {*models, "base rate", "all together"}
    assert {row["trials"] for row in found.rows if row["seeds"]} == {2}
    *board, together = found.rows
    losses = [row["test_logloss"] for row in board]
    assert losses == sorted(losses)
    logits = np.mean(
        [np.load(p) for p in out.glob("retrain/*/test-logits.npy")], axis=0, dtype=np.float64
    )
    labels = PreparedData.open(out / "data").test.labels
    assert together["test_logloss"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))))
    best, *others = (row for row in found.rows if row["seeds"])
    assert "difference" not in best
    for row in others:
        d = row["difference"]
        assert d["mean"] == pytest.approx(row["test_logloss"] - best["test_logloss"])
        assert d["low"] <= d["mean"] <= d["high"]
        assert set(row["latency"]) == {"1", "1024"}
    assert best["name"] in found.table
    before = mtimes(out)
    assert len(before) == 6
    more = nasrec.compare(rows, out=out, models=models, seeds=2, trials=2, **PLAIN)
    assert {row["seeds"] for row in more.rows} == {0, 2}
    after = mtimes(out)
    assert len(after) == 9
    assert all(after[path] == stamp for path, stamp in before.items())
    assert json.loads((out / "comparison.json").read_text())["protocol"] == "paper"
    with pytest.raises(RunError, match=r"protocol was \"paper\", now \"leaderboard\""):
        nasrec.compare(
            rows, out=out, models=models, trials=2, **{**PLAIN, "protocol": "leaderboard"}
        )
    with pytest.raises(RunError, match=r"model\.embedding_dim was 8, now 4"):
        nasrec.compare(rows, out=out, models=models, trials=2, embedding_dim=4, **PLAIN)
    with pytest.raises(RunError, match="the data differ"):
        nasrec.compare(LOG.generate(500), out=out, models=models, trials=2, **PLAIN)


@pytest.mark.parametrize("log", [SyntheticLog(3, 0), SyntheticLog(0, 3)], ids=["dense", "ids"])
def test_logs_of_one_kind_of_column(tmp_path, log):
    pytest.importorskip("lightgbm", reason="needs nasrec[lightgbm]")
    models = ["logreg", "lightgbm"]
    found = nasrec.compare(
        log.generate(400), out=tmp_path / "c", models=models, seeds=2, trials=1, **PLAIN
    )
    assert {row["seeds"] for row in found.rows} == {0, 2}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": ["deepfn"]}, ["'deepfn'", "deepfm"]),
        ({"models": ["q7"]}, ["'q7'", "choose from: nasrec, logreg"]),
        ({"models": []}, ["no model"]),
        ({"models": ["published:criteo"]}, ["published:criteo-full"]),
        ({"protocol": "papr"}, ["'papr'", "paper"]),
        ({"seeds": 0}, ["0 seeds"]),
        ({"models": ["lightgbm"], "trials": 8}, ["7 settings"]),
        ({"label": "lable"}, ["'lable'", "did you mean 'label'"]),
        ({"ignore": ["C11"]}, ["'C11'", "did you mean"]),
    ],
)
def test_what_is_asked_wrongly_is_named(tmp_path, given, words):
    with pytest.raises(NasrecError) as error:
        nasrec.compare(LOG.generate(50), out=tmp_path / "c", **{**PLAIN, **given})
    assert all(word in str(error.value) for word in words)
    assert not (tmp_path / "c").exists()


def test_sizes_of_the_hand_made_models_are_the_users(tmp_path):
    config = SEARCH.replaced(model=ModelOptions(embedding_dim=8, cin=(5,), hidden=(12,)))
    for number, given in enumerate((SEARCH, config)):
        found = nasrec.compare(
            LOG.generate(300), out=tmp_path / str(number), models=["xdeepfm"], seeds=1, trials=1,
            **{**PLAIN, "config": given},
        )  # fmt: skip
        (row,) = (row for row in found.rows if row["seeds"])
        inputs = Inputs(2, (1, 1, 1))  # tables do not count
        assert row["madds"] == build_baseline("xdeepfm", inputs, given.model).madds


def test_without_lightgbm_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"pip install 'nasrec\[lightgbm\]'"):
        nasrec.compare(LOG.generate(50), out=tmp_path / "c", **{**PLAIN, "models": ["lightgbm"]})


def test_protocols_differ_as_they_say():
    assert (PAPER.training.epochs, PAPER.training.patience) == (1, None)
    assert PAPER.training.learning_rate == 0.12
    assert all(not r.dropout and not r.embedding_l2 for r in PAPER.recipes)
    assert LEADERBOARD.training.patience
    assert any(recipe.embedding_l2 for recipe in LEADERBOARD.recipes)
    assert {protocol_of(name).name for name in ("paper", "leaderboard")} == {"paper", "leaderboard"}
    assert len({title_of(name) for name in known_models(("nasrec", "mlp", "lightgbm"))}) == 3
    assert len(settings_of(6)) == 6


def test_click_rates_are_those_of_the_other_folds(tmp_path, monkeypatch):
    monkeypatch.setattr("nasrec.pipeline.boosting.MOST_CATEGORIES", 20)
    data = prepare(LOG.generate(500), tmp_path / "d", label="label")
    batch = data.train.take(np.arange(len(data.train)))
    dense, ids, labels = (t.numpy() for t in (batch.dense, batch.sparse, batch.labels))
    features = Features.learn(data, ids, labels)
    assert features.small == (True, True, False)
    before = features.training_matrix(dense, ids, labels, 3)
    place = 2  # after two categories: the click rate of the third column
    flipped = labels.copy()
    flipped[7] = 1 - flipped[7]
    after = Features.learn(data, ids, flipped).training_matrix(dense, ids, flipped, 3)
    fold = np.random.default_rng(3).integers(0, FOLDS, len(labels))
    same_fold, same_id = fold == fold[7], ids[:, 2] == ids[7, 2]
    overall = labels.mean()
    i = 11
    others = (ids[:, 2] == ids[i, 2]) & (fold != fold[i])
    p = (labels[others].sum() + 20 * overall) / (others.sum() + 20)
    assert before[i, place] == pytest.approx(np.log(p / (1 - p)), rel=1e-5)
    moved = np.abs(after[:, place] - before[:, place])
    shift = moved[same_fold & same_id].max()  # through the overall rate only
    assert shift < 0.02
    assert (moved[~same_fold & same_id] > 2 * shift).all()
    features.save(tmp_path / "f.npz")
    again = Features.load(tmp_path / "f.npz")
    assert np.array_equal(again.matrix(dense, ids), features.matrix(dense, ids))


@pytest.mark.slow  # new processes import torch
def test_processes_give_results_and_the_first_error():
    tasks = [(divmod, (number, 3)) for number in range(5)]
    assert dict(in_processes(tasks, 2)) == {i: divmod(i, 3) for i in range(5)}
    with pytest.raises(ZeroDivisionError):
        list(in_processes([(divmod, (1, 1)), (divmod, (1, 0))], 2))


@pytest.mark.slow
def test_kill_9_and_the_same_result(tmp_path):
    LOG.generate(1500).write_csv(tmp_path / "log.csv")

    def command(out):
        return [
            *(sys.executable, "-m", "nasrec", "compare", str(tmp_path / "log.csv")),
            *("--label", "label", "--out", str(tmp_path / out), "--models", "logreg,fm,mlp"),
            *("--seeds", "2", "--trials", "2", "--jobs", "2", "--embedding-dim", "8"),
        ]

    env = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    subprocess.run(command("straight"), check=True, capture_output=True, env=env)
    process = subprocess.Popen(command("killed"), stderr=subprocess.PIPE, env=env)
    deadline = time.monotonic() + 120
    while len(mtimes(tmp_path / "killed")) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command("killed"), check=True, capture_output=True, env=env)

    def rows(out):
        timed = {*TIMES, "training_seconds", "tuning_seconds", "search_seconds", "latency"}
        content = json.loads((tmp_path / out / "comparison.json").read_text())
        return [{k: v for k, v in row.items() if k not in timed} for row in content["rows"]]

    assert rows("killed") == rows("straight")
