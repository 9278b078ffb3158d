"""What quality costs: multiply-adds against log loss (paper Table 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.nn import build_baseline
from nasrec.nn.inputs import Inputs
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial
from nasrec.report.charts import Axis, Series, chart
from nasrec.search.correlation import spearman
from nasrec.serve import ModelSpec
from nasrec.space import load_architecture
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import tell_time, truth_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.statistics import Estimate, resample_counts
from nasrec.study.truth import ground_truth, measured

HEAD = ("model", "kind", "multiply-adds a row", "weights", "test log loss", "test AUC")


def cost(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    tell: Reporter,
    *,
    baselines: Sequence[str] = (),
    architectures: Sequence[str] = (),
) -> Found:
    """The study; see `nasrec.study.run_study`.

    Args:
        path, data, config, tell: as in every study.
        baselines: hand-made models, by name.
        architectures: winners, as files or published ones by name.
    """
    inputs = inputs_of(data)
    chosen = {name: (ModelSpec(name, inputs, config.model), "hand-made") for name in baselines}
    for name in baselines:
        build_baseline(name, Inputs(1, ()))  # refuses an unknown one before any work
    for name in architectures:
        spec = ModelSpec("nasrec", inputs, config.model, load_architecture(name))
        chosen[name] = (spec, "given")
    tell_time(tell, {"subnets from scratch": truth_seconds(path, data, config)})
    truth = ground_truth(path, data, config, tell)
    rows: list[dict[str, Any]] = []
    for i, architecture in enumerate(truth.subnets):
        rows.append(
            _row(f"random {architecture.digest[:8]}", "random", truth.madds[i], truth.weights[i],
                 *truth.of(i))
        )  # fmt: skip
    for name, (spec, kind) in chosen.items():
        found = []
        for seed in config.repeats:
            digest = spec.architecture.digest[:12] if spec.architecture else name
            folder = path / "models" / f"{digest}-seed-{seed}"
            trial = Trial(f"{name}-seed-{seed}", "cost", spec, config.training, seed)
            found.append(measured(trial, data, folder, tell))
        rows.append(
            _row(name, kind, found[0]["madds"], found[0]["weights"],
                 [f["logloss"] for f in found], [f["auc"] for f in found])
        )  # fmt: skip
    rows.sort(key=lambda row: (not np.isfinite(row["loss"]), row["loss"]))
    counts = resample_counts(len(truth.subnets), seed=config.seed)
    larger = Estimate.of(spearman(truth.madds, truth.loss, counts))
    return Found(
        {"rows": rows, "madds_and_loss": larger.to_dict(), "failed_trainings": truth.failed},
        HEAD,
        _body(rows),
        f"Every model is trained alike, {config.seeds} times. Of {len(truth.subnets)} random "
        "subnets the table has the best, the median and those that no other random subnet beats "
        "in both loss and multiply-adds; ± is the standard deviation over trainings. Spearman's "
        f"correlation of multiply-adds and log loss among random subnets: {larger.text()}.",
        sheet([(f"{config.space.name}: quality and cost", _figure(rows))]),
    )


def _row(
    name: str, kind: str, madds: float, weights: float, losses: list[float], aucs: list[float]
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "madds": int(madds),
        "weights": int(weights),
        "logloss": losses,
        "auc": aucs,
        "loss": float(np.mean(losses)),
    }


def _body(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of the table: best first."""
    random = [row for row in rows if row["kind"] == "random"]
    front, least = [], np.inf
    for row in random:  # best first: a later one must be cheaper to be on the front
        if row["madds"] < least:
            front.append(row["name"])
            least = row["madds"]
    shown = {*front, random[len(random) // 2]["name"]}
    body: list[tuple[str, ...]] = []
    for row in rows:
        if row["kind"] != "random" or row["name"] in shown:
            spread = np.std(row["logloss"], ddof=1) if len(row["logloss"]) > 1 else np.nan
            told = f"{row['loss']:.4f}" + (f" ± {spread:.4f}" if np.isfinite(spread) else "")
            auc = f"{np.mean(row['auc']):.4f}"
            body.append(
                (row["name"], row["kind"], f"{row['madds']:,}", f"{row['weights']:,}", told, auc)
            )
    return body


def _figure(rows: Sequence[dict[str, Any]]) -> Any:
    def points(kind: str) -> list[tuple[float, float]]:
        return [
            (max(1, row["madds"]), row["loss"])
            for row in rows
            if row["kind"] == kind and np.isfinite(row["loss"])
        ]

    def names(kind: str) -> list[str]:
        return [r["name"] for r in rows if r["kind"] == kind and np.isfinite(r["loss"])]

    return chart(
        "Multiply-adds a row and test log loss",
        Axis("multiply-adds a row", log=True),
        Axis("test log loss"),
        [
            Series("random subnets", points("random"), "quiet", "dots"),
            Series("hand-made models", points("hand-made"), "theirs", "marks",
                   texts=names("hand-made"), labels=names("hand-made")),
            Series("given architectures", points("given"), "ours", "marks",
                   texts=names("given"), labels=names("given")),
        ],
    )  # fmt: skip
