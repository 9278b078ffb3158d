"""The charts of a run's report, each with its legend, a caption and the table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nasrec.report.charts import Axis, Series, chart, robust_limits
from nasrec.report.words import count, loss, percent, short

Found = Mapping[str, Any]
ENOUGH_PAIRS = 6  # rank correlations of fewer are mostly chance


@dataclass(frozen=True)
class Figure:
    """A chart and what stands around it.

    Attributes:
        name: unique, for links.
        title: what it shows.
        svg: the chart.
        legend: look and name of each series.
        caption: how to read it.
        head: of its table.
        rows: of its table.
    """

    name: str
    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...]
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _figure(
    name: str,
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
) -> Figure:
    legend = tuple((f"{s.style} {s.look}", s.name) for s in series if s.points and s.name)
    svg = chart(title, x, y, series)
    return Figure(name, title, svg, legend, caption, tuple(head), tuple(map(tuple, rows)))


def _short_name(trial: str) -> str:
    """`nasrec-3` of nasrec-3-plain: which architecture, without the recipe."""
    return "-".join(trial.split("-")[:2])


def _scored(found: Found) -> list[dict[str, Any]]:
    return [e for e in found["search"] or () if e["logloss"] is not None]


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both (less is better), by increasing first coordinate."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    return best


def _staircase(
    best: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]], top: float
) -> list[tuple[float, float]]:
    """The front's line: down from above its first point, on to the costliest point there is."""
    if not best:
        return []
    return [(best[0][0], top), *best, (max(x for x, _ in points), best[-1][1])]


def _beyond(values: Sequence[float], high: float) -> str:
    left_out = [value for value in values if value > high]
    if not left_out:
        return ""
    return (
        f" {len(left_out)} of {len(values)} are worse than the chart shows, "
        f"up to {max(left_out):.4f}."
    )


def search_over_time(found: Found) -> Figure | None:
    """Every evaluation and the best so far."""
    scored = _scored(found)
    if not scored:
        return None
    best, bests = math.inf, []
    for e in scored:
        if e["logloss"] < best:
            best = e["logloss"]
            bests.append(e)
    values = [e["logloss"] for e in scored]
    limits = robust_limits(values)
    steps = [(e["evaluation"], e["logloss"]) for e in bests]
    return _figure(
        "search",
        "Supernet score of every evaluation, and the best so far",
        Axis("evaluation", text=count, limits=(0, 1.02 * max(e["evaluation"] for e in scored))),
        Axis("validation log loss", limits=limits),
        [
            Series("each candidate", [(e["evaluation"], e["logloss"]) for e in scored], "quiet",
                   "dots"),
            Series("best so far", [*steps, (scored[-1]["evaluation"], best)], "ours", "steps"),
            _retrained(found, "evaluation"),
        ],
        "Scores are those of the shared weights, with the last FC fine-tuned: good for comparing "
        "candidates, not for judging the final model." + _beyond(values, limits[1]),
        ("evaluation", "new best score", "multiply-adds"),
        ((count(e["evaluation"]), loss(e["logloss"]), count(e["madds"])) for e in bests),
    )  # fmt: skip


def _retrained(found: Found, x: str) -> Series:
    chosen = {e["digest"]: e for e in _scored(found) if e["trial"]}
    return Series(
        "trained from scratch afterwards",
        [(e[x], e["logloss"]) for e in chosen.values()],
        "ours",
        "marks",
        [f"{e['trial']}: score {loss(e['logloss'])}, {count(e['madds'])} multiply-adds"
         for e in chosen.values()],
    )  # fmt: skip


def candidates_by_cost(found: Found) -> Figure | None:
    """Scores of all candidates against their multiply-adds, with the Pareto front."""
    scored = _scored(found)
    if not scored:
        return None
    values = [e["logloss"] for e in scored]
    limits = robust_limits(values)
    costs = [(float(e["madds"]), e["logloss"]) for e in scored]
    best = front(costs)
    return _figure(
        "candidates",
        "Supernet score of every candidate against its multiply-adds, with the Pareto front",
        Axis("multiply-adds a row", log=True, text=short),
        Axis("validation log loss", limits=limits),
        [
            Series("each candidate", [(e["madds"], e["logloss"]) for e in scored], "quiet", "dots"),
            Series("Pareto front", _staircase(best, costs, limits[1]), "front", "steps"),
            Series("", best, "front", "marks",
                   [f"{count(x)} multiply-adds: score {loss(y)}" for x, y in best]),
            _retrained(found, "madds"),
        ],
        "No candidate below and to the left of the front was found: each point on it is the best "
        "at its cost." + _beyond(values, limits[1]),
        ("multiply-adds a row", "best score at this cost or less"),
        ((count(x), loss(y)) for x, y in best),
    )  # fmt: skip


def trained_by_cost(found: Found) -> Figure | None:
    """Validation loss of all that was trained from scratch against its multiply-adds."""
    there = [t for t in found["trials"] or () if t["valid_logloss"] is not None and t["madds"]]
    if not there:
        return None
    rows = {row["trial"]: row for row in found["leaderboard"] or ()}
    chosen = [t for t in there if t["trial"] in rows]
    others = [t for t in there if t["trial"] not in rows]
    values = [t["valid_logloss"] for t in there]
    limits = robust_limits(values, [t["valid_logloss"] for t in chosen])

    def marks(name: str, look: Any, ours: bool) -> Series:
        some = [t for t in chosen if (t["family"] == "nasrec") == ours]
        names = [rows[t["trial"]]["name"] for t in some]
        return Series(
            name,
            [(t["madds"], t["valid_logloss"]) for t in some],
            look,
            "marks",
            [f"{n}: {loss(t['valid_logloss'])}, {count(t['madds'])} multiply-adds"
             for n, t in zip(names, some, strict=True)],
            names,
        )  # fmt: skip

    costs = [(float(t["madds"]), t["valid_logloss"]) for t in there]
    best = front(costs)
    return _figure(
        "trained",
        "Validation log loss of the models trained from scratch against their multiply-adds",
        Axis("multiply-adds a row", log=True, text=short),
        Axis("validation log loss", limits=limits),
        [
            Series("other trainings", [(t["madds"], t["valid_logloss"]) for t in others], "quiet",
                   "dots"),
            Series("Pareto front", _staircase(best, costs, limits[1]), "front", "steps"),
            marks("hand-made or random, the best training of each", "theirs", ours=False),
            marks("NASRecNet that was chosen", "ours", ours=True),
        ],
        "All were trained on the same rows by the same recipes, each family as often as any other."
        + _beyond(values, limits[1]),
        ("training", "multiply-adds a row", "weights", "validation log loss"),
        (
            (t["trial"], count(t["madds"]), count(t["weights"]), loss(t["valid_logloss"]))
            for t in sorted(there, key=lambda t: t["valid_logloss"])
        ),
    )  # fmt: skip


def supernet_against_retrained(found: Found) -> Figure | None:
    """Whether the supernet's order is that after training from scratch."""
    ranks = found["ranks"]
    if not ranks or len(ranks["pairs"]) < 2:
        return None
    pairs = ranks["pairs"]
    tau, rho, n = ranks["kendall"], ranks["spearman"], len(pairs)
    told = "not defined" if tau is None else f"{tau:.2f} (Spearman's rho {rho or 0:.2f})"
    few = "" if n >= ENOUGH_PAIRS else f" Of {n} that says little: --top-k trains more of them."
    return _figure(
        "ranks",
        "Supernet score against validation log loss after training from scratch",
        Axis("supernet score (validation log loss)"),
        Axis("trained from scratch"),
        [
            Series("", [(p["supernet"], p["retrained"]) for p in pairs], "ours", "marks",
                   [f"{p['trial']}: {loss(p['supernet'])} by the supernet, "
                    f"{loss(p['retrained'])} from scratch" for p in pairs],
                   [_short_name(p["trial"]) for p in pairs]),
        ],
        f"Kendall's tau of the two orders is {told}; 1 is the same order, 0 none.{few} All of them "
        "are among the best by the supernet's score, whose order is harder than that of all.",
        ("training", "supernet score", "trained from scratch"),
        ((p["trial"], loss(p["supernet"]), loss(p["retrained"])) for p in pairs),
    )  # fmt: skip


def calibration(found: Found) -> Figure | None:
    """Predicted against true click rate."""
    bins = found["calibration"]
    if not bins:
        return None
    spans = [_binomial(b["clicked"], b["rows"]) for b in bins]
    right = min(1.0, 1.08 * max(b["predicted"] for b in bins))
    top = min(1.0, max(right, 1.02 * max(high for _, high in spans)))
    return _figure(
        "calibration",
        "Predicted and true click rate of the test rows, in bins of equally many rows",
        Axis("predicted", text=percent_tick, limits=(0.0, right)),
        Axis("clicked", text=percent_tick, limits=(0.0, top)),
        [
            Series("perfect calibration", [(0, 0), (right, right)], "quiet", "line"),
            Series("bins, with 95 % intervals", [(b["predicted"], b["clicked"]) for b in bins],
                   "ours", "marks",
                   [f"{count(b['rows'])} rows: predicted {percent(b['predicted'])}, clicked "
                    f"{percent(b['clicked'])}" for b in bins],
                   spans=spans),
        ],
        "Points on the line mean what they say. Above it clicks are more frequent than predicted. "
        "nasrec calibrate mends what is off.",
        ("predicted", "clicked", "rows"),
        ((percent(b["predicted"]), percent(b["clicked"]), count(b["rows"])) for b in bins),
    )  # fmt: skip


def percent_tick(value: float) -> str:
    """A share as a tick."""
    return f"{100 * value:.3g} %"


def _binomial(share: float, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of rows."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows**2))
    return middle - half, middle + half
