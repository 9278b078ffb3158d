"""What a search finds under each way of training and scoring the supernet (paper Table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import ConfigError
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import scores_seconds, tell_time, training_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.variants import Variant, with_none
from nasrec.study.winners import best_found, forget_supernets, tested

HEAD = (
    "searched with", "test log loss", "less the first's", "each seed", "best of", "rows trained",
)  # fmt: skip
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The 97.5 % quantile of Student's t with 1 to 10 degrees of freedom; with more it is less."""


def searched(
    path: Path,
    data: PreparedData,
    config: StudyConfig,
    tell: Reporter,
    *,
    variants: Mapping[str, Variant],
    pairs: Sequence[tuple[str, str]] = (),
    evaluations: int = 100,
    top_k: int = 3,
) -> Found:
    """The study; see `nasrec.study.run_study`.

    Evolution over each variant's scores; the best `top_k` of each are trained from scratch, and
    the one that validation chooses is tested. No subnets beside those are trained.

    Args:
        path, data, config, tell: as in every study.
        variants: ways to train the supernet.
        pairs: of a variant and a way to score; all if there are none.
        evaluations: candidates to score in each search.
        top_k: of each search to train from scratch.

    Raises:
        ConfigError: a pair of something unknown.
    """
    variants = with_none(variants, config)
    known = [(n, how) for n, v in variants.items() for how in config.scorings_with(v.trained)]
    for pair in pairs:
        if pair not in known:
            raise ConfigError(
                f"there is no search with {', '.join(pair)}",
                where="--pairs",
                mend=f"there are {', '.join('/'.join(one) for one in known)}",
            )
    pairs = pairs or known
    scored = config.model_copy(update={"subnets": max(evaluations, 5)})
    trainings = len(pairs) * config.seeds * top_k
    tell_time(tell, {
        "supernets and scores": scores_seconds(path, data, scored, variants),
        "trainings from scratch": trainings * training_seconds(data, config),
    })  # fmt: skip
    rows: list[dict[str, Any]] = []
    for name, scoring in pairs:
        supernet, settings = variants[name], config.scorings[scoring]
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
        once = len(supernet.rows_of(data.train, config.seed))
        of_supernet = supernet.epochs * once if supernet.trained else 0
        of_scores = evaluations * settings.trained_rows
        rows.append(
            {
                "name": name,
                "scoring": scoring,
                "supernet": supernet.model_dump(),
                "logloss": losses,
                "loss": float(np.mean(losses)),
                "supernet_rows": of_supernet,
                "score_rows": of_scores,
            }
        )
    forget_supernets(path, config, variants)
    body = [
        (
            f"{row['name']}, {row['scoring']}",
            f"{row['loss']:.4f}",
            _difference(row["logloss"], rows[0]["logloss"]),
            ", ".join(f"{loss:.4f}" for loss in row["logloss"]),
            f"{top_k} of {evaluations}",
            f"{row['supernet_rows'] + row['score_rows']:,}",
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
        f"the best {top_k} trained from scratch, one chosen on validation and tested. Differences "
        "by seed: mean with its 95 % interval (t). Rows trained: by the supernet's steps and by "
        "the fine-tuning of all candidates."
    )
    return Found({"rows": rows}, HEAD, body, words, sheet([(config.space.name, figure)]))


def _difference(losses: Sequence[float], first: Sequence[float]) -> str:
    """The mean of paired differences and, of two or more, its 95 % interval."""
    d = np.subtract(losses, first)
    if len(d) < 2 or not d.any():
        return f"{d.mean():+.4f}"
    half = T_95[min(len(d) - 1, len(T_95)) - 1] * d.std(ddof=1) / np.sqrt(len(d))
    return f"{d.mean():+.4f} ({d.mean() - half:+.4f}, {d.mean() + half:+.4f})"
