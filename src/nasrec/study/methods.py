"""What search methods find, beside the training rows that they have spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import ConfigError, nearest
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart
from nasrec.search import METHODS
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import scores_seconds, tell_time, training_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.variants import Variant
from nasrec.study.winners import (
    best_found,
    best_from_scratch,
    forget_supernets,
    method_for,
    tested,
)
from nasrec.train.relax import RelaxConfig

HEAD = ("method", "candidates", "rows trained", "test log loss", "each seed")
DEFAULT = ("random", "evolution", "guided", "relaxed", "progressive")
FROM_SCRATCH = ("random", "guided")
"""Searches whose candidates are trained from scratch: the plainest, and AutoCTR's."""
_SCORING = "fine-tuned"


def methods(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    tell: Reporter,
    *,
    variants: Mapping[str, Variant],
    names: Sequence[str] = DEFAULT,
    evaluations: int = 100,
    top_k: int = 3,
    scratch: int = 12,
) -> Found:
    """The study; see `nasrec.study.run_study`.

    Each method proposes candidates for the same trained supernet; its best `top_k` are trained
    from scratch, and the one that validation chooses is tested. Beside them, searches that train
    every candidate from scratch.

    Args:
        path, data, config, tell: as in every study.
        variants: ways to train the supernet.
        names: search methods.
        evaluations: candidates that each scores with the supernet.
        top_k: of each to train from scratch.
        scratch: candidates of the searches from scratch; 0 leaves them out.

    Raises:
        ConfigError: no such method, or one that goes by several goals.
        SpaceError: a method that cannot search this space.
    """
    of_one_goal = [name for name in METHODS if name != "nsga2"]
    for name in names:
        if name not in of_one_goal:
            raise ConfigError(
                f"no method {name!r} of one goal",
                where="--methods",
                mend=nearest(name, of_one_goal),
            )
        method_for(config, name, config.seed, evaluations)  # refuses a space before any work
    if alone := [name for name, variant in variants.items() if not variant.trained]:
        raise ConfigError(
            f"{alone[0]} trains nothing that methods could search with",
            where="--variants",
            mend="name ways to train a supernet",
        )
    scored = config.model_copy(update={"subnets": max(evaluations, 5)})
    trainings = len(variants) * len(names) * top_k + (scratch * len(FROM_SCRATCH))
    tell_time(tell, {
        "supernets and scores": scores_seconds(path, data, scored, variants) * len(names),
        "trainings from scratch": config.seeds * trainings * training_seconds(data, config),
    })  # fmt: skip
    rows: list[dict[str, Any]] = []
    one_training = config.training.epochs * len(data.train)
    for variant, supernet in variants.items():
        for name in names:
            losses = []
            for seed in config.repeats:
                best = best_found(
                    path, data, config, variant, supernet, _SCORING, seed, name, evaluations, tell
                )
                losses.append(tested(path, data, config, best[:top_k], seed, tell))
            learnt = learning_rows(len(data.train)) if METHODS[name].learns else 0
            rows.append(
                {
                    "name": name if len(variants) == 1 else f"{name}, {variant}",
                    "kind": "supernet",
                    "candidates": evaluations,
                    "rows": supernet.epochs * len(data.train) + learnt + top_k * one_training,
                    "logloss": losses,
                }
            )
    forget_supernets(path, config, variants)
    for name in FROM_SCRATCH if scratch else ():
        losses = []
        for seed in config.repeats:
            best = best_from_scratch(path, data, config, seed, name, scratch, tell)
            losses.append(tested(path, data, config, best[:1], seed, tell))
        rows.append(
            {
                "name": f"{name}, from scratch",
                "kind": "from scratch",
                "candidates": scratch,
                "rows": scratch * one_training,
                "logloss": losses,
            }
        )
    body = [
        (
            row["name"],
            f"{row['candidates']}",
            f"{row['rows']:,}",
            f"{np.mean(row['logloss']):.4f}",
            ", ".join(f"{loss:.4f}" for loss in row["logloss"]),
        )
        for row in rows
    ]
    words = (
        f"Candidates of {config.space.name}, {config.seeds} seeds. Rows trained: those that whole "
        "networks have been trained on, the supernet, a relaxed copy of it, and networks from "
        f"scratch. Of a search on the supernet the best {top_k} are trained from scratch and "
        "validation chooses; the fine-tuning of last FCs is not counted."
    )
    return Found({"rows": rows}, HEAD, body, words, sheet([(config.space.name, _figure(rows))]))


def learning_rows(train: int) -> int:
    """Rows that a method which learns choices sees, of so many training rows."""
    relaxation = RelaxConfig()
    return relaxation.epochs * min(train, relaxation.rows or train)


def _figure(rows: Sequence[Mapping[str, Any]]) -> Any:
    def points(kind: str) -> Series:
        chosen = [r for r in rows if r["kind"] == kind and np.isfinite(r["logloss"]).all()]
        return Series(
            {"supernet": "scored with the supernet"}.get(kind, kind),
            [(r["rows"], float(np.mean(r["logloss"]))) for r in chosen],
            "ours" if kind == "supernet" else "theirs",
            "marks",
            texts=[r["name"] for r in chosen],
            labels=[r["name"] for r in chosen],
        )

    return chart(
        "Training rows spent and test log loss of the winner",
        Axis("rows trained", log=True),
        Axis("test log loss, mean over seeds"),
        [points("supernet"), points("from scratch")],
    )
