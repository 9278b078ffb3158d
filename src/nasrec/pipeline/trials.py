"""One training from scratch, in a folder of its own: what the leaderboard is made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from nasrec.data import PreparedData, Split
from nasrec.errors import DivergenceError, RunError
from nasrec.files import write_json, write_text, written_aside
from nasrec.nn import Blend, count_dense_weights, count_weights
from nasrec.nn.cost import BYTES_PER_WEIGHT
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.pipeline.folder import read_json
from nasrec.pipeline.progress import Reporter
from nasrec.serve import ModelSpec
from nasrec.space import Architecture
from nasrec.train import CRITERIA, Metrics, TrainConfig, fit, metrics_on, predict_logits
from nasrec.train.platt import UNCHANGED, Platt
from nasrec.train.recipes import Recipe

TEST_LOGITS = "test-logits.npy"


@dataclass(frozen=True)
class Trial:
    """A network to train from scratch.

    Attributes:
        name: of its folder and in tables.
        family: the trials of one family compete on validation; one of them is tested.
        spec: the network.
        config: how it is trained.
        seed: its initial weights and the order of its rows.
    """

    name: str
    family: str
    spec: ModelSpec
    config: TrainConfig
    seed: int


@dataclass(frozen=True)
class TrialResult:
    """How a trial went; read from its folder.

    Attributes:
        trial: what was trained.
        folder: where its files are.
        valid: metrics of the weights kept, those of the best evaluation, calibrated.
        calibration: what is done to the network's logits.
        weights: outside the embedding tables.
        embedding_weights: of the tables.
        madds: multiply-adds a row.
        steps: training steps done.
        seconds: wall time.
        failed: why there are no weights, if the training diverged.
        parts: the trainings whose mean logit it is, the best first; () if it is a training itself.
    """

    trial: Trial
    folder: Path
    valid: Metrics
    calibration: Platt
    weights: int
    embedding_weights: int
    madds: int
    steps: int
    seconds: float
    failed: str | None
    parts: tuple[TrialResult, ...] = ()

    @property
    def order(self) -> tuple[float, str]:
        """To sort by: the criterion on validation, ties by name; one that failed is last."""
        return (CRITERIA[self.trial.config.criterion].loss(self.valid), self.trial.name)

    @property
    def learned(self) -> bool:
        """Whether its probabilities on validation are better than the click rate alone."""
        return self.failed is None and not self.valid.normalized_entropy >= 1

    @property
    def costs(self) -> dict[str, float]:
        """`madds` a row, `weights` and `bytes`, as `nasrec.search.goals.COSTS` has them."""
        stored = BYTES_PER_WEIGHT * (self.weights + self.embedding_weights)
        return {"madds": self.madds, "weights": self.weights, "bytes": stored}

    def network(self) -> nn.Module:
        """The trained network; DivergenceError if there is none."""
        if self.failed is not None:
            raise DivergenceError(f"the training {self.trial.name} failed: {self.failed}")
        if self.parts:
            networks, count = [part.network() for part in self.parts], len(self.parts)
            scales = [part.calibration.slope / count for part in self.parts]
            shift = sum(part.calibration.intercept for part in self.parts) / count
            return Blend(networks, scales, shift).eval()
        return self.trial.spec.load(self.folder / "weights.safetensors")

    def test_logits(self, data: PreparedData) -> NDArray[np.float32]:
        """Calibrated logits of the test rows, (rows,), kept in the folder once they are predicted.

        For the one trial that its family has chosen: paired comparisons need them again.
        """
        return kept_logits(self.folder, data, self.logits)

    def logits(self, split: Split) -> NDArray[np.float32]:
        """Calibrated logits of a split's rows, (rows,)."""
        return self.calibration(predict_logits(self.network(), split)).astype(np.float32)

    def test(self, data: PreparedData) -> Metrics:
        """Metrics on the test split; for the one trial that its family has chosen."""
        return metrics_on(data.test, self.test_logits(data))


def kept_logits(
    folder: Path, data: PreparedData, score: Callable[[Split], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The test logits in a training's folder; predicted and kept there if there are none."""
    file = folder / TEST_LOGITS
    if not file.is_file():
        logits = score(data.test)
        with written_aside(file) as aside, aside.open("wb") as content:
            np.save(content, logits)
    return read_logits(file, len(data.test))


def read_logits(file: Path, rows: int) -> NDArray[np.float32]:
    """What `TrialResult.test_logits` keeps; RunError if it is not there or damaged."""
    try:
        logits = np.load(file, allow_pickle=False)
        if logits.shape != (rows,) or logits.dtype != np.float32:
            raise ValueError(f"not {rows} logits")
    except (OSError, ValueError, EOFError) as error:
        raise RunError(
            f"cannot be read: {error}",
            where=str(file),
            mend="delete this file and leaderboard.json; nasrec search then makes them again",
        ) from None
    return cast("NDArray[np.float32]", logits)


class Variant(NamedTuple):
    """One member of a family, to be trained by a recipe.

    Attributes:
        spec: the network.
        config: its training, before the recipe.
        rate: factor on the recipe's learning rate.
    """

    spec: ModelSpec
    config: TrainConfig
    rate: float = 1.0


def rate_factors(count: int) -> list[float]:
    """A ladder of factors on the learning rate: 1, 1/2, 2, 1/4, 4, ..."""
    factors = [1.0]
    power = 1
    while len(factors) < count:
        factors += [2.0**-power, 2.0**power]
        power += 1
    return factors[:count]


def nasrec_variants(
    inputs: Inputs,
    options: ModelOptions,
    config: TrainConfig,
    architectures: list[Architecture],
    rates: int = 1,
) -> list[Variant]:
    """The first architecture for each learning rate of the ladder, then each other one."""
    first, *others = (ModelSpec("nasrec", inputs, options, one) for one in architectures)
    return [*rate_variants(first, config, rates), *(Variant(spec, config) for spec in others)]


def rate_variants(spec: ModelSpec, config: TrainConfig, count: int) -> list[Variant]:
    """One variant of a network for each learning rate of the ladder."""
    return [Variant(spec, config, rate) for rate in rate_factors(count)]


#: Asks for trainings that may be done side by side, is sent their results, and returns all of
#: them, best first.
Plan = Generator[list[Trial], list[TrialResult], list[TrialResult]]


def tuned(
    family: str,
    variants: list[Variant],
    recipes: Sequence[Recipe],
    seed: int,
    steadier: Sequence[Recipe] = (),
) -> Plan:
    """The trainings of a family: the first variant by every recipe, the others by the best one.

    With v variants and r recipes these are v + r - 1. If the first learns nothing by any recipe, it
    is tried by the steadier ones besides, until it does.
    """

    def trial(number: int, recipe: Recipe) -> Trial:
        spec, config, rate = variants[number]
        spec = replace(spec, options=recipe.model(spec.options))
        config = recipe.training(config)
        config = config.model_copy(update={"learning_rate": config.learning_rate * rate})
        # A name is a folder: `published:criteo-full` is none everywhere.
        name = f"{family.replace(':', '-')}-{number + 1}-{recipe.name}"
        return Trial(name, family, spec, config, seed)

    results = yield [trial(0, recipe) for recipe in recipes]
    first = list(zip(results, recipes, strict=True))
    for recipe in steadier:
        if any(result.learned for result, _ in first):
            break
        results = yield [trial(0, recipe)]
        first.append((results[0], recipe))
    _, best = min(first, key=lambda pair: pair[0].order)
    others = yield [trial(number, best) for number in range(1, len(variants))]
    return sorted([*(result for result, _ in first), *others], key=lambda result: result.order)


def carried_out(
    plans: Mapping[str, Plan], run: Callable[[Sequence[Trial]], Sequence[TrialResult]]
) -> dict[str, list[TrialResult]]:
    """What each plan returns; `run` is given what all of them ask for at a time."""
    done: dict[str, list[TrialResult]] = {}
    asked = {name: next(plan) for name, plan in plans.items()}
    while asked:
        results = iter(run([trial for trials in asked.values() for trial in trials]))
        for name, trials in list(asked.items()):
            try:
                asked[name] = plans[name].send([next(results) for _ in trials])
            except StopIteration as end:
                done[name] = end.value
                del asked[name]
    return {name: done[name] for name in plans}


def run_trial(trial: Trial, data: PreparedData, folder: Path, tell: Reporter) -> TrialResult:
    """Train from scratch, or read what an earlier call has trained in this folder.

    A training that was killed goes on from its last checkpoint; one that was finished is not
    repeated.
    """
    result = folder / "result.json"
    if not result.is_file():
        _train(trial, data, folder, tell)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    content = read_json(result)
    return TrialResult(
        trial,
        folder,
        measured(content["valid"]),
        Platt(**content["calibration"]),
        **{
            name: content[name]
            for name in ("weights", "embedding_weights", "madds", "steps", "seconds", "failed")
        },
    )


def measured(content: dict[str, Any]) -> Metrics:
    """Metrics from a result.json, where what is not a number is null."""
    nan = float("nan")
    known: dict[str, Any] = {n: nan if value is None else value for n, value in content.items()}
    return Metrics(**known)


def _train(trial: Trial, data: PreparedData, folder: Path, tell: Reporter) -> None:
    network = trial.spec.build(trial.seed)
    if trial.spec.architecture is not None:
        text = json.dumps(trial.spec.architecture.to_dict(), indent=1) + "\n"
        write_text(folder / "architecture.json", text)
    weights = count_dense_weights(network)
    described: dict[str, Any] = {
        "name": trial.name,
        "family": trial.family,
        "model": trial.spec.model,
        "config": trial.config.model_dump(),
        "seed": trial.seed,
        "weights": weights,
        "embedding_weights": count_weights(network) - weights,
        "madds": cast("Any", network).madds,
        "failed": None,
        "valid": {"logloss": None, "auc": None, "rows": len(data.valid)},
        "calibration": UNCHANGED._asdict(),
        "best_step": 0,
        "steps": 0,
        "seconds": 0.0,
    }
    batch = min(trial.config.batch_size, len(data.train))
    with (
        tell.log(trial.name, folder) as log,
        tell.bar(f"Training {trial.name}", "rows", batch) as progress,
    ):
        try:
            fitted = fit(
                network,
                data.train,
                data.valid,
                trial.config,
                trial.seed,
                log=log,
                checkpoint=folder / "checkpoint",
                progress=progress,
            )
        except DivergenceError as error:
            # One learning rate too many must not end the comparison: it has lost.
            write_json(folder / "result.json", {**described, "failed": str(error)})
            return
    assert fitted.best is not None  # there are validation rows
    with written_aside(folder / "weights.safetensors") as aside:
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, aside)
    found = {
        "valid": fitted.best.to_dict(),
        "calibration": fitted.calibration._asdict(),
        "best_step": fitted.best_step,
        "steps": fitted.steps,
        "seconds": fitted.seconds,
    }
    write_json(folder / "result.json", {**described, **found})
