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


class _Measure:
    """The criterion of a run: how its values are read, compared and drawn."""

    def __init__(self, found: Found) -> None:
        criterion = found["criterion"]
        self.field: str = criterion["field"]
        self.title: str = criterion["title"]
        self.sign = -1.0 if criterion["rises"] else 1.0
        self.axis = f"validation {self.title}"
        self.costs: dict[str, str] = criterion["costs"]

    def scored(self, found: Found) -> list[dict[str, Any]]:
        """The evaluations that have a score, with it as `value`."""
        there = [{**e, "value": e["score"][self.field]} for e in found["search"] or ()]
        return [e for e in there if e["value"] is not None]

    def limits(self, values: Sequence[float], keep: Sequence[float] = ()) -> tuple[float, float]:
        """The ends of an axis; the bad end does not follow the worst few values."""
        losses, kept = [self.sign * v for v in values], [self.sign * v for v in keep]
        low, high = sorted(self.sign * end for end in robust_limits(losses, kept))
        return low, high

    def worst(self, limits: tuple[float, float]) -> float:
        """The bad end of an axis."""
        return limits[1] if self.sign > 0 else limits[0]

    def front(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """Points of cost and value that no other beats in both, by increasing cost."""
        best = front((cost, self.sign * value) for cost, value in points)
        return [(cost, self.sign * loss) for cost, loss in best]

    def beyond(self, values: Sequence[float], limits: tuple[float, float]) -> str:
        """A sentence on the values that an axis leaves out."""
        out = [v for v in values if self.sign * v > self.sign * self.worst(limits)]
        if not out:
            return ""
        worst = max(out, key=lambda value: self.sign * value)
        return (
            f" {len(out)} of {len(values)} are worse than the chart shows, the worst {worst:.4g}."
        )


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both (less is better), by increasing first coordinate."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    return best


def _staircase(
    best: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]], worst: float
) -> list[tuple[float, float]]:
    """The front's line: from the bad end to its first point, on to the dearest point there is."""
    return [(best[0][0], worst), *best, (max(x for x, _ in points), best[-1][1])]


_SCORES = {
    "supernet": "Scores are those of the shared weights after a little fine-tuning: good for "
    "comparing candidates, not for judging the final model.",
    "steps": "Scores are those of a few steps from scratch: good for comparing candidates, not for "
    "judging the final model.",
    "training": "Scores are those of a training of each candidate for itself, by one recipe. "
    "The best of many on the same rows is worth a little less than its score.",
}


def search_over_time(found: Found) -> Figure | None:
    """Every evaluation and the best so far."""
    if found["criterion"] is None:
        return None
    measure = _Measure(found)
    scored = measure.scored(found)
    if not scored:
        return None
    bests: list[dict[str, Any]] = []
    for e in scored:
        if not bests or measure.sign * e["value"] < measure.sign * bests[-1]["value"]:
            bests.append(e)
    values = [e["value"] for e in scored]
    limits = measure.limits(values)
    steps = [(e["evaluation"], e["value"]) for e in bests]
    return _figure(
        "search",
        "Score of every evaluation, and the best so far",
        Axis("evaluation", text=count, limits=(0, 1.02 * max(e["evaluation"] for e in scored))),
        Axis(measure.axis, limits=limits),
        [
            Series("each candidate", [(e["evaluation"], e["value"]) for e in scored], "quiet",
                   "dots"),
            Series("best so far", [*steps, (scored[-1]["evaluation"], bests[-1]["value"])], "ours",
                   "steps"),
            _retrained(scored, [e["evaluation"] for e in scored]),
        ],
        _SCORES[found["criterion"]["scored_by"]] + measure.beyond(values, limits),
        ("evaluation", f"new best {measure.title}", *measure.costs.values()),
        (
            [count(e["evaluation"]), loss(e["value"])]
            + [_cost(e["costs"], name) for name in measure.costs]
            for e in bests
        ),
    )  # fmt: skip


def _cost(costs: Mapping[str, float], name: str) -> str:
    value = costs.get(name)
    return f"{value:.3f}" if name == "latency" and value is not None else count(value)


def _retrained(scored: Sequence[Mapping[str, Any]], xs: Sequence[float]) -> Series:
    """Those that were trained from scratch after the search, each once."""
    chosen = {e["digest"]: (e, x) for e, x in zip(scored, xs, strict=True) if e["trial"]}
    return Series(
        "trained from scratch afterwards",
        [(x, e["value"]) for e, x in chosen.values()],
        "ours",
        "marks",
        [
            f"{e['trial']}: score {loss(e['value'])}, {_cost(e['costs'], 'madds')} multiply-adds"
            for e, _ in chosen.values()
        ],
    )


def candidates_by_cost(found: Found, cost: str) -> Figure | None:
    """Scores of all candidates against one of their costs, with the Pareto front."""
    measure = _Measure(found)
    scored = [e for e in measure.scored(found) if e["costs"].get(cost)]
    if not scored:
        return None
    values = [e["value"] for e in scored]
    limits = measure.limits(values)
    points = [(float(e["costs"][cost]), e["value"]) for e in scored]
    best, title = measure.front(points), measure.costs[cost]
    return _figure(
        f"candidates-{cost}",
        f"Score of every candidate against {title}, with the Pareto front",
        Axis(title, log=True, text=short),
        Axis(measure.axis, limits=limits),
        [
            Series("each candidate", points, "quiet", "dots"),
            Series("Pareto front", _staircase(best, points, measure.worst(limits)), "front",
                   "steps"),
            Series("", best, "front", "marks",
                   [f"{title} {_cost({cost: x}, cost)}: score {loss(y)}" for x, y in best]),
            _retrained(scored, [x for x, _ in points]),
        ],
        "No candidate beyond the front was found: each point on it is the best at its cost."
        + measure.beyond(values, limits),
        (title, f"best {measure.title} at this cost or less"),
        ((_cost({cost: x}, cost), loss(y)) for x, y in best),
    )  # fmt: skip


def trained_by_cost(found: Found, cost: str) -> Figure | None:
    """What was trained from scratch, on validation, against one of its costs."""
    measure = _Measure(found)
    key = f"valid_{measure.field}"
    there = [t for t in found["trials"] or () if t[key] is not None and t.get(cost)]
    if not there:
        return None
    rows = {row["trial"]: row for row in found["leaderboard"] or ()}
    chosen = [t for t in there if t["trial"] in rows]
    others = [t for t in there if t["trial"] not in rows]
    values = [t[key] for t in there]
    limits = measure.limits(values, [t[key] for t in chosen])

    def marks(name: str, look: Any, ours: bool) -> Series:
        some = [t for t in chosen if (t["family"] == "nasrec") == ours]
        names = [rows[t["trial"]]["name"] for t in some]
        texts = [f"{n}: {loss(t[key])}, {_cost(t, cost)}" for n, t in zip(names, some, strict=True)]
        return Series(name, [(t[cost], t[key]) for t in some], look, "marks", texts, names)

    points = [(float(t[cost]), t[key]) for t in there]
    best, title = measure.front(points), measure.costs[cost]
    return _figure(
        f"trained-{cost}",
        f"Validation {measure.title} of what was trained from scratch against {title}",
        Axis(title, log=True, text=short),
        Axis(measure.axis, limits=limits),
        [
            Series("other trainings", [(t[cost], t[key]) for t in others], "quiet", "dots"),
            Series("Pareto front", _staircase(best, points, measure.worst(limits)), "front",
                   "steps"),
            marks("hand-made or random, the best training of each", "theirs", ours=False),
            marks("NASRecNet that was chosen", "ours", ours=True),
        ],
        "All were trained on the same rows by the same recipes, each family as often as any other."
        + measure.beyond(values, limits),
        ("training", title, "weights", f"validation {measure.title}"),
        (
            (t["trial"], _cost(t, cost), count(t["weights"]), loss(t[key]))
            for t in sorted(there, key=lambda t: measure.sign * t[key])
        ),
    )  # fmt: skip


def quality_and_cost(found: Found) -> list[Figure]:
    """Charts of quality against each cost: trained models first, then candidates."""
    if found["criterion"] is None:
        return []
    made = [
        make(found, cost)
        for make in (trained_by_cost, candidates_by_cost)
        for cost in found["criterion"]["costs"]
    ]
    return [figure for figure in made if figure is not None]


def scored_against_retrained(found: Found) -> Figure | None:
    """Whether the order of the scores is that after training from scratch."""
    ranks = found["ranks"]
    if not ranks or len(ranks["pairs"]) < 2 or found["criterion"] is None:
        return None
    title = _Measure(found).title
    pairs = ranks["pairs"]
    tau, rho, n = ranks["kendall"], ranks["spearman"], len(pairs)
    told = "not defined" if tau is None else f"{tau:.2f} (Spearman's rho {rho or 0:.2f})"
    few = "" if n >= ENOUGH_PAIRS else f" Of {n} that says little: --top-k trains more of them."
    return _figure(
        "ranks",
        f"Validation {title} in the search, and after training from scratch",
        Axis(f"score in the search ({title})"),
        Axis("trained from scratch"),
        [
            Series("", [(p["score"], p["retrained"]) for p in pairs], "ours", "marks",
                   [f"{p['trial']}: {loss(p['score'])} in the search, "
                    f"{loss(p['retrained'])} from scratch" for p in pairs],
                   [_short_name(p["trial"]) for p in pairs]),
        ],
        f"Kendall's tau of the two orders is {told}; 1 is the same order, 0 none.{few} All of them "
        "are among the best by that score, whose order is harder than that of all.",
        ("training", "score in the search", "trained from scratch"),
        ((p["trial"], loss(p["score"]), loss(p["retrained"])) for p in pairs),
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
