"""The table of a comparison: losses, differences to the best, costs, and what is left to gain."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import PreparedData
from nasrec.files import finite, write_json
from nasrec.pipeline.blend import mean_logits
from nasrec.pipeline.contest import Outcome, title_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.leaderboard import BASE_RATE, base_rate, text_table
from nasrec.pipeline.retrain import NASREC
from nasrec.serve.bench import timed_calls
from nasrec.train import Metrics, metrics_on
from nasrec.train.paired import paired_difference, row_losses

LATENCY_ROWS = (1, 1024)
LATENCY_SECONDS = 0.3
TOGETHER = "all together"


def compared(
    found: dict[str, list[list[Outcome]]], data: PreparedData, run: RunFolder
) -> list[dict[str, Any]]:
    """One row for each model, least mean test log loss first; last the mean logit of all."""
    losses: dict[str, NDArray[np.float64]] = {}
    of_seeds: list[list[NDArray[np.float32]]] = []
    rows = []
    searching = run.stage_seconds().get("search", 0.0)
    for family, (trials, repeats) in found.items():
        good = [outcome for outcome in repeats if outcome.failed is None]
        logits = [outcome.test_logits(data) for outcome in good]
        if good:
            of_seeds.append(logits)
            losses[family] = np.stack([row_losses(x, data.test.labels) for x in logits])
        tests = [metrics_on(data.test, x) for x in logits]
        rows.append(
            {
                "name": title_of(family),
                "family": family,
                "seeds": len(good),
                "failed": len(repeats) - len(good),
                **_spread("valid", [outcome.valid for outcome in good]),
                **_spread("test", tests),
                "trial": trials[0].name,
                "settings": trials[0].settings,
                "calibrations": [outcome.calibration._asdict() for outcome in good],
                "blend": [part.name for part in trials[0].parts],
                "trials": sum(not one.parts for one in trials),
                "weights": trials[0].weights,
                "embedding_weights": trials[0].embedding_weights,
                "madds": trials[0].madds,
                "training_seconds": _mean([outcome.seconds for outcome in good]),
                "tuning_seconds": sum(one.seconds for one in trials if not one.parts),
                "search_seconds": searching if family == NASREC else 0.0,
                "latency": _latency(good[0], data) if good else None,
            }
        )
    rate = base_rate(data)
    rows.append(
        {
            "name": BASE_RATE,
            "family": BASE_RATE,
            "seeds": 0,
            **{key: rate[key] for key in ("valid_logloss", "test_logloss", "test_auc")},
        }
    )
    rows.sort(key=lambda row: math.inf if (x := row["test_logloss"]) is None else x)
    best = next((row["family"] for row in rows if row["family"] in losses), None)
    for row in rows:
        family = row["family"]
        if family in losses and family != best:
            difference = paired_difference(losses[family], losses[str(best)], data.test.weights)
            row["difference"] = difference.to_dict()
    if best is not None and len(of_seeds) > 1:
        rows.append(_together(of_seeds, losses[str(best)], data))
    return list(finite(rows))


def _together(
    of_seeds: Sequence[Sequence[NDArray[np.float32]]],
    best: NDArray[np.float64],
    data: PreparedData,
) -> dict[str, Any]:
    """The mean logit of all models, seed by seed: what could still be gained on these rows."""
    logits = [mean_logits(of_one) for of_one in zip(*of_seeds, strict=False)]
    losses = np.stack([row_losses(x, data.test.labels) for x in logits])
    return {
        "name": TOGETHER,
        "family": TOGETHER,
        "seeds": 0,
        **_spread("test", [metrics_on(data.test, x) for x in logits]),
        "difference": paired_difference(losses, best, data.test.weights).to_dict(),
    }


def _spread(split: str, metrics: Sequence[Metrics]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("logloss", "auc"):
        values = [getattr(m, name) for m in metrics]
        found[f"{split}_{name}"] = _mean(values)
        found[f"{split}_{name}_sd"] = statistics.stdev(values) if len(values) > 1 else None
    return found


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _latency(outcome: Outcome, data: PreparedData) -> dict[str, Any]:
    """Milliseconds a call by number of rows, measured once, on test rows, with one thread."""
    file = outcome.folder / "latency.json"
    if not file.is_file():
        score, found = outcome.scorer(), {}
        for rows in LATENCY_ROWS:
            batch = data.test.take(np.arange(rows) % len(data.test))
            dense, sparse = batch.dense.numpy(), batch.sparse.numpy()
            taken = timed_calls(partial(score, dense, sparse), LATENCY_SECONDS)
            p50, p99 = np.quantile(taken, [0.5, 0.99]).tolist()
            found[str(rows)] = {"p50": p50, "p99": p99}
        write_json(file, found)
    return read_json(file)


def comparison_text(
    protocol: str, rows: Sequence[dict[str, Any]], seeds: int, *, calibrated: bool
) -> str:
    """The leaderboard as text."""
    head = (
        "model", "test loss", "sd", "to the best (95 %)", "test AUC", "sd", "blend", "weights",
        "madds/row", "training", "1 row p50/p99", "1024 rows p50/p99",
    )  # fmt: skip
    body = [_cells(row) for row in rows]
    return (
        f"Protocol {protocol}, {seeds} seed{'s' if seeds > 1 else ''}"
        f"{', logits calibrated on validation' if calibrated else ''}. Figures of another "
        "protocol may not be compared with these.\n\n" + text_table(head, body)
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def number(key: str, digits: int = 5) -> str:
        value = row.get(key)
        return "" if value is None else f"{value:.{digits}f}"

    d, latency = row.get("difference"), row.get("latency")
    timed = [
        f"{t['p50']:.2f}/{t['p99']:.2f} ms" if latency and (t := latency[str(n)]) else ""
        for n in LATENCY_ROWS
    ]
    seconds = row.get("training_seconds")
    return (
        row["name"],
        number("test_logloss"),
        number("test_logloss_sd"),
        f"{d['mean']:+.5f} ({d['low']:+.5f}, {d['high']:+.5f})" if d else "",
        number("test_auc"),
        number("test_auc_sd"),
        f"{len(row['blend']) or 1}" if "blend" in row else "",
        f"{row['weights']:,}" if "weights" in row else "",
        f"{row['madds']:,}" if row.get("madds") else "",
        "" if seconds is None else f"{seconds:.0f} s",
        *timed,
    )
