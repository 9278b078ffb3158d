"""Stage 4: train the best architectures and their competitors from scratch, all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.errors import DivergenceError
from nasrec.nn import ModelOptions, build_baseline, count_dense_weights
from nasrec.nn.inputs import Inputs
from nasrec.pipeline.candidates import recipes_to_try
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import (
    Plan,
    Trial,
    TrialResult,
    Variant,
    carried_out,
    nasrec_variants,
    rate_variants,
    run_trial,
    tuned,
)
from nasrec.pipeline.workers import Workers, jobs_for
from nasrec.serve import ModelSpec
from nasrec.space import Architecture
from nasrec.space.drawing import distinct
from nasrec.train.recipes import STEADY, Recipe

NASREC = "nasrec"
RANDOM = "random"


def retrain_stage(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    best: list[Architecture],
    tell: Reporter,
) -> dict[str, list[TrialResult]]:
    """Train everything that the leaderboard compares; the trials of each family, best first.

    Equal treatment: the same rows, settings, recipes and early stopping for all, and as many
    trainings for each hand-made model as NASRecNet has, unless `baseline_trials` says otherwise.
    """
    inputs = inputs_of(data)
    with Workers(jobs_for(config, inputs)) as workers:
        trainings = Trainings(run, data, workers, tell)
        families = _families(config, inputs, best, trainings)
    if trainings.seconds:
        run.stage_done("retrain", trainings.seconds)
    return families


class Trainings:
    """Trains what it is asked for, side by side where there are workers.

    Attributes:
        seconds: the time that this took.
    """

    def __init__(
        self, run: RunFolder, data: PreparedData, workers: Workers, tell: Reporter
    ) -> None:
        self.run, self.data, self.workers, self.tell = run, data, workers, tell
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
        return self.run.retrain / trial.name


def _aside(data: Path, trial: Trial, folder: Path, quiet: bool) -> str:
    """A training in another process; what there is to tell of it."""
    result = run_trial(trial, PreparedData.open(data), folder, Reporter(quiet, bars=False))
    told = f"validation log loss {result.valid.logloss:.5f}, {result.seconds:.0f} s"
    return told if result.failed is None else f"failed: {result.failed}"


def _families(
    config: SearchConfig, inputs: Inputs, best: list[Architecture], train: Trainings
) -> dict[str, list[TrialResult]]:
    """The trials of each family, best first: of NASRecNets, then of what depends on theirs."""

    def plan(
        family: str, variants: list[Variant], recipes: Sequence[Recipe] = config.recipes
    ) -> Plan:
        return tuned(family, variants, recipes, config.seed, STEADY)

    def of_space(architectures: list[Architecture], rates: int) -> list[Variant]:
        return nasrec_variants(inputs, config.model, config.training, architectures, rates)

    searched = plan(NASREC, of_space(best, config.rates), recipes_to_try(train.run, config))
    families = carried_out({NASREC: searched}, train)
    if (failed := families[NASREC][0].failed) is not None:  # the best of them: so did all
        raise DivergenceError(
            f"every training of the best architectures diverged: {failed}",
            where=str(train.run.retrain),
            mend="search again, in another --out, with a lower --learning-rate",
        )
    count = config.baseline_trials or len(families[NASREC])
    rates = max(1, count - len(config.recipes) + 1)
    options = config.model
    if config.match_size:
        options = replace(options, hidden=matching_hidden(inputs, options, families[NASREC][0]))
    specs = {name: ModelSpec(name, inputs, options) for name in config.baselines}
    others = {
        name: plan(name, rate_variants(spec, config.training, rates))
        for name, spec in specs.items()
    }
    if config.from_scratch_random:
        drawn = random_architectures(config, config.from_scratch_random)
        others[RANDOM] = plan(RANDOM, of_space(drawn, rates=1))
    return families | carried_out(others, train)


def matching_hidden(inputs: Inputs, options: ModelOptions, winner: TrialResult) -> tuple[int, ...]:
    """Two equal hidden widths with which a plain MLP has about as many weights as the winner."""

    def weights(width: int) -> int:
        sized = replace(options, hidden=(width, width))
        # The tables do not count, so that they need not be made to count the rest.
        small = Inputs(inputs.dense, (1,) * inputs.sparse)
        return count_dense_weights(build_baseline("mlp", small, sized))

    low, high = 1, 2
    while weights(high) < winner.weights:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if weights(middle) <= winner.weights else (low, middle)
    return (low, low)


def random_architectures(config: SearchConfig, count: int) -> list[Architecture]:
    """Different architectures of the space, as random as their seed."""
    return distinct(config.space, count, np.random.default_rng([config.seed, 7]))  # its own stream
