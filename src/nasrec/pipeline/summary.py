"""What was found, in plain words, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.pipeline.candidates import read_ranking
from nasrec.pipeline.evidence import differences
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.front import front_table
from nasrec.pipeline.leaderboard import BASE_RATE, table
from nasrec.pipeline.retrain import NASREC
from nasrec.space import Architecture
from nasrec.train import CRITERIA, Criterion


def summary_text(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    rows: Sequence[Mapping[str, Any]],
    architecture: Architecture,
) -> str:
    """The text of summary.txt."""
    winner = next(row for row in rows if row["family"] == NASREC)
    others = [row for row in rows if row["family"] not in (NASREC, BASE_RATE, "random")]
    live = ", ".join(map(str, architecture.live_blocks))
    blend, members = winner["blend"], config.model.members
    is_chosen, whose = f"It is {winner['trial']}, chosen", "its"
    has = "it has" if members == 1 else f"its {members} members have together"
    if blend:
        is_chosen = (
            f"Its logit is the mean of {len(blend)} networks, {', '.join(blend)} (--blend), chosen"
        )
        whose, has = "the first one's", "all of them have"
    count = len(read_ranking(run)["chosen"])
    chosen = f"{count} points spread over the front" if config.costs else f"the {count} best"
    parts = [
        f"NASRecNet on the test rows ({winner['test_rows']:,}): "
        f"log loss {_said(winner['test_logloss'])}, AUC {_said(winner['test_auc'])}.",
        _comparison(winner, others, CRITERIA[config.criterion], differences(run, data, rows)),
        f"{is_chosen} on validation among {winner['trainings']} trainings from scratch of {chosen} "
        f"of {config.planned_evaluations} architectures that were scored, of space "
        f"{config.space.name!r}. "
        f"Blocks {live} of {len(architecture.blocks)} reach {whose} logit; {has} "
        f"{winner['weights']:,} weights beside {winner['embedding_weights']:,} of embeddings; a "
        f"row takes {winner['madds']:,} multiply-adds.",
        table([dict(row) for row in rows]),
        "Each model is the best of its trainings on validation, or the mean of a few of them; the "
        "test rows were read once, at the end.\n"
        f"Data: {len(data.train):,} train, {len(data.valid):,} validation, {len(data.test):,} test "
        f"rows; click rate {data.train.click_rate:.4f}.",
    ]
    if config.costs:
        parts.append("The front, on validation rows:\n" + front_table(read_json(run.front)))
    if data.warnings:
        parts.append("Warnings:\n" + "\n".join(f"- {text}" for text in data.warnings))
    seconds = run.stage_seconds()
    if seconds:
        width = max(map(len, seconds))
        parts.append(
            "Time:\n" + "\n".join(f"  {name:<{width}}  {s:8.1f} s" for name, s in seconds.items())
        )
    parts.append(
        f"All of it to look at: {run.report}\n\n"
        "Next:\n"
        f"  nasrec predict {run.model} NEW-ROWS.csv --out SCORES.csv    click probabilities\n"
        f"  nasrec evaluate {run.model} NEW-ROWS.csv      test it on other labelled rows\n"
        f"  nasrec front {run.path}      what is nearly as good and cheaper\n"
        f"{_alone(run, winner)}"
        f"  nasrec arch show {run.model}/architecture.json    look at what was found\n"
        f"  nasrec export {run.model} --out EXPORTED      take it to another stack"
    )
    return "\n\n".join(parts) + "\n"


def _alone(run: RunFolder, winner: Mapping[str, Any]) -> str:
    """How to take the first network of a blend alone, and what that saves; nothing without one."""
    if not winner["blend"]:
        return ""
    trials = {trial["trial"]: trial for trial in read_json(run.leaderboard)["trials"]}
    first = trials[winner["blend"][0]]
    return (
        f"  nasrec take {run.path} {first['trial']} --out ONE      the first network alone: "
        f"{first['madds'] / winner['madds']:.0%} of the multiply-adds; on validation "
        f"{_said(first['valid_logloss'])}, the blend {_said(winner['valid_logloss'])}\n"
    )


def _comparison(
    winner: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    criterion: Criterion,
    known: Mapping[str, Mapping[str, float]] | None,
) -> str:
    field, better = f"test_{criterion.field}", "more" if criterion.rises else "less"
    measured = [row for row in others if row[field] is not None]
    if not measured or winner[field] is None:
        return "No hand-made model was trained beside it."
    best = min(measured, key=lambda row: criterion.loss_of(row[field]))
    gain = criterion.loss_of(best[field]) - criterion.loss_of(winner[field])
    sure = _sure(best["name"], (known or {}).get(best["family"]))
    if gain > 0:
        return (
            f"That is {gain:.5f} {better} {criterion.title} than the best hand-made model, "
            f"{best['name']}.{sure}"
        )
    return (
        f"The best hand-made model, {best['name']}, has {-gain:.5f} {better} {criterion.title}: "
        "on these data "
        f"the search has not paid. A longer one may (--budget, --epochs, --top-k).{sure}"
    )


def _sure(name: str, difference: Mapping[str, float] | None) -> str:
    """Whether other test rows of the same kind could turn the order round."""
    if difference is None:
        return ""
    low, high = difference["low"], difference["high"]
    told = f" Log loss minus that of {name}, 95 % interval: {low:+.5f} to {high:+.5f}"
    even = "; zero is in it: these rows do not tell the two apart" if low <= 0 <= high else ""
    return f"{told}{even}."


def _said(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.5f}"
