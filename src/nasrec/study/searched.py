"""What a search finds under each way of training and scoring the supernet (paper Table 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import scores_seconds, tell_time, training_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.winners import best_found, forget_supernets, tested
from nasrec.train import SupernetConfig

HEAD = ("searched with", "test log loss", "best of", "spread over seeds", "supernet rows")


def searched(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    tell: Reporter,
    *,
    variants: Mapping[str, SupernetConfig],
    evaluations: int = 100,
    top_k: int = 3,
) -> Found:
    """The study; see `nasrec.study.run_study`.

    Evolution over each variant's scores; the best `top_k` of each are trained from scratch, and
    the one that validation chooses is tested. No subnets beside those are trained.

    Args:
        path, data, config, tell: as in every study.
        variants: ways to train the supernet.
        evaluations: candidates to score in each search.
        top_k: of each search to train from scratch.
    """
    searches = len(variants) * len(config.scorings) * config.seeds
    scored = config.model_copy(update={"subnets": max(evaluations, 5)})
    tell_time(tell, {
        "supernets and scores": scores_seconds(path, data, scored, variants),
        "trainings from scratch": searches * top_k * training_seconds(data, config),
    })  # fmt: skip
    rows: list[dict[str, Any]] = []
    for name, supernet in variants.items():
        for scoring in config.scorings:
            losses = []
            for seed in config.repeats:
                best = best_found(
                    path,
                    data,
                    config,
                    name,
                    supernet,
                    scoring,
                    seed,
                    "evolution",
                    evaluations,
                    tell,
                )
                losses.append(tested(path, data, config, best[:top_k], seed, tell))
            rows.append(
                {
                    "name": name,
                    "scoring": scoring,
                    "supernet": supernet.model_dump(),
                    "logloss": losses,
                    "loss": float(np.mean(losses)),
                    "supernet_rows": supernet.epochs * len(data.train),
                }
            )
    forget_supernets(path, config, variants)
    body = [
        (
            f"{row['name']}, {row['scoring']}",
            f"{row['loss']:.4f}",
            f"{top_k} of {evaluations}",
            f"{np.std(row['logloss'], ddof=1):.4f}" if config.seeds > 1 else "",
            f"{row['supernet_rows']:,}",
        )
        for row in rows
    ]
    points = [(float(i + 1), loss) for i, row in enumerate(rows) for loss in row["logloss"]]
    told = [f"{row['name']}, {row['scoring']}" for row in rows for _ in row["logloss"]]
    figure = chart(
        "Test log loss of what each search found",
        Axis("row of the table", text=lambda value: f"{value:g}"),
        Axis("test log loss"),
        [Series("winners", points, "ours", "marks", texts=told)],
    )
    words = (
        f"Evolution over {evaluations} candidates of {config.space.name}, {config.seeds} seeds; "
        f"the best {top_k} trained from scratch, one chosen on validation and tested."
    )
    return Found({"rows": rows}, HEAD, body, words, sheet([(config.space.name, figure)]))
