"""The report of a run: one HTML file with everything in it, and no script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from nasrec.report import figures, words
from nasrec.report.drawing import STYLE, drawing
from nasrec.space import Architecture


def page(found: Mapping[str, Any]) -> str:
    """The HTML of what a run has found.

    Args:
        found: as `nasrec.pipeline.findings.findings` gives it; parts that are None are told to be
            missing.
    """
    by_cost = figures.quality_and_cost(found)
    others = (
        figures.search_over_time(found),
        figures.scored_against_retrained(found),
        figures.calibration(found),
    )
    made = {figure.name: figure for figure in (*by_cost, *others) if figure is not None}
    columns = None if found["columns"] is None else _by_importance(found)
    told = [float(c["importance"]["logloss"]) for c in columns or () if c["importance"]]
    text = _template().render(
        found=found,
        name=str(found["run"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
        figures=made,
        by_cost=[figure.name for figure in by_cost],
        points=_front_points(found),
        drawn=_drawn(found),
        columns=columns,
        largest=max([*told, 1e-12]),  # the full length of a bar
        settings=_flat(found["settings"]["settings"]) if found["settings"] else (),
        style=Markup(_text("page.css")) + STYLE,
        verdict=verdict(found),
    )
    return text.strip() + "\n"


def verdict(found: Mapping[str, Any]) -> str | None:
    """`better`, `worse` or `even`: the chosen model beside the best hand-made one, with 95 %."""
    answer, differences = found["answer"], found["differences"]
    if not answer or not answer["rival"] or not differences:
        return None
    difference = differences.get(answer["rival"]["family"])
    if difference is None or difference["low"] is None:
        return None
    low, high = difference["low"], difference["high"]
    return "better" if high < 0 else "worse" if low > 0 else "even"


def _drawn(found: Mapping[str, Any]) -> Markup | None:
    if found["architecture"] is None:
        return None
    raw = ("", "")
    if found["data"]:
        roles = [column["role"] for column in found["data"]["columns"]]
        dense, sparse = (roles.count(role) for role in ("dense", "categorical"))
        raw = _columns_of(dense), _columns_of(sparse)
    return drawing(Architecture.from_dict(found["architecture"]), raw, style=False)


def _front_points(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of the front, by the search or among the trained, cheapest first."""
    points = found["front"]["points"] if found["front"] and found["criterion"] else ()
    return [point for point in points if point["front"] or point["trained_front"]]


def _columns_of(number: int) -> str:
    return f"{number} column{'' if number == 1 else 's'}"


def _by_importance(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every column with its importance, the largest first."""
    known = found["importance"]["columns"] if found["importance"] else {}
    rows = [{**c, "importance": known.get(c["name"])} for c in found["columns"]["columns"]]
    return sorted(rows, key=lambda c: -(c["importance"] or {"logloss": 0.0})["logloss"])


def _flat(settings: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as names with dots."""
    if isinstance(settings, Mapping) and settings:
        return [
            pair
            for key, value in settings.items()
            for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, settings if isinstance(settings, str) else json.dumps(settings))]


def _text(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        {
            name: getattr(words, name)
            for name in ("loss", "signed", "count", "short", "size", "percent", "seconds")
        }
    )
    return environment.from_string(_text("page.html"))
