"""Trainings from scratch side by side."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from nasrec.config import SearchConfig
from nasrec.data import prepare
from nasrec.nn import Inputs
from nasrec.nn.operators import OPERATORS
from nasrec.pipeline import Reporter, RunFolder
from nasrec.pipeline.retrain import retrain_stage
from nasrec.pipeline.workers import Workers, jobs_for
from tests.end_to_end.tiny import LOG, SETTINGS, write_log

CONFIG = SearchConfig(**{**SETTINGS, "baselines": ("logreg",), "from_scratch_random": 1})


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.slow
def test_they_are_those_of_one_after_the_other(tmp_path, threads):
    data = prepare(LOG.generate(600), tmp_path / "data", label="label")
    rng = np.random.default_rng(0)
    best = [CONFIG.space.sample(rng) for _ in range(CONFIG.top_k)]
    found, heard = [], []
    for jobs in (1, 2):
        threads(jobs)
        run, records = RunFolder(tmp_path / f"run{jobs}"), []
        tell = Reporter(quiet=True, listeners=[lambda *r, to=records: to.append(r)])
        families = retrain_stage(run, data, CONFIG, best, tell)
        found.append(
            {name: [(t.trial.name, t.valid) for t in trials] for name, trials in families.items()}
        )
        heard.append({(stage, record["step"]) for stage, record in records})
        assert torch.get_num_threads() == jobs
        stages = (run.path / "stages.jsonl").read_text().splitlines()
        assert [json.loads(line)["stage"] for line in stages] == ["retrain"]
        before = {p: p.stat().st_mtime_ns for p in run.retrain.glob("*/weights.safetensors")}
        retrain_stage(run, data, CONFIG, best, tell)  # nothing is trained again
        assert before == {p: p.stat().st_mtime_ns for p in run.retrain.glob("*/weights*")}
    assert repr(found[0]) == repr(found[1])  # NaN where there are no groups
    assert heard[0] == heard[1]
    assert list(found[0]) == ["nasrec", "logreg", "random"]


def test_as_many_as_threads_and_memory_allow(threads):
    threads(2)
    assert jobs_for(CONFIG, Inputs(1, (10,))) == 2
    assert jobs_for(CONFIG, Inputs(1, (10**12,))) == 1
    assert jobs_for(CONFIG.replaced(device="cuda"), Inputs(1, (10,))) == 1


def test_nothing_that_the_script_has_registered_is_missed(monkeypatch):
    assert Workers(2).jobs == 2
    monkeypatch.setattr(OPERATORS["FC"], "__module__", "__main__")
    assert Workers(2).jobs == 1


@pytest.mark.slow
def test_a_script_need_not_ask_whether_it_is_the_main_program(tmp_path):
    (tmp_path / "own.py").write_text(
        "import dataclasses\n"
        "from nasrec.nn.operators import FullyConnected, register\n"
        "@register\n"
        "class Own(FullyConnected):\n"
        "    info = dataclasses.replace(FullyConnected.info, name='Own')\n"
    )
    space = SETTINGS["space"] | {"dense_ops": ["Own"]}
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, nasrec, torch, own\n"
        "torch.set_num_threads(2)\n"
        f"run = nasrec.search({str(write_log(tmp_path))!r}, 'label', sys.argv[1],\n"
        f"    score_by='training', baselines=['logreg'], **{SETTINGS | {'space': space}!r})\n"
        "print(len(run.leaderboard))\n"
    )
    done = subprocess.run(
        [sys.executable, script, tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3\n"
    assert "nasrec-1-plain: validation log loss" in done.stderr
