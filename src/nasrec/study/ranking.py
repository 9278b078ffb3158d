"""Does a supernet order subnets as training from scratch does? (paper Figure 3, Tables 2 and 3)"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.pipeline.progress import Reporter
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import scores_seconds, told, truth_seconds
from nasrec.study.scores import variant_scores
from nasrec.study.statistics import (
    STATISTICS,
    Estimate,
    Floats,
    repeatability,
    resample_counts,
    statistic,
)
from nasrec.study.truth import Truth, ground_truth
from nasrec.train import SupernetConfig

FORMAT = "nasrec-study-ranking/1"

HEAD = (
    "scored by", "Kendall τ", "less the first's", "τ, better half", "Spearman", "Pearson",
    "regret of 1", "regret of 5", "mean score", "supernet",
)  # fmt: skip


def ranking(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    variants: Mapping[str, SupernetConfig],
    tell: Reporter,
) -> dict[str, Any]:
    """Train all that is missing and compare; gives the study's result as JSON types.

    Args:
        path: the study's folder.
        data: cut to the study's rows.
        config: its ground truth.
        variants: ways to train the supernet; the others are compared with the first.
        tell: shows progress.
    """
    trainings, supernets = (
        truth_seconds(path, data, config),
        scores_seconds(path, data, config, variants),
    )
    tell.say(
        f"This takes about {told(trainings + supernets)}: {config.subnets} subnets from scratch "
        f"with {config.seeds} seed{'s' * (config.seeds > 1)} each {told(trainings)}, "
        f"{len(variants)} supernet{'s' * (len(variants) > 1)} a seed {told(supernets)}"
    )
    truth = ground_truth(path, data, config, tell)
    counts = resample_counts(len(truth.subnets), seed=config.seed)
    rows: list[dict[str, Any]] = []
    predictions: list[tuple[dict[str, Any], Floats]] = [
        # what needs no supernet: larger networks are better
        ({"name": "number of weights", "scoring": None}, -truth.weights[None]),
        ({"name": "multiply-adds", "scoring": None}, -truth.madds[None]),
    ]
    failures = {}
    for name, supernet in variants.items():
        scores = variant_scores(path, data, config, name, supernet, truth.subnets, tell)
        if scores.failed is not None:
            failures[name] = scores.failed
            continue
        for scoring, losses in scores.logloss.items():
            about = {
                "name": name,
                "scoring": scoring,
                "supernet": supernet.model_dump(),
                "supernet_seconds": scores.supernet_seconds,
                "score_seconds": scores.score_seconds[scoring],
            }
            predictions.append((about, losses))
    base = _first(predictions, truth, counts)
    for about, scores_sn in predictions:
        found = {name: statistic(name, scores_sn, truth.loss, counts) for name in STATISTICS}
        rows.append(
            about
            | {
                "scores": scores_sn.tolist(),
                "statistics": {n: Estimate.of(v).to_dict() for n, v in found.items()},
                "difference": {n: Estimate.of(v - base[n]).to_dict() for n, v in found.items()},
            }
        )
    ceiling = repeatability(truth.logloss, counts)
    return {
        "format": FORMAT,
        "subnets": [
            {
                "digest": architecture.digest,
                "architecture": architecture.to_dict(),
                "weights": int(truth.weights[i]),
                "madds": int(truth.madds[i]),
                "logloss": truth.logloss[:, i].tolist(),
                "auc": truth.auc[:, i].tolist(),
            }
            for i, architecture in enumerate(truth.subnets)
        ],
        "failed_trainings": truth.failed,
        "failed_supernets": failures,
        "truth_seconds": truth.seconds,
        "repeatability": None if ceiling is None else Estimate.of(ceiling).to_dict(),
        "rows": rows,
    }


def _first(
    predictions: list[tuple[dict[str, Any], Floats]], truth: Truth, counts: Floats
) -> dict[str, Floats]:
    """Resampled statistics of the first supernet's first scoring, to compare with."""
    scores = next((s for about, s in predictions if about["scoring"]), predictions[0][1])
    return {name: statistic(name, scores, truth.loss, counts) for name in STATISTICS}


def table(result: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and body of the study's table."""
    body: list[tuple[str, ...]] = []
    for row in result["rows"]:
        found = {n: Estimate(**_numbers(e)) for n, e in row["statistics"].items()}
        less = Estimate(**_numbers(row["difference"]["kendall"]))
        supernet = row["scoring"] is not None
        scores = np.array([[np.nan if s is None else s for s in one] for one in row["scores"]])
        body.append(
            (
                f"{row['name']}, {row['scoring']}" if supernet else row["name"],
                found["kendall"].text(),
                less.text(),
                found["kendall_better_half"].text(),
                found["spearman"].text(),
                found["pearson"].text(),
                found["regret_1"].text(4),
                found["regret_5"].text(4),
                f"{np.nanmean(scores):.4f}" if supernet else "",
                f"{row['supernet_seconds']:.0f} s" if supernet else "",
            )
        )
    return HEAD, body


def _numbers(estimate: Mapping[str, float | None]) -> dict[str, float]:
    return {name: np.nan if value is None else value for name, value in estimate.items()}


def words(result: Mapping[str, Any]) -> str:
    """What stands below the table."""
    truth = np.array([s["logloss"] for s in result["subnets"]])
    said = (
        f"{len(truth)} subnets, {truth.shape[1]} seed{'s' * (truth.shape[1] > 1)}. Test log loss "
        f"from scratch: {truth.min():.4f} to {truth.max():.4f}, median {np.median(truth):.4f}. "
    )
    if result["repeatability"] is not None:
        again = Estimate(**_numbers(result["repeatability"])).text()
        said += f"Kendall τ of the ground truth between two seeds: {again}. "
    said += (
        "Brackets: 95 % bootstrap intervals over subnets. Correlations of scores (validation log "
        "loss, mean over the supernet's seeds) with the mean test log loss; regret of k: test log "
        "loss of the best of the k best-scored, above that of the best of all."
    )
    if result["failed_trainings"]:
        said += f" {result['failed_trainings']} subnets are left out: a training diverged."
    for name, why in result["failed_supernets"].items():
        said += f" The supernet of {name} diverged: {why.splitlines()[0]}."
    return said
