"""Every search method in processes of its own: the same result, and after a kill too."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasrec.search import METHODS, Journal, search
from tests.search.toy import build, goals_of, run, summary, toy_costs, toy_score

ROOT = Path(__file__).parents[2]

#: The others, which share what these tests look at, wait for the slow tests.
FAST = {"evolution"}
pytestmark = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in sorted(METHODS)],
)


def test_the_same_in_another_process(name) -> None:
    code = f"from tests.search.toy import *; print(summary(run({name!r})))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().strip() == str(summary(run(name)))


def test_kill_9_and_resume(name, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.search.toy", name, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") <= 9:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert b"finished" not in out
    written = path.read_bytes().count(b"\n") - 1
    calls = []
    with Journal(path, {"method": name, "seed": 3}) as journal:
        found = search(
            build(name),
            lambda a: calls.append(a) or toy_score(a),
            journal,
            goals=goals_of(name),
            costs=toy_costs,
            evaluations=26,
        )
    assert summary(found) == summary(run(name))
    assert len(calls) == 26 - written
