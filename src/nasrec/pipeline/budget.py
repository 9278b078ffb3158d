"""Choosing the sizes of a search so that it takes about so many minutes here, on these data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from torch import nn

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split
from nasrec.errors import ConfigError
from nasrec.nn import NASRecNet, SharedWeights, build_baseline
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.supernet import untrained
from nasrec.pipeline.workers import jobs_for, threads
from nasrec.search import ScoreConfig, Scorer
from nasrec.space import Architecture, PathSampler
from nasrec.train import (
    LoopConfig,
    Optimizer,
    TrainConfig,
    build_optimizer,
    evaluate,
    train_steps,
)
from nasrec.train.device import device_of
from nasrec.train.loop import steps_per_epoch
from nasrec.train.metrics import EVALUATION_BATCH
from nasrec.train.recipes import FEWEST_PASSES, in_passes

SHARES = {"supernet": 0.35, "search": 0.2, "retrain": 0.45}
"""Parts of the budget. Retraining decides what is taken home, and the supernet whether the right
architectures get there; scoring is cheap. Without a supernet its part is for scoring."""
MOST = {"supernet_epochs": 8, "evaluations": 2048, "trained": 400, "trainings": 20}
"""More does not help: the paper's search has 2048 evaluations and retrains 15."""
FEWEST_EVALUATIONS = 16
WANTED_EVALUATIONS = 100
"""Where time allows fewer, a score that trains a copy of a supernet's network has fewer steps, but
`FEWEST_STEPS`."""
FEWEST_STEPS = 20
PASSES = 12
"""Over the training rows until validation gets no better and a training ends, as a rule: 5 to 10
with Adagrad, 10 to 20 with Adam and much regularisation."""
TIMES_NARROWEST = 4
"""What a candidate with a training of its own may cost, in trainings of the narrowest network.
Where not even `FEWEST_EVALUATIONS` of that cost are affordable there is a supernet."""
_STEPS = 6  # timed steps of each kind; their time varies by a few percent


@dataclass(frozen=True)
class Pass:
    """One pass over the training rows and one validation, of one network.

    Attributes:
        madds: its multiply-adds a row.
        seconds: what the pass takes.
    """

    madds: float
    seconds: float


@dataclass(frozen=True)
class SupernetSpeed:
    """Speeds of a search that trains no candidate to its end.

    Attributes:
        rows: the supernet is trained on, a second; infinitely many where there is none.
        candidate_seconds: to score one candidate.
        score_step_seconds: a step of that where it trains a copy of the candidate, else 0.
    """

    rows: float
    candidate_seconds: float
    score_step_seconds: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Speeds of this machine on these data.

    Attributes:
        narrowest: a pass of the narrowest architecture.
        sampled: of one of the space's usual size.
        baseline_seconds: of a pass of a hand-made model, the mean over those compared.
        supernet: speeds of the search, where candidates have no training of their own.
    """

    narrowest: Pass
    sampled: Pass
    baseline_seconds: float
    supernet: SupernetSpeed | None = None

    def pass_seconds(self, madds: float) -> float:
        """What a pass of a NASRecNet of so many multiply-adds takes, about."""
        return self.narrowest.seconds + self._slope * max(0.0, madds - self.narrowest.madds)

    def madds_in(self, seconds: float) -> int:
        """Multiply-adds of a NASRecNet whose pass takes so long, at least the narrowest's."""
        left = max(0.0, seconds - self.narrowest.seconds)
        return int(self.narrowest.madds + left / self._slope)

    @property
    def _slope(self) -> float:
        """Seconds a multiply-add."""
        seconds = self.sampled.seconds - self.narrowest.seconds
        madds = max(1.0, self.sampled.madds - self.narrowest.madds)
        # A difference of two short times may be noise; no machine makes all madds for nothing.
        return max(seconds, 0.1 * self.sampled.seconds) / madds


def seconds_a_step(
    network_for: Callable[[int], nn.Module],
    rows: Split,
    config: LoopConfig,
    optimizer: Optimizer | None = None,
    steps: int = _STEPS,
    typical: Callable[[Sequence[float]], Any] = np.median,
) -> float:
    """Time of a training step, from a few without the first, which allocates.

    Their median, for on a busy machine a step now and then takes ten times as long; where each step
    trains another network, `typical` should be their mean.
    """
    optimizer = optimizer or build_optimizer(config)
    taken, last = [], time.perf_counter()
    for _ in islice(train_steps(network_for, rows, optimizer, config, seed=0), steps):
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return float(typical(taken[1:] or taken))


def measure(config: SearchConfig, data: PreparedData) -> Measured:
    """Time some steps of trainings from scratch, a few seconds in all."""
    inputs, rng = inputs_of(data), np.random.default_rng(config.seed)

    def of(model: nn.Module) -> float:
        return epoch_seconds(model, config.training, data)

    def nasrec(architecture: Architecture) -> Pass:
        # With LayerNorm: without it a deep network of products may diverge at its first step.
        network = NASRecNet(architecture, inputs, replace(config.model, layer_norm=True))
        return Pass(network.madds, of(network))

    models = [build_baseline(name, inputs, config.model) for name in config.baselines]
    return Measured(
        nasrec(config.space.narrowest()[0]),
        nasrec(config.space.sample(rng)),
        float(np.mean([of(model) for model in models])) if models else 0.0,
    )


def measure_supernet(config: SearchConfig, data: PreparedData, jobs: int = 1) -> SupernetSpeed:
    """Time some steps of a supernet and some scores by it, so many side by side where they can."""
    rng, shared = np.random.default_rng(config.seed), untrained(data, config)
    step = _supernet_step(config, data, shared, rng) if config.scored_by == "supernet" else 0.0
    candidates = [config.space.sample(rng) for _ in range(3)]
    beside = jobs if config.score_recipe.copies else 1

    def score_seconds(scoring: ScoreConfig) -> float:
        scorer = Scorer(shared, data.train, data.valid, scoring, config.seed)
        with threads(1) if beside > 1 else nullcontext():
            scorer(candidates[0])
            began = time.perf_counter()
            for candidate in candidates[1:]:
                scorer(candidate)
        return (time.perf_counter() - began) / 2 / beside

    scoring, a_step = config.score_recipe, 0.0
    if scoring.copies and scoring.finetune_steps > _STEPS:
        few, one = (
            score_seconds(scoring.model_copy(update={"finetune_steps": n})) for n in (_STEPS, 1)
        )
        a_step = max(0.0, few - one) / (_STEPS - 1)
        candidate_seconds = one + (scoring.finetune_steps - 1) * a_step
    else:
        candidate_seconds = score_seconds(scoring)
    batch = min(config.supernet.batch_size, len(data.train))
    return SupernetSpeed(batch / step if step else math.inf, candidate_seconds, a_step)


def _supernet_step(
    config: SearchConfig, data: PreparedData, shared: SharedWeights, rng: np.random.Generator
) -> float:
    """Seconds that a step of the supernet takes, on average over its training."""
    sampler = PathSampler(config.space, total_steps=1, warmup_fraction=0.0)
    supernet, optimizer = config.supernet, build_optimizer(config.supernet, shared.shape)

    def seconds(network_for: Callable[[int], nn.Module], steps: int = _STEPS) -> float:
        return seconds_a_step(network_for, data.train, supernet, optimizer, steps, np.mean)

    sampled = seconds(lambda i: shared.subnet(sampler.sample(i, rng)))
    share = supernet.path_warmup_fraction / 2
    if not share:
        return sampled
    # A warm-up of one fifth trains the full supernet in a tenth of all steps. One such step takes
    # seconds, so that more would take a good part of a small budget.
    full = seconds(lambda _: shared.subnet(config.space.maximal(rng)), steps=2)
    return (1 - share) * sampled + share * full


def epoch_seconds(
    model: nn.Module, config: TrainConfig, data: PreparedData, steps: int = _STEPS
) -> float:
    """Time of one pass over the training rows with its validations, from a few steps and one."""
    model.to(device_of(config.device))
    one = seconds_a_step(lambda _: model, data.train, config, steps=steps)
    some = some_rows(data.valid, EVALUATION_BATCH, 0)
    began = time.perf_counter()
    evaluate(model, some)
    taken = (time.perf_counter() - began) * len(data.valid) / max(1, len(some))
    looks = config.evaluations_per_epoch * taken
    return one * steps_per_epoch(data.train, config) + looks


def fit_to_budget(
    config: SearchConfig, data: PreparedData, minutes: float, tell: Reporter
) -> tuple[SearchConfig, dict[str, float]]:
    """The settings with the sizes that fit into so many minutes, and what was measured.

    Chosen are what scores a candidate, the supernet's rows or epochs, the number of evaluations,
    the largest network that time allows to train, `top_k`, how many recipes and rates are tried,
    and on a log too large for several passes their number and schedule. What else is in the
    settings stays, and so do `score_by` and `max_madds` where they are given.
    """
    if not minutes > 0:
        raise ConfigError(f"the budget is {minutes} minutes", mend="give a positive number")
    tell.say("Measuring this machine, to fit the search into the budget")
    began, jobs = time.perf_counter(), jobs_for(config, inputs_of(data))
    with threads(1) if jobs > 1 else nullcontext():  # as each of them will have
        measured = measure(config, data)
    score_by = affordable_scores(config, measured, 60 * minutes, jobs)
    if score_by == "supernet":
        given, config = config.scoring, config.for_log(len(data.train))
        speed = measure_supernet(config, data, jobs)
        wanted = (SHARES["supernet"] + SHARES["search"]) * 60 * minutes / WANTED_EVALUATIONS
        if given is None and config.scored_by == "steps" and speed.candidate_seconds > wanted:
            config = config.replaced(scoring="whole")  # which may have fewer steps
            speed = measure_supernet(config, data, jobs)
        measured = replace(measured, supernet=speed)
    config = config.replaced(score_by=score_by)
    seconds = max(1.0, 60 * minutes - (time.perf_counter() - began))
    resolved = sized(config, measured, len(data.train), seconds, jobs)
    how = (
        "each candidate trained for itself"
        if resolved.scored_by == "training"
        else _supernet_told(resolved, len(data.train))
        if resolved.scored_by == "supernet"
        else f"each candidate trained for {resolved.score_recipe.finetune_steps} steps"
    )
    tell.say(
        f"In {minutes:g} minutes: {how}, {resolved.planned_evaluations} candidates of at most "
        f"{resolved.max_madds:,} multiply-adds a row scored, {resolved.trainings} trainings of "
        "each model"
    )
    return resolved, asdict(measured)


def affordable_scores(
    config: SearchConfig, measured: Measured, seconds: float, jobs: int = 1
) -> Literal["supernet", "training"]:
    """What scores candidates in so many seconds: trainings of their own if enough fit."""
    enough = TIMES_NARROWEST * FEWEST_EVALUATIONS
    affordable = _narrowest_trainings(config, measured, seconds, jobs)
    return config.score_by or ("training" if affordable >= enough else "supernet")


def _families(config: SearchConfig) -> int:
    """Searched, and random ones of the same space beside it."""
    return 1 + max(1, config.from_scratch_random) * bool(config.from_scratch_random)


def _passes_seconds(config: SearchConfig, measured: Measured, madds: float) -> float:
    """A pass of every family of the leaderboard."""
    own = _families(config) * measured.pass_seconds(madds)
    return config.model.members * (own + len(config.baselines) * measured.baseline_seconds)


def _retrain(config: SearchConfig, measured: Measured, seconds: float) -> tuple[TrainConfig, int]:
    """The training from scratch that fits, and the passes it takes as a rule."""
    retrain, narrowest = config.retrain, measured.narrowest.madds
    affordable = int(SHARES["retrain"] * seconds / _passes_seconds(config, measured, narrowest))
    plateau = retrain.schedule == "plateau"
    if plateau and affordable < FEWEST_PASSES:
        retrain = in_passes(retrain, min(retrain.epochs, max(1, affordable)))
    return retrain, min(retrain.epochs, PASSES) if plateau else retrain.epochs


def _narrowest_trainings(
    config: SearchConfig, measured: Measured, seconds: float, jobs: int
) -> float:
    """How often the narrowest network could be trained in the time for supernet and search."""
    searching = (SHARES["supernet"] + SHARES["search"]) * seconds
    _, passes = _retrain(config, measured, seconds)
    return jobs * searching / (passes * measured.narrowest.seconds)


def sized(
    config: SearchConfig, measured: Measured, train_rows: int, seconds: float, jobs: int = 1
) -> SearchConfig:
    """The settings with sizes for so many seconds at these speeds.

    Args:
        config: the settings.
        measured: the speeds, with the supernet's if that is what scores.
        train_rows: number of training rows.
        seconds: to be filled.
        jobs: trainings from scratch side by side.
    """
    m, for_retraining = measured, SHARES["retrain"] * seconds
    retrain, passes = _retrain(config, m, seconds)
    # No network that could not be trained once within its part of the budget.
    a_member = for_retraining / passes / config.model.members
    share = jobs * a_member - len(config.baselines) * m.baseline_seconds
    alone = a_member / min(jobs, 2)  # after it come those that wait for its result
    most = m.madds_in(min(share / _families(config), alone))

    score_by = affordable_scores(config, m, seconds, jobs)
    if score_by == "training":
        affordable = _narrowest_trainings(config, m, seconds, jobs)
        others = config.second_looks + config.probings
        evaluations = int(affordable / TIMES_NARROWEST) - others
        evaluations = max(FEWEST_EVALUATIONS, min(MOST["trained"], evaluations))
        scored = evaluations + others
        most = min(most, m.madds_in(m.narrowest.seconds * affordable / scored))
    members = config.model.members
    max_madds = config.max_madds or members * most
    usual = min(max_madds / members, m.sampled.madds)
    a_training = passes * _passes_seconds(config, m, usual) / jobs
    trainings = max(1, min(MOST["trainings"], int(for_retraining / a_training)))
    config = config.with_trainings(trainings)
    left = max(seconds - trainings * a_training, 0.2 * seconds)
    changes: dict[str, Any] = {}
    if score_by == "supernet":
        assert m.supernet is not None
        shared = math.isfinite(m.supernet.rows)
        of_search = SHARES["search"] / (SHARES["search"] + SHARES["supernet"])
        search = left * of_search if shared else left
        wanted = search / WANTED_EVALUATIONS
        changes["scoring"], one = _scoring(config.score_recipe, m.supernet, wanted)
        evaluations = int(search / one)
        evaluations = max(FEWEST_EVALUATIONS, min(MOST["evaluations"], evaluations))
        if shared:
            for_supernet = max(left - evaluations * one, 0.1 * seconds)
            rows = int(for_supernet * m.supernet.rows)
            epochs = max(1, min(MOST["supernet_epochs"], rows // train_rows))
            changes["supernet"] = config.supernet.model_copy(update={"epochs": epochs})
            changes["search_rows"] = max(1, rows) if rows < train_rows else None
    return config.replaced(
        score_by=score_by,
        max_madds=max_madds,
        retrain=retrain,
        **changes,
        **_evolution(config, evaluations),
    )


def _scoring(config: ScoreConfig, speed: SupernetSpeed, wanted: float) -> tuple[ScoreConfig, float]:
    """How to score in so many seconds a candidate, or a few more, and what one takes.

    Copies of a supernet's networks have fewer steps then. From scratch a few would teach nothing.
    """
    seconds, step = speed.candidate_seconds, speed.score_step_seconds
    fixed = not step or config.start == "scratch" or config.finetune_steps <= FEWEST_STEPS
    if seconds <= wanted or fixed:
        return config, seconds
    fewer = math.ceil((seconds - wanted) / step)
    steps = max(FEWEST_STEPS, config.finetune_steps - fewer)
    seconds -= (config.finetune_steps - steps) * step
    return config.model_copy(update={"finetune_steps": steps}), seconds


def _evolution(config: SearchConfig, evaluations: int) -> dict[str, Any]:
    scaled = config.replaced(top_k=1).with_evaluations(evaluations)
    return {"evaluations": evaluations, "evolution": scaled.evolution}


def _supernet_told(config: SearchConfig, train_rows: int) -> str:
    if config.search_rows is not None:
        return f"the supernet on {config.search_rows:,} of {train_rows:,} rows"
    epochs = config.supernet.epochs
    return f"the supernet for {epochs} epoch{'s' if epochs > 1 else ''}"
