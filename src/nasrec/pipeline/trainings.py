"""Trainings from scratch that somebody asks for, each in a folder of its own, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from nasrec.data import PreparedData
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial, TrialResult, run_trial
from nasrec.pipeline.workers import Workers


class Trainings:
    """Trains what it is asked for, side by side where there are workers.

    Args:
        folder: of the folders of all trainings.
        data: the rows.
        workers: where they are trained.
        tell: how they go.

    Attributes:
        seconds: the time that this took.
    """

    def __init__(self, folder: Path, data: PreparedData, workers: Workers, tell: Reporter) -> None:
        self.folder, self.data, self.workers, self.tell = folder, data, workers, tell
        self.seconds = 0.0

    def __call__(self, trials: Sequence[Trial]) -> list[TrialResult]:
        """Train, or read what is trained already; in the order of the trials."""
        began = time.perf_counter()
        fresh = [t for t in trials if not (self._folder(t) / "result.json").is_file()]
        if self.workers.jobs > 1:
            quiet = self.tell.quiet
            tasks = [(_aside, (self.data.path, t, self._folder(t), quiet)) for t in fresh]
            for i, told in self.workers.each(tasks):
                self.tell.say(f"{fresh[i].name}: {told}")
                self.tell.heard(fresh[i].name, self._folder(fresh[i]))
        results = [run_trial(t, self.data, self._folder(t), self.tell) for t in trials]
        if fresh:
            self.seconds += time.perf_counter() - began
        return results

    def _folder(self, trial: Trial) -> Path:
        return self.folder / trial.name


def _aside(data: Path, trial: Trial, folder: Path, quiet: bool) -> str:
    """A training in another process; what there is to tell of it."""
    result = run_trial(trial, PreparedData.open(data), folder, Reporter(quiet, bars=False))
    told = f"validation log loss {result.valid.logloss:.5f}, {result.seconds:.0f} s"
    return told if result.failed is None else f"failed: {result.failed}"
