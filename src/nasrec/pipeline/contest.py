"""One family of models in a comparison: its trials, and the repeats of the one it chooses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split
from nasrec.errors import ConfigError, nearest
from nasrec.nn import BASELINES, Inputs, NASRecNet
from nasrec.pipeline import boosting
from nasrec.pipeline.blend import best_few, mean_logits, measured_mean
from nasrec.pipeline.boosting import LIGHTGBM
from nasrec.pipeline.candidates import recipes_to_try, search_stage
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.retrain import NASREC
from nasrec.pipeline.supernet import supernet_stage
from nasrec.pipeline.trials import (
    Trial,
    TrialResult,
    Variant,
    carried_out,
    kept_logits,
    measured,
    nasrec_variants,
    rate_variants,
    run_trial,
    tuned,
)
from nasrec.serve import ModelSpec
from nasrec.serve.spec import BLEND
from nasrec.space import PUBLISHED, Architecture, published
from nasrec.train import Metrics
from nasrec.train.platt import Platt

PUBLISHED_PREFIX = "published:"
#: Everything that can take part.
KNOWN = (NASREC, *BASELINES, LIGHTGBM, *(PUBLISHED_PREFIX + name for name in PUBLISHED))


def known_models(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names without repeats; ConfigError, with the nearest, where one is of no model."""
    for name in names:
        if name not in KNOWN:
            raise ConfigError(f"unknown model {name!r}", mend=nearest(name, KNOWN))
    if not names:
        raise ConfigError("there is no model to compare", mend="name some, or leave --models out")
    return tuple(dict.fromkeys(names))


def title_of(family: str) -> str:
    """How tables call a family."""
    if family.startswith(PUBLISHED_PREFIX):
        return f"NASRecNet, {family.removeprefix(PUBLISHED_PREFIX)}"
    titles = {NASREC: f"{NASRecNet.title}, searched", LIGHTGBM: boosting.TITLE}
    return titles.get(family) or BASELINES[family].title


@dataclass(frozen=True)
class Setup:
    """What all families of a comparison share; plain enough for another process.

    Attributes:
        data: the prepared folder.
        out: the comparison's folder.
        config: seed, search, training and recipes of every family.
        trials: trainings of each family with the first seed.
    """

    data: Path
    out: Path
    config: SearchConfig
    trials: int

    @property
    def ladder(self) -> int:
        """Members of a family: the first is trained by every recipe, the others by the best."""
        return self.trials - len(self.config.recipes) + 1


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        family, name, seed: what was trained; `name` is its folder's.
        folder: its files.
        trial: a network and its training; None is LightGBM, or a blend.
        settings: how it was trained, as JSON types.
        valid: metrics on validation, calibrated.
        calibration: what is done to its logits.
        weights, embedding_weights, madds, seconds, failed, parts: as in `TrialResult`.
    """

    family: str
    name: str
    seed: int
    folder: Path
    trial: Trial | None
    settings: dict[str, Any]
    valid: Metrics
    calibration: Platt
    weights: int
    embedding_weights: int
    madds: int
    seconds: float
    failed: str | None
    parts: tuple[Outcome, ...] = ()

    @property
    def order(self) -> tuple[float, str]:
        """To sort by: validation log loss, ties by name; one that failed is last."""
        loss = self.valid.logloss
        return (loss if np.isfinite(loss) else np.inf, self.name)

    def test_logits(self, data: PreparedData) -> NDArray[np.float32]:
        """Calibrated logits of the test rows, kept in the folder once they are predicted."""
        return kept_logits(self.folder, data, self.logits)

    def logits(self, split: Split) -> NDArray[np.float32]:
        """Calibrated logits of a split's rows, (rows,)."""
        raw: NDArray[Any]
        if self.parts:
            raw = mean_logits([part.logits(split) for part in self.parts])
        elif self.trial is None:
            raw = boosting.Boosted(self.folder).logits(split)
        else:
            return _result_of(self).logits(split)
        return self.calibration(raw).astype(np.float32)

    def scorer(self) -> Callable[[NDArray[Any], NDArray[Any]], Any]:
        """What scores encoded rows, as a service would."""
        if self.parts:
            scorers = [part.scorer() for part in self.parts]
            return lambda dense, sparse: sum(score(dense, sparse) for score in scorers)
        if self.trial is None:
            return boosting.Boosted(self.folder)
        network = _result_of(self).network().eval()

        def score(dense: NDArray[Any], sparse: NDArray[Any]) -> Any:
            with torch.inference_mode():
                return network(torch.from_numpy(dense), torch.from_numpy(sparse))

        return score


def _result_of(outcome: Outcome) -> TrialResult:
    assert outcome.trial is not None
    return TrialResult(
        outcome.trial,
        outcome.folder,
        outcome.valid,
        outcome.calibration,
        outcome.weights,
        outcome.embedding_weights,
        outcome.madds,
        0,
        outcome.seconds,
        outcome.failed,
    )


def _outcome(folder: Path, trial: Trial | None) -> Outcome:
    content = read_json(folder / "result.json")
    return Outcome(
        content["family"],
        content["name"],
        content["seed"],
        folder,
        trial,
        content["config"],
        measured(content["valid"]),
        Platt(**content["calibration"]),
        *(content[k] for k in ("weights", "embedding_weights", "madds", "seconds", "failed")),
    )


def tune(setup: Setup, family: str) -> list[Outcome]:
    """All trials of a family with the first seed, best on validation first; each told as it ends.

    Before them comes their blend, if there is to be one. What is finished is not repeated. The
    searched NASRecNet first searches; its supernet and the scoring are not among the trials.
    """
    data, seed = PreparedData.open(setup.data), setup.config.seed
    if family == LIGHTGBM:
        found = [
            _boost(setup, data, f"{LIGHTGBM}-{i}", settings, seed)
            for i, settings in enumerate(boosting.settings_of(setup.trials), start=1)
        ]
        return _with_blend(setup, data, sorted(found, key=lambda outcome: outcome.order))
    members, recipes = _members(setup, data, family), setup.config.recipes
    if family == NASREC:
        recipes = recipes_to_try(RunFolder(setup.out), setup.config)
    plan = tuned(family, members, recipes, seed)
    results = carried_out(
        {family: plan}, lambda trials: [_trained(setup, data, trial) for trial in trials]
    )
    outcomes = [_outcome(result.folder, result.trial) for result in results[family]]
    return _with_blend(setup, data, outcomes)


def _with_blend(setup: Setup, data: PreparedData, outcomes: list[Outcome]) -> list[Outcome]:
    """As `nasrec.pipeline.blend.with_blend`, of whatever models."""
    good, most = [one for one in outcomes if one.failed is None], setup.config.most_blended
    if most < 2 or len(good) < 2:
        return outcomes
    logits = [one.logits(data.valid) for one in good]
    few = best_few(logits, data.valid, setup.config.training, most)
    if len(few.chosen) == 1:
        return outcomes
    return [_blend(setup, [good[i] for i in few.chosen], few.calibration, few.valid), *outcomes]


def blended(setup: Setup, parts: Sequence[Outcome]) -> Outcome:
    """The blend of trainings with one seed, calibrated on validation; one alone is itself."""
    if len(parts) == 1:
        return parts[0]
    valid = PreparedData.open(setup.data).valid
    logits = mean_logits([part.logits(valid) for part in parts])
    return _blend(setup, parts, *measured_mean(logits, valid, setup.config.training))


def _blend(setup: Setup, parts: Sequence[Outcome], calibration: Platt, valid: Metrics) -> Outcome:
    first = parts[0]
    name = f"{first.family.replace(':', '-')}-{BLEND}"
    name += f"-seed{first.seed}" if first.seed != setup.config.seed else ""
    return Outcome(
        first.family,
        name,
        first.seed,
        RunFolder(setup.out).retrain / name,
        None,
        {part.name: part.settings for part in parts},
        valid,
        calibration,
        weights=sum(part.weights for part in parts),
        embedding_weights=sum(part.embedding_weights for part in parts),
        madds=sum(part.madds or 0 for part in parts),  # LightGBM counts none
        seconds=sum(part.seconds for part in parts),
        failed=None,
        parts=tuple(parts),
    )


def repeat(setup: Setup, chosen: Outcome, seed: int) -> Outcome:
    """A trial that its family has chosen, with another seed."""
    data, name = PreparedData.open(setup.data), f"{chosen.name}-seed{seed}"
    if chosen.trial is None:
        return _boost(setup, data, name, chosen.settings, seed)
    result = _trained(setup, data, replace(chosen.trial, name=name, seed=seed))
    return _outcome(result.folder, result.trial)


def searched(setup: Setup, data: PreparedData, tell: Reporter) -> list[Architecture]:
    """The best architectures of the search; it is done if it was not yet."""
    run, config = RunFolder(setup.out), setup.config
    began, fresh = time.perf_counter(), not (run.search / "ranking.json").is_file()
    best = search_stage(run, data, config, lambda: supernet_stage(run, data, config, tell), tell)
    if fresh:
        run.stage_done("search", time.perf_counter() - began)
    return best


def _members(setup: Setup, data: PreparedData, family: str) -> list[Variant]:
    config, inputs = setup.config, inputs_of(data)
    if family == NASREC:
        best = searched(setup, data, Reporter(quiet=True))
        return nasrec_variants(inputs, config.model, config.training, best, config.rates)
    return rate_variants(spec_of(family, config, inputs), config.training, setup.ladder)


def spec_of(family: str, config: SearchConfig, inputs: Inputs) -> ModelSpec:
    """The network of a family that needs no search."""
    if not family.startswith(PUBLISHED_PREFIX):
        return ModelSpec(family, inputs, config.model)
    architecture = published(family.removeprefix(PUBLISHED_PREFIX))
    return ModelSpec(NASREC, inputs, config.model, architecture)


def _trained(setup: Setup, data: PreparedData, trial: Trial) -> TrialResult:
    folder = RunFolder(setup.out).retrain / trial.name
    fresh = not (folder / "result.json").is_file()
    result = run_trial(trial, data, folder, Reporter(quiet=True))
    if fresh:
        _tell(trial.name, result.valid.logloss, result.seconds, result.failed)
    return result


def _boost(
    setup: Setup, data: PreparedData, name: str, settings: dict[str, Any], seed: int
) -> Outcome:
    folder = RunFolder(setup.out).retrain / name
    fresh = not (folder / "result.json").is_file()
    if fresh:
        boosting.train_lightgbm(
            name, settings, seed, data, folder, calibrate=setup.config.retrain.calibrate
        )
    outcome = _outcome(folder, None)
    if fresh:
        _tell(name, outcome.valid.logloss, outcome.seconds, None)
    return outcome


def _tell(name: str, loss: float, seconds: float, failed: str | None) -> None:
    told = f"failed: {failed}" if failed else f"validation log loss {loss:.5f}"
    Reporter().say(f"{name}: {told}, {seconds:.0f} s")
