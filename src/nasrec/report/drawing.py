"""An architecture as SVG, in the page's or the reader's light or dark colours."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from nasrec.report.layout import HEADER, MARGIN, Box, Layout, Point, Track, Wire, layout
from nasrec.report.markup import points, tag
from nasrec.report.picture import picture
from nasrec.space import Architecture

#: What the abbreviations in the boxes mean; an operator that a user added stands for itself.
MEANINGS = {
    "FC": "fully connected layer",
    "SG": "sigmoid gating of a left (l) and a right (r) input",
    "Sum": "sum of two inputs",
    "DP": "dot products of all pairs",
    "PlainDP": "dot products of all pairs, of all tokens as they are",
    "Flat": "fully connected layer on vectors and all embeddings",
    "EFC": "fully connected layer across tokens",
    "Attn": "self-attention",
    "FM": "factorization machine",
}
COLOURS = (
    "blue: dense branch, vectors",
    "amber: sparse branch, tokens",
    "violet: from one to the other",
    "grey: never reaches the logit",
)
LINE = 17  # of the legend, pixels
_ARROW = 4.5  # half the width of an arrow's head, pixels

# Told apart by place and dashes too, not by colour alone; texts have a contrast of 7 or more.
STYLE = Markup("""
.nasrec-drawing { --d: #1d4ed8; --d-fill: #dbeafe; --s: #b45309; --s-fill: #fef3c7;
  --m: #6d28d9; --m-fill: #ede9fe; --ink: #111827; --quiet: #6b7280; --dead: #9ca3af;
  --paper: #ffffff; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .nasrec-drawing { --d: #93c5fd; --d-fill: #1e3a5f;
  --s: #fcd34d; --s-fill: #4a3410; --m: #c4b5fd; --m-fill: #3b2a68; --ink: #f3f4f6;
  --quiet: #a1a9b6; --dead: #6b7280; --paper: #14171c; } }
.nasrec-drawing .paper { fill: var(--paper); }
.nasrec-drawing text { fill: var(--ink); text-anchor: middle; }
.nasrec-drawing .quiet { fill: var(--quiet); font-size: 11px; }
.nasrec-drawing .key { text-anchor: start; font-size: 12px; }
.nasrec-drawing .note { text-anchor: end; fill: var(--quiet); font-size: 10px; }
.nasrec-drawing .name { font-weight: 600; font-size: 13px; }
.nasrec-drawing .box { stroke-width: 1.5; }
.nasrec-drawing .line { fill: none; stroke-width: 1.5; }
.nasrec-drawing .dense.box { fill: var(--d-fill); stroke: var(--d); }
.nasrec-drawing .sparse.box { fill: var(--s-fill); stroke: var(--s); }
.nasrec-drawing .merger.box { fill: var(--m-fill); stroke: var(--m); }
.nasrec-drawing .head.box { fill: none; stroke: var(--ink); stroke-width: 2; }
.nasrec-drawing .dense.line { stroke: var(--d); } .nasrec-drawing .dense.end { fill: var(--d); }
.nasrec-drawing .sparse.line { stroke: var(--s); } .nasrec-drawing .sparse.end { fill: var(--s); }
.nasrec-drawing .dead.box { fill: none; stroke: var(--dead); stroke-dasharray: 4 3; }
.nasrec-drawing .dead.line { stroke: var(--dead); stroke-width: 1; stroke-dasharray: 3 3; }
.nasrec-drawing .dead.end { fill: var(--dead); } .nasrec-drawing text.dead { fill: var(--quiet); }
""")


def drawing(
    architecture: Architecture, raw: tuple[str, str] = ("", ""), *, style: bool = True
) -> Markup:
    """An architecture as one SVG element.

    Args:
        architecture: what to draw.
        raw: a line for the numeric and one for the categorical columns' box, say their number.
        style: with its style sheet; a page that has `STYLE` already needs it once only.
    """
    placed = layout(architecture, raw)
    legend = _legend(architecture, placed)
    height = placed.height + LINE * len(legend) + MARGIN
    # Dead lines go first, so that living ones lie on them.
    order = sorted(placed.wires, key=lambda wire: wire.live)
    parts = [
        tag("title", "The architecture"),
        tag("desc", picture(architecture)),
        *([tag("style", STYLE)] if style else []),
        tag("rect", class_="paper", width=placed.width, height=height),
        *(part for track in placed.tracks for part in _track(track, live=False)),
        *(part for wire in order if not wire.live for part in _wire(wire)),
        *(part for track in placed.tracks for part in _track(track, live=True)),
        *(part for wire in order if wire.live for part in _wire(wire)),
        *(_box(box) for box in placed.boxes),
        *(
            tag("text", title, class_="quiet", x=x, y=MARGIN + HEADER / 2)
            for x, title in placed.columns
        ),
        *legend,
    ]
    return tag(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        class_="nasrec-drawing",
        role="img",
        width=placed.width,
        height=height,
        viewBox=f"0 0 {placed.width:g} {height:g}",
    )


def _box(box: Box) -> Markup:
    dead = "" if box.live else " dead"
    middle, first = box.x + box.width / 2, box.y + box.height / 2 + 4.5
    first -= 8 * (len(box.lines) - 1)
    lines = [
        tag("text", line, class_=("name" if i == 0 else "") + dead, x=middle, y=first + 16 * i)
        for i, line in enumerate(box.lines)
    ]
    told = box.told + ("" if box.live else "; never reaches the logit, not computed")
    return tag(
        "g",
        tag("title", told),
        tag(
            "rect",
            class_=f"box {box.kind}{dead}",
            x=box.x,
            y=box.y,
            width=box.width,
            height=box.height,
            rx=5,
        ),
        *lines,
        data_box=box.name,
        data_live=str(box.live).lower(),
    )


def _wire(wire: Wire) -> Iterator[Markup]:
    look = wire.kind + ("" if wire.live else " dead")
    *_, before, tip = wire.points
    yield tag("polyline", class_=f"line {look}", points=points(wire.points))
    yield tag("polygon", class_=f"end {look}", points=points(_head(before, tip)))
    for source, (x, y) in zip(wire.sources, wire.dots, strict=False):
        told = tag("title", f"{_said(wire.reader)} reads {_said(source)}")
        yield tag(
            "circle",
            told,
            class_=f"end {look}",
            cx=x,
            cy=y,
            r=3,
            data_wire=f"{wire.reader} reads {source}",
        )
    if wire.label:
        x, y = tip
        yield tag("text", wire.label, class_="note", x=x - 3, y=y - 10)


def _head(before: Point, tip: Point) -> tuple[Point, ...]:
    """The triangle at the end of a line that goes straight up, down or right."""
    (a, b), (x, y), size = before, tip, _ARROW
    if a == x:
        back = y + (1.6 * size if b > y else -1.6 * size)
        return ((x, y), (x - size, back), (x + size, back))
    return ((x, y), (x - 1.6 * size, y - size), (x - 1.6 * size, y + size))


def _track(track: Track, live: bool) -> Iterator[Markup]:
    """A source's row: in grey as far as anything reads it, above that as far as it is alive."""
    (x, start), (_, y), (end, _) = track.points
    if not live:
        if track.live_until != end:
            path = points(((x, start), (x, y), (end, y)))
            yield tag("polyline", class_=f"line {track.kind} dead", points=path)
    elif track.live_until is not None:
        path = points(((x, start), (x, y), (track.live_until, y)))
        yield tag("polyline", class_=f"line {track.kind}", points=path)
    if not live:
        number = track.source.split()[0]
        dead = " dead" if track.live_until is None else ""
        name = "raw" if number == "0" else number
        yield tag("text", name, class_=f"note{dead}", x=x - 5, y=y + 3)


def _legend(architecture: Architecture, placed: Layout) -> list[Markup]:
    """What colours and abbreviations mean."""
    used = [op for b in architecture.blocks for op in (*b.dense_ops, *b.sparse_ops)]
    used += ["FM"] if any(b.sparse_to_dense for b in architecture.blocks) else []
    told = [f"{op} {MEANINGS[op]}" for op in dict.fromkeys(["FC", *used]) if op in MEANINGS]
    room = (placed.width - 2 * MARGIN) / 5.8  # letters of the legend's font in a line
    lines = []
    for texts in (COLOURS, told):
        lines.append(texts[0])
        for text in texts[1:]:
            if len(lines[-1]) + len(text) + 3 <= room:
                lines[-1] += f" · {text}"
            else:
                lines.append(text)
    return [
        tag("text", line, class_="quiet key", x=MARGIN, y=placed.height + LINE * (i + 0.7))
        for i, line in enumerate(lines)
    ]


def _said(box: str) -> str:
    """A box's name in words."""
    if box == "logit":
        return "the last FC"
    number, _, part = box.partition(" ")
    where = "the raw input" if number == "0" else f"block {number}"
    return f"{where} ({part})"
