"""Does a supernet order subnets as training from scratch does? (paper Figure 3, Table 3)"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from nasrec.data import PreparedData
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart, robust_limits
from nasrec.search.correlation import Floats
from nasrec.study.config import FINE_TUNED, StudyConfig
from nasrec.study.estimate import scores_seconds, tell_time, truth_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.proxies import proxy_scores
from nasrec.study.ranker import with_ranker
from nasrec.study.scores import variant_scores
from nasrec.study.statistics import STATISTICS, Estimate, repeatability, resample_counts, statistic
from nasrec.study.truth import Truth, ground_truth
from nasrec.study.variants import Variant, with_none

HEAD = (
    "scored by", "Kendall τ", "less the first's", "τ, better half", "Spearman", "Pearson",
    "regret of 1", "regret of 5", "less the first's", "mean score", "supernet", "each score",
)  # fmt: skip


def ranking(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    tell: Reporter,
    *,
    variants: Mapping[str, Variant],
    ranker: bool = False,
) -> Found:
    """The study; see `nasrec.study.run_study`.

    Args:
        path, data, config, tell: as in every study.
        variants: ways to train the supernet; the others are compared with the first.
        ranker: tell of each way to score too what a learned ranker on top of it gives.
    """
    variants = with_none(variants, config)
    times = {
        f"{config.subnets} subnets from scratch": truth_seconds(path, data, config),
        "supernets and scores": scores_seconds(path, data, config, variants),
    }
    tell_time(tell, times)
    truth = ground_truth(path, data, config, tell)
    predictions: list[tuple[dict[str, Any], Floats]] = [
        # what needs no supernet: larger networks are better
        ({"name": "number of weights", "scoring": None}, -truth.weights[None]),
        ({"name": "multiply-adds", "scoring": None}, -truth.madds[None]),
        ({"name": "used blocks", "scoring": None}, -truth.depth[None]),
        *(
            ({"name": name, "scoring": None}, scores)
            for name, scores in proxy_scores(data, config, truth.subnets).items()
        ),
    ]
    failures = {}
    for name, supernet in variants.items():
        scores = variant_scores(path, data, config, name, supernet, truth.subnets, tell)
        if scores.failed is not None:
            failures[name] = scores.failed
        for scoring, losses in scores.logloss.items():
            about = {
                "name": name,
                "scoring": scoring,
                "supernet": supernet.model_dump(),
                "supernet_seconds": scores.supernet_seconds,
                "score_seconds": scores.score_seconds[scoring],
                "score_rows": config.scorings[scoring].trained_rows,
            }
            predictions.append((about, losses))
            if ranker:
                mended = with_ranker(config.space, truth.subnets, losses)
                predictions.append((about | {"ranker": True}, mended))
    counts = resample_counts(len(truth.subnets), seed=config.seed)
    rows = _rows(predictions, truth, counts)
    ceiling = repeatability(truth.logloss, counts)
    result = {
        "subnets": [
            {
                "digest": architecture.digest,
                "architecture": architecture.to_dict(),
                "weights": int(truth.weights[i]),
                "madds": int(truth.madds[i]),
                "used_blocks": int(truth.depth[i]),
                "logloss": truth.of(i)[0],
                "auc": truth.of(i)[1],
            }
            for i, architecture in enumerate(truth.subnets)
        ],
        "failed_trainings": truth.failed,
        "failed_supernets": failures,
        "truth_seconds": truth.seconds,
        "repeatability": None if ceiling is None else Estimate.of(ceiling).to_dict(),
        "repeated": int(np.isfinite(truth.logloss).all(0).sum()),
        "depths": depths(truth),
        "rows": rows,
    }
    return Found(result, HEAD, _body(rows), _words(result), _figure(rows, truth))


def _rows(
    predictions: Sequence[tuple[dict[str, Any], Floats]], truth: Truth, counts: Floats
) -> list[dict[str, Any]]:
    """Statistics of each prediction, and their paired differences to the first supernet's.

    To its scores after the fine-tuning, which is a part of the paper's recipe.
    """
    found = [
        {name: statistic(name, scores, truth.loss, counts) for name in STATISTICS}
        for _, scores in predictions
    ]
    first = next((i for i, (p, _) in enumerate(predictions) if p["scoring"] == FINE_TUNED), 0)
    return [
        about
        | {
            "scores": scores.tolist(),
            "statistics": {n: Estimate.of(v).to_dict() for n, v in here.items()},
            "difference": {n: Estimate.of(v - found[first][n]).to_dict() for n, v in here.items()},
        }
        for (about, scores), here in zip(predictions, found, strict=True)
    ]


def _body(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    body: list[tuple[str, ...]] = []
    for row in rows:
        found = {n: Estimate(**e) for n, e in row["statistics"].items()}
        scored = row["scoring"] is not None
        ranked = ", ranker" if row.get("ranker") else ""
        body.append(
            (
                f"{row['name']}, {row['scoring']}{ranked}" if scored else row["name"],
                found["kendall"].text(),
                Estimate(**row["difference"]["kendall"]).text(),
                found["kendall_better_half"].text(),
                found["spearman"].text(),
                found["pearson"].text(),
                found["regret_1"].text(4),
                found["regret_5"].text(4),
                Estimate(**row["difference"]["regret_5"]).text(4),
                f"{np.mean(row['scores']):.4f}" if scored and not ranked else "",
                f"{row['supernet_seconds']:.0f} s" if row.get("supernet_seconds") else "",
                f"{row['score_rows']:,} rows, {row['score_seconds']:.1f} s" if scored else "",
            )
        )
    return body


def depths(truth: Truth) -> list[dict[str, float]]:
    """Test log loss of the subnets by the number of their blocks that reach the logit."""
    found = []
    for depth in np.unique(truth.depth):
        loss = truth.loss[truth.depth == depth]
        found.append(
            {
                "used_blocks": int(depth),
                "subnets": len(loss),
                "logloss": float(loss.mean()),
                "spread": float(loss.std(ddof=1)) if len(loss) > 1 else 0.0,
                "best": float(loss.min()),
            }
        )
    return found


def _words(result: Mapping[str, Any]) -> str:
    truth = np.array([np.mean(s["logloss"]) for s in result["subnets"]])
    said = (
        f"{len(truth)} subnets. Test log loss from scratch: {truth.min():.4f} to "
        f"{truth.max():.4f}, median {np.median(truth):.4f}. "
    )
    if result["repeatability"] is not None:
        again, several = Estimate(**result["repeatability"]).text(), result["repeated"]
        said += f"Kendall τ of the ground truth between two seeds, {several} subnets: {again}. "
    each = "; ".join(
        f"{d['used_blocks']}: {d['logloss']:.4f} ± {d['spread']:.4f}, best {d['best']:.4f} "
        f"({d['subnets']})"
        for d in result["depths"]
    )
    said += f"Test log loss by used blocks, mean and standard deviation (subnets): {each}. "
    said += (
        "Brackets: 95 % bootstrap intervals over subnets. Correlations of scores (validation log "
        "loss; the mean over the supernet's seeds) with the mean test log loss; regret of k: test "
        "log loss of the best of the k best-scored, above that of the best of all. Each score: "
        "rows that its fine-tuning goes through, repeated ones counted again, and seconds."
    )
    if result["failed_trainings"]:
        said += f" {result['failed_trainings']} subnets are left out: a training diverged."
    for name, why in result["failed_supernets"].items():
        said += f" The supernet of {name} diverged: {why.splitlines()[0]}."
    return said


def _figure(rows: Sequence[Mapping[str, Any]], truth: Truth) -> Markup:
    """Score against truth, one chart for each row of the table that has a supernet."""
    charts = []
    for row in rows:
        scores = np.array(row["scores"])
        unscored = row["scoring"] is None or row.get("ranker")
        if unscored or not np.isfinite(scores).any():
            continue
        series = [
            Series(
                f"seed {number}",
                [(float(x), float(y)) for x, y in zip(one, truth.loss, strict=True) if x < np.inf],
                look,  # type: ignore[arg-type]
                "marks",
            )
            for number, (one, look) in enumerate(
                zip(scores, itertools.cycle(("ours", "theirs", "front")), strict=False)
            )
        ]
        tau = Estimate(**row["statistics"]["kendall"]).text()
        limits = robust_limits(scores[np.isfinite(scores)].tolist())
        told = chart(
            "Scores of the supernet and test log loss from scratch, one colour a seed",
            Axis("score: validation log loss", limits=limits),
            Axis("test log loss from scratch"),
            series,
        )
        charts.append((f"{row['name']}, {row['scoring']}: τ {tau}", told))
    return sheet(charts)
