"""Several charts on one sheet: an SVG file that stands by itself."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nasrec.report.charts import HEIGHT, WIDTH
from nasrec.report.markup import tag

_TITLE, _COLUMNS = 24, 2

# The report's page has its own style sheet; a file needs one inside, for light and dark readers.
STYLE = Markup("""
svg { --ink: #16191f; --quiet: #5b6472; --rule: #d9dde3; --card: #ffffff; --ours: #1d4ed8;
  --theirs: #b45309; --front: #15803d; --dots: #9aa3b0; }
@media (prefers-color-scheme: dark) { svg { --ink: #eceef2; --quiet: #a1a9b6; --rule: #343a44;
  --card: #14171c; --ours: #93c5fd; --theirs: #fcd34d; --front: #86efac; --dots: #6b7482; } }
text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.name { font-weight: 600; font-size: 13px; text-anchor: middle; }
.paper { fill: var(--card); } .grid { stroke: var(--rule); }
.tick { fill: var(--quiet); } .tick.y { text-anchor: end; }
.tick.x, .axis { text-anchor: middle; }
.label { paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.dots { fill: none; stroke-linecap: round; stroke: var(--dots); }
.path { fill: none; stroke-width: 2; } .mark { stroke: var(--card); stroke-width: 1.2; }
.path.quiet { stroke: var(--dots); stroke-dasharray: 5 4; }
.path.ours { stroke: var(--ours); } .mark.ours { fill: var(--ours); }
.path.theirs { stroke: var(--theirs); } .mark.theirs { fill: var(--theirs); }
.path.front { stroke: var(--front); } .mark.front { fill: var(--front); }
""")


def sheet(charts: Sequence[tuple[str, Markup]]) -> Markup:
    """Charts of `nasrec.report.charts` under their titles, two in a row."""
    columns = min(_COLUMNS, max(1, len(charts)))
    width, height = columns * WIDTH, -(-len(charts) // columns) * (HEIGHT + _TITLE)
    placed = []
    for number, (title, chart) in enumerate(charts):
        x, y = number % columns * WIDTH, number // columns * (HEIGHT + _TITLE)
        name = tag("text", title, class_="name", x=x + WIDTH / 2, y=y + 16)
        moved = tag("g", chart, transform=f"translate({x} {y + _TITLE})")
        # A chart scales to its page; on a sheet its own size is fixed.
        sized = Markup(str(moved).replace("<svg ", f'<svg width="{WIDTH}" height="{HEIGHT}" ', 1))
        placed += [name, sized]
    return tag(
        "svg",
        tag("style", STYLE),
        tag("rect", class_="paper", width=width, height=height),
        *placed,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )
