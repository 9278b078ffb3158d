"""Tracking: event files that TensorBoard reads, listeners, MLflow."""

from __future__ import annotations

import json
import sys
import types

import pytest
from typer.testing import CliRunner

import nasrec
from nasrec.cli import app
from nasrec.errors import RunError
from nasrec.pipeline import Reporter
from nasrec.pipeline.tracking import EventFile, mlflow_listener, stage_log
from tests.end_to_end.tiny import SETTINGS, write_log


def scalars(folder):
    """Tag to [(step, value)], as TensorBoard reads them."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_what_was_written(tmp_path):
    with EventFile(tmp_path) as file:
        for step in range(1, 400):
            file({"step": step, "loss": 1 / step, "é/rate": step * 1e6, "name": "x", "none": None})
            file({"step": step, "bad": float("nan")})
    found = scalars(tmp_path)
    assert set(found) == {"loss", "é/rate"}
    assert [step for step, _ in found["loss"]] == list(range(1, 400))
    assert found["loss"][6][1] == pytest.approx(1 / 7)


def test_a_second_file_goes_on(tmp_path):
    for steps in ([1, 2], [3]):
        with stage_log("s", tmp_path) as log:
            for step in steps:
                log({"step": step, "loss": 0.5})
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [1, 2, 3]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_every_stage_of_a_search_is_tracked(tmp_path):
    heard: list[tuple[str, dict]] = []
    reporter = Reporter(quiet=True, listeners=[lambda *told: heard.append(told)])
    run = nasrec.search(
        write_log(tmp_path), "label", tmp_path / "run", reporter=reporter,
        **{**SETTINGS, "baselines": ["logreg"]},
    )  # fmt: skip
    stages = {stage for stage, _ in heard}
    first = {f"{model}-1-{r}" for model in ("nasrec", "logreg") for r in ("plain", "dropout")}
    assert {"supernet", "search"} | first < stages
    assert {s.rpartition("-")[0] for s in stages - first} == {"", "nasrec-2", "logreg-2"}
    losses = [record["valid_logloss"] for stage, record in heard if stage == "search"]
    assert [r["best_valid_logloss"] for s, r in heard if s == "search"][-1] == min(losses)
    for folder in ("supernet", "search", "retrain/nasrec-1-plain", "model/training"):
        assert scalars(run.path / folder), folder
    lines = (run.path / "retrain/nasrec-1-plain/metrics.jsonl").read_text().splitlines()
    seen = scalars(run.path / "retrain/nasrec-1-plain")["valid_logloss"]
    expected = [(r["step"], r["valid_logloss"]) for r in map(json.loads, lines)]
    assert seen == [(step, pytest.approx(loss)) for step, loss in expected]


class FakeMlflow(types.ModuleType):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.runs: list[str] = []
        self.params: dict[str, str] = {}
        self.metrics: list[tuple[dict[str, float], int]] = []

    def start_run(self, run_name):
        import contextlib

        self.runs.append(run_name)
        return contextlib.nullcontext()

    def log_params(self, params):
        self.params |= params

    def log_metrics(self, metrics, step):
        self.metrics.append((metrics, step))


def test_mlflow_hears_of_every_stage(tmp_path, monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    log = write_log(tmp_path)
    args = ["train", log, "--label", "label", "--model", "logreg", "--mlflow", "--json"]
    done = CliRunner().invoke(app, [*map(str, args), "--out", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    assert fake.runs == [str(tmp_path / "m")]
    assert fake.params["model"] == "logreg"
    assert all("logreg/valid_logloss" in numbers for numbers, _ in fake.metrics)
    assert [step for _, step in fake.metrics] == sorted({step for _, step in fake.metrics})


def test_a_store_that_does_not_work_is_told(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setattr(fake, "start_run", lambda **_: 1 / 0)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with pytest.raises(RunError, match="MLFLOW_TRACKING_URI"), mlflow_listener("x", {}):
        pass


def test_without_mlflow_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RunError, match=r"nasrec\[mlflow\]"), mlflow_listener("x", {}):
        pass
