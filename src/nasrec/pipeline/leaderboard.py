"""Stage 5: each family's best trial is tested, once; the table of all that was compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.files import finite, write_json, write_text
from nasrec.nn import BASELINES, NASRecNet
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.retrain import NASREC, RANDOM
from nasrec.pipeline.trials import TrialResult
from nasrec.train import CRITERIA, Criterion, Metrics, metrics_on

FORMAT = "nasrec-leaderboard/1"
BASE_RATE = "base rate"
#: How tables call the families.
TITLES = {
    NASREC: NASRecNet.title,
    **{name: model.title for name, model in BASELINES.items()},
    RANDOM: "random architecture",
}


def leaderboard_stage(
    run: RunFolder,
    data: PreparedData,
    families: dict[str, list[TrialResult]],
    criterion: Criterion = CRITERIA["logloss"],
) -> list[dict[str, Any]]:
    """One row for each family, best first by the criterion on validation.

    A family's trial or blend is chosen on validation; only that one is ever tested.
    """
    if not run.leaderboard.is_file():
        rows = [_row(name, results, data) for name, results in families.items()]
        rows.append(base_rate(data))
        rows.sort(key=lambda row: criterion.loss_of(row[f"valid_{criterion.field}"]))
        rows = finite(rows)
        trials = [_trial(result) for results in families.values() for result in results]
        write_text(run.leaderboard_text, table(rows) + "\n")
        write_json(
            run.leaderboard,
            {
                "format": FORMAT,
                "criterion": criterion.name,
                "rows": rows,
                "trials": trials,
            },
        )
    rows = read_json(run.leaderboard)["rows"]
    return list(rows)


def _row(family: str, results: list[TrialResult], data: PreparedData) -> dict[str, Any]:
    chosen, trainings = results[0], [result for result in results if not result.parts]
    nan = float("nan")
    test = Metrics(nan, nan, len(data.test)) if chosen.failed else chosen.test(data)
    return {
        "name": TITLES.get(family, family),
        **_trial(chosen),
        **_measured("test", test),
        "test_ece": test.ece,
        "test_bias": test.bias,
        "test_rows": test.rows,
        "blend": [part.trial.name for part in chosen.parts],
        "trainings": len(trainings),
        "family_seconds": sum(result.seconds for result in trainings),
    }


def _trial(result: TrialResult) -> dict[str, Any]:
    architecture = result.trial.spec.architecture
    return {
        "family": result.trial.family,
        "trial": result.trial.name,
        **_measured("valid", result.valid),
        "embedding_weights": result.embedding_weights,
        **result.costs,
        "learning_rate": result.trial.config.learning_rate,
        "calibration": result.calibration._asdict(),
        "seconds": result.seconds,
        "failed": result.failed,
        "digest": architecture.digest if architecture and not result.parts else None,
    }


def base_rate(data: PreparedData) -> dict[str, Any]:
    """The row of a model that gives every row the training rows' click rate."""
    rate = data.train.click_rate
    logit = math.log(rate / (1 - rate))
    valid, test = (metrics_on(part, np.full(len(part), logit)) for part in (data.valid, data.test))
    return {
        "name": BASE_RATE,
        "family": BASE_RATE,
        "trial": None,
        **_measured("valid", valid),
        "embedding_weights": 0,
        **dict.fromkeys(("madds", "weights", "bytes"), 0),
        "learning_rate": None,
        "seconds": 0.0,
        "failed": None,
        "digest": None,
        **_measured("test", test),
        "test_ece": test.ece,
        "test_bias": test.bias,
        "test_rows": test.rows,
        "blend": [],
        "trainings": 0,
        "family_seconds": 0.0,
    }


def _measured(part: str, metrics: Metrics) -> dict[str, float]:
    """Every criterion on a part of the data."""
    return {f"{part}_{c.field}": getattr(metrics, c.field) for c in CRITERIA.values()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The leaderboard as text."""
    grouped = any(row["test_grouped_auc"] is not None for row in rows)
    head = (
        *("model", "valid loss", "test loss", "test AUC", *(["test gAUC"] if grouped else [])),
        *("blend", "weights", "madds/row", "rate", "time"),
    )
    body = [
        (
            row["name"],
            _number(row["valid_logloss"], 5),
            _number(row["test_logloss"], 5),
            _number(row["test_auc"], 5),
            *([_number(row["test_grouped_auc"], 5)] if grouped else []),
            f"{len(row['blend']) or 1}" if row["trainings"] else "",
            f"{row['weights']:,}",
            f"{row['madds']:,}",
            "" if row["learning_rate"] is None else f"{row['learning_rate']:g}",
            f"{row['family_seconds']:.0f} s" if row["trainings"] else "",
        )
        for row in rows
    ]
    return text_table(head, body)


def text_table(head: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns aligned by spaces: the first `left` ones to the left, the others to the right."""
    lines = [head, *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def line_of(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line_of(head), rule, *(line_of(cells) for cells in body)])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
