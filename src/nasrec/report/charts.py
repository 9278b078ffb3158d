"""Charts as SVG, drawn here and now: no script, nothing to load, a few kilobytes each.

A charting library would put megabytes of script into every report and draw nothing where scripts
are forbidden: in mail, in a wiki, behind a content policy. A report needs points, lines and
labels; marks tell their values when pointed at, and each chart stands beside a table of its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from nasrec.report.markup import points, tag

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 74, 18, 14, 46
LETTER, LABEL_HEIGHT = 7, 14
_DOT, _MARK = 2.4, 5


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: what is measured, with its unit.
        log: logarithmic.
        text: how a tick is written; with as many digits as ticks differ in, if None.
        limits: low and high end; None takes those of the points.
    """

    title: str
    log: bool = False
    text: Callable[[float], str] | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Attributes:
        name: for the legend.
        points: x and y.
        look: `quiet`, `ours`, `theirs` or `front`: its colour.
        style: `dots` are many and small, `marks` few and large, with a text each; `line` and
            `steps` connect them.
        texts: told when a mark is pointed at.
        labels: written beside marks, where there is room.
        spans: low and high y of each mark.
    """

    name: str
    points: Sequence[tuple[float, float]]
    look: Literal["quiet", "ours", "theirs", "front"]
    style: Literal["dots", "marks", "line", "steps"]
    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    spans: Sequence[tuple[float, float]] = field(default=())


class _Scale:
    """From values to pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], low: float, high: float) -> None:
        self.axis, self.low, self.high = axis, low, high
        if axis.limits is not None:
            a, b = axis.limits
        else:
            a, b = min(values), max(values)
            a, b = (math.log10(a), math.log10(b)) if axis.log else (a, b)
            room = 0.05 * (b - a) or 0.05 * abs(a) or 0.5
            a, b = a - room, b + room
        self.a, self.b = a, b

    def __call__(self, value: float) -> float:
        value = math.log10(value) if self.axis.log else value
        return self.low + (value - self.a) / (self.b - self.a) * (self.high - self.low)

    def holds(self, value: float) -> bool:
        value = math.log10(value) if self.axis.log else value
        return self.a <= value <= self.b

    @property
    def ticks(self) -> list[float]:
        if self.axis.log:
            return _log_ticks(self.a, self.b)
        first = math.ceil(self.a / self.step - 1e-9)
        return [i * self.step for i in range(first, math.floor(self.b / self.step + 1e-9) + 1)]

    @property
    def step(self) -> float:
        return _step((self.b - self.a) / 5)

    def text(self, value: float) -> str:
        if self.axis.text is not None:
            return self.axis.text(value)
        return f"{value:.{max(0, math.ceil(-math.log10(self.step) - 1e-9))}f}"


def _step(rough: float) -> float:
    """The first of 1, 2, 5, 10, ... that is not less."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))


def _log_ticks(a: float, b: float) -> list[float]:
    """Round numbers between 10^a and 10^b: powers of ten, with 2 and 5 where those are few."""
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [
            m * 10.0**p
            for p in range(math.floor(a), math.ceil(b) + 1)
            for m in factors
            if a <= p + math.log10(m) <= b
        ]
        if len(found) >= 3:
            return found
    return [10.0**a, 10.0**b]


def chart(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> Markup:
    """A chart as one SVG element; series that hold no point are left out.

    Args:
        title: what it shows, in a sentence: all that a screen reader tells of it.
        x, y: the axes; points beyond given limits are not drawn.
        series: in the order of drawing.
    """
    series = [s for s in series if s.points]
    spans = [end for s in series for span in s.spans for end in span]
    across = _Scale(x, [p[0] for s in series for p in s.points], LEFT, WIDTH - RIGHT)
    up = _Scale(y, [p[1] for s in series for p in s.points] + spans, HEIGHT - BOTTOM, TOP)
    taken: list[tuple[float, float, float, float]] = []
    drawn = [part for s in series for part in _series(s, across, up)]
    for s in series:
        taken += [(across(a) - 6, up(b) - 6, 12, 12) for a, b in s.points if s.style == "marks"]
    labels = [part for s in series for part in _labels(s, across, up, taken)]
    return tag(
        "svg",
        tag("title", title),
        *_grid(x, y, across, up),
        *drawn,
        *labels,
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        role="img",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
    )


def _grid(x: Axis, y: Axis, across: _Scale, up: _Scale) -> Iterator[Markup]:
    bottom = HEIGHT - BOTTOM
    for value in up.ticks:
        at = up(value)
        yield tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at)
        yield tag("text", up.text(value), class_="tick y", x=LEFT - 8, y=at + 4)
    for value in across.ticks:
        at = across(value)
        yield tag("line", class_="grid", x1=at, x2=at, y1=TOP, y2=bottom)
        yield tag("text", across.text(value), class_="tick x", x=at, y=bottom + 17)
    middle = (TOP + bottom) / 2
    yield tag("text", x.title, class_="axis", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8)
    turned = f"rotate(-90 16 {middle:g})"
    yield tag("text", y.title, class_="axis", x=16, y=middle, transform=turned)


def _series(s: Series, across: _Scale, up: _Scale) -> Iterator[Markup]:
    inside = [
        (i, across(a), up(b))
        for i, (a, b) in enumerate(s.points)
        if across.holds(a) and up.holds(b)
    ]
    if s.style == "dots":
        # One path: thousands of circles would make the file heavy.
        path = "".join(f"M{px:.1f} {py:.1f}h0" for _, px, py in inside)
        if path:
            yield tag("path", class_=f"dots {s.look}", d=path, stroke_width=2 * _DOT)
        return
    if s.style in ("line", "steps"):
        path_points: list[tuple[float, float]] = []
        for _, px, py in inside:
            if s.style == "steps" and path_points:
                path_points.append((px, path_points[-1][1]))
            path_points.append((px, py))
        yield tag("polyline", class_=f"path {s.look}", points=points(path_points))
        return
    for i, px, py in inside:
        if s.spans:
            low, high = (up(min(max(v, up.a), up.b)) for v in s.spans[i])
            yield tag("line", class_=f"path {s.look}", x1=px, x2=px, y1=low, y2=high)
        told = [tag("title", s.texts[i])] if s.texts else []
        if s.look == "theirs":  # another shape, not only another colour
            side = 1.7 * _MARK
            yield tag("rect", *told, class_="mark theirs", x=px - side / 2, y=py - side / 2,
                      width=side, height=side)  # fmt: skip
        else:
            yield tag("circle", *told, class_=f"mark {s.look}", cx=px, cy=py, r=_MARK)


def _labels(
    s: Series, across: _Scale, up: _Scale, taken: list[tuple[float, float, float, float]]
) -> Iterator[Markup]:
    """Texts beside marks, on the first side where nothing is; without room there is none."""
    for text, (a, b) in zip(s.labels, s.points, strict=False):
        if not (text and across.holds(a) and up.holds(b)):
            continue
        px, py, width = across(a), up(b), LETTER * len(text)
        right, before, middle = px + 9, px - 9 - width, px - width / 2
        for left, top in (
            (right, py - 7), (before, py - 7), (middle, py - 22), (middle, py + 8),
            (right, py - 20), (right, py + 6), (before, py - 20), (before, py + 6),
        ):  # fmt: skip
            box = (left, top, width, LABEL_HEIGHT)
            fits = left >= LEFT and left + width <= WIDTH - RIGHT + 12 and top >= 0
            if fits and top + LABEL_HEIGHT <= HEIGHT - BOTTOM and not _meets(box, taken):
                taken.append(box)
                anchor = {right: "start", before: "end", middle: "middle"}[left]
                at = {"start": left, "end": left + width, "middle": px}[anchor]
                yield tag("text", text, class_="label", text_anchor=anchor, x=at, y=top + 11)
                break


def _meets(
    box: tuple[float, float, float, float], others: Sequence[tuple[float, float, float, float]]
) -> bool:
    a, b, w, h = box
    return any(a < x + v and x < a + w and b < y + u and y < b + h for x, y, v, u in others)


def robust_limits(values: Sequence[float], keep: Sequence[float] = ()) -> tuple[float, float]:
    """Low and high end of a loss axis that the worst few values do not stretch.

    The high end is Tukey's fence with the least value for the lower quartile, so that the good end
    keeps most of the room.

    Args:
        values: what is drawn.
        keep: those of them that must be seen.
    """
    ordered = sorted(values)
    low, usual = ordered[0], ordered[(3 * (len(ordered) - 1) + 3) // 4]
    high = max([min(ordered[-1], usual + 1.5 * (usual - low)), *keep])
    room = 0.06 * (high - low) or 0.05 * abs(low) or 0.5
    return low - room, high + room
