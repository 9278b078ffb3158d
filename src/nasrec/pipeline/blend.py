"""The mean logit of some of a family's trainings as one model, where validation allows it.

All of them are done anyway, to choose one. They err in different ways, so their mean errs less.
What it costs is to serve several networks (Caruana et al., *Ensemble selection from libraries of
models*, ICML 2004).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Split
from nasrec.files import write_json
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.retrain import NASREC
from nasrec.pipeline.trials import TrialResult, measured
from nasrec.serve.spec import BLEND, blend_of
from nasrec.train import CRITERIA, Metrics, TrainConfig, log_loss, metrics_on
from nasrec.train.paired import row_losses
from nasrec.train.platt import UNCHANGED, Platt, calibrated

#: What a blend has as much of as its parts have together.
SUMMED = ("weights", "embedding_weights", "madds", "steps", "seconds")


class Few(NamedTuple):
    """Which trainings are blended, by their place, and what their mean logit has on validation."""

    chosen: tuple[int, ...]
    calibration: Platt
    valid: Metrics


def blend_stage(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    families: Mapping[str, list[TrialResult]],
    limits: Mapping[str, int],
) -> dict[str, list[TrialResult]]:
    """The trainings of each family with its blend; that of NASRecNets is within the limits."""
    return {
        family: with_blend(
            results,
            data,
            run.retrain / f"{family}-{BLEND}",
            config.most_blended,
            limits if family == NASREC else None,
        )
        for family, results in families.items()
    }


def best_few(
    logits: Sequence[NDArray[Any]],
    valid: Split,
    config: TrainConfig,
    most: int,
    fits: Callable[[Sequence[int]], bool] = lambda chosen: True,
) -> Few:
    """Which trainings are to be blended: the best, then always the one whose joining helps most.

    So one that errs in another way comes before one that is nearly the same again. As many stay as
    have the best mean, or more as long as these rows do not tell it from the best by one standard
    error of the paired difference: the larger blend is the safer one then, for luck on these rows
    has less of a say in it. All count the same; weights fitted to a few thousand rows would be of
    chance.

    Args:
        logits: of each training, the best first: those of the validation rows, (rows,).
        valid: these rows.
        config: tells the criterion, and whether logits are calibrated.
        most: so many are blended at most.
        fits: whether trainings may be blended; one alone may always.
    """
    order, total = [0], np.asarray(logits[0], dtype=np.float64)
    while len(order) < most:
        further = [i for i in range(len(logits)) if i not in order and fits([*order, i])]
        if not further:
            break
        losses = [
            log_loss((total + logits[i]) / (len(order) + 1), valid.labels, valid.weights)
            for i in further
        ]
        order.append(further[int(np.argmin(losses))])
        total = total + logits[order[-1]]
    tried, rows = [], []
    for number in range(1, len(order) + 1):
        mean = mean_logits([logits[i] for i in order[:number]])
        tried.append(Few(tuple(order[:number]), *measured_mean(mean, valid, config)))
        rows.append(row_losses(tried[-1].calibration(mean), valid.labels))
    criterion = CRITERIA[config.criterion]
    best = int(np.argmin([criterion.loss(few.valid) for few in tried]))
    even = [n for n, of_few in enumerate(rows) if _even(of_few - rows[best], valid.weights)]
    return tried[max(best, *even)]


def _even(differences: NDArray[np.float64], weights: NDArray[Any] | None) -> bool:
    """Whether paired losses are greater by at most one standard error of their mean."""
    w = np.ones(len(differences)) if weights is None else weights.astype(np.float64)
    mean = (w * differences).sum() / w.sum()
    return bool(mean <= math.sqrt((w**2 * (differences - mean) ** 2).sum()) / w.sum())


def mean_logits(logits: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """The mean of several models' logits, (rows,)."""
    return np.asarray(np.mean(logits, axis=0, dtype=np.float64))


def measured_mean(
    logits: NDArray[np.float64], valid: Split, config: TrainConfig
) -> tuple[Platt, Metrics]:
    """The calibration of mean logits, where trainings have one, and what they have with it."""
    return calibrated(valid, logits) if config.calibrate else (UNCHANGED, metrics_on(valid, logits))


def with_blend(
    results: list[TrialResult],
    data: PreparedData,
    folder: Path,
    most: int,
    limits: Mapping[str, int] | None = None,
) -> list[TrialResult]:
    """The trainings of a family, best first, and before them their blend, if there is to be one.

    Args:
        results: the trainings, best first.
        data: decides on its validation rows.
        folder: of the blend; the decision is kept there.
        most: so many trainings are blended at most.
        limits: what all of a blend may cost, by the names of `TrialResult.costs`.
    """
    good = [result for result in results if result.learned]
    if most < 2 or len(good) < 2:
        return results

    def fits(chosen: Sequence[int]) -> bool:
        costs = [good[i].costs for i in chosen]
        return all(sum(of[name] for of in costs) <= m for name, m in (limits or {}).items())

    file = folder / "blend.json"
    if not file.is_file():
        logits = [result.logits(data.valid) for result in good]
        few = best_few(logits, data.valid, good[0].trial.config, most, fits)
        parts = [good[i].trial.name for i in few.chosen]
        kept = {"parts": parts, "calibration": few.calibration._asdict()}
        write_json(file, kept | {"valid": few.valid.to_dict()})
    content, by_name = read_json(file), {result.trial.name: result for result in good}
    chosen = tuple(by_name[name] for name in content["parts"])
    if len(chosen) < 2:
        return results
    spec = blend_of([part.trial.spec for part in chosen])
    blend = TrialResult(
        replace(chosen[0].trial, name=folder.name, spec=spec),
        folder,
        measured(content["valid"]),
        Platt(**content["calibration"]),
        **{name: sum(getattr(part, name) for part in chosen) for name in SUMMED},
        failed=None,
        parts=chosen,
    )
    return [blend, *results]
