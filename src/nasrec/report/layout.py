"""Where the parts of an architecture are drawn: one column a block, as the paper's Figures 5-10.

From top to bottom: one row for each dense source that something reads, the dense branches, the
mergers, the sparse branches, one row for each sparse source. The output of a block runs along its
row to its last reader; a reader goes up (or down) to the rows it reads and has a dot on each. So no
line ever crosses a box, however many connections there are. The dot product, which reads both
kinds, has its sparse connections in the gutter to the left of its column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nasrec.space import Architecture, Block, LiveBlock
from nasrec.space.operators import Branch

Kind = Literal["dense", "sparse", "merger", "head"]
Point = tuple[float, float]

# Pixels. 7 blocks are 970 wide, which a laptop shows without scrolling.
MARGIN, HEADER = 10, 24
BOX_WIDTH, BOX_HEIGHT = 84, 46
LETTER, BOLD_LETTER = 6.7, 8.3
GUTTER, ROW, GAP = 24, 15, 14
MERGER_WIDTH, MERGER_HEIGHT, MERGER_LANE = 30, 20, 52
INSET = 12


@dataclass(frozen=True)
class Box:
    """A rectangle with text.

    Attributes:
        name: unique, such as `3 dense`, `3 sparse`, `3 to sparse`, `0 dense`, `logit`.
        kind: what it looks like.
        live: whether it reaches the logit.
        lines: what stands in it.
        told: what it is, in words.
        x, y, width, height: its place; x and y of the upper left corner.
    """

    name: str
    kind: Kind
    live: bool
    lines: tuple[str, ...]
    told: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Wire:
    """A line that ends in an arrow, with a dot for every row it starts from.

    Attributes:
        reader: name of the box that it leads to.
        sources: names of the boxes it comes from; `dots` has a point for each, or is empty.
        label: what stands beside its arrow.
    """

    reader: str
    sources: tuple[str, ...]
    kind: Branch
    live: bool
    points: tuple[Point, ...]
    dots: tuple[Point, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Track:
    """The row along which a source's output runs: up from its box, then right.

    Attributes:
        live_until: where its last living reader is; None if it has none.
    """

    source: str
    kind: Branch
    points: tuple[Point, ...]
    live_until: float | None


@dataclass(frozen=True)
class Layout:
    """All that is drawn, in pixels."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    tracks: tuple[Track, ...]
    columns: tuple[tuple[float, str], ...]  # where the middle of each is, and its title
    width: float
    height: float


@dataclass(frozen=True)
class _Reading:
    """One input of a block's operators."""

    block: int
    branch: Branch  # of the operators that read
    of: Branch  # of what they read
    sources: tuple[int, ...]
    live: bool
    label: str = ""


def _readings(i: int, block: Block, live: LiveBlock) -> Iterator[_Reading]:
    dense, sparse, _ = block.connections_read
    if dense:
        yield _Reading(i, "dense", "dense", dense, live.dense)
    if block.reads("pair"):
        for label, source in (("l", block.left), ("r", block.right)):
            yield _Reading(i, "dense", "dense", (source,), live.dense, label)
    if block.reads("sparse"):
        yield _Reading(i, "dense", "sparse", sparse, live.dense)
    yield _Reading(i, "sparse", "sparse", sparse, live.sparse)


def layout(architecture: Architecture, raw: tuple[str, str] = ("", "")) -> Layout:
    """Place an architecture.

    Args:
        architecture: what to draw.
        raw: a second line for the numeric and the categorical columns' boxes, say their number.
    """
    pairs = list(zip(architecture.blocks, architecture.live, strict=True))
    readings = [r for i, (b, live) in enumerate(pairs, start=1) for r in _readings(i, b, live)]
    place = _Places(architecture, readings, raw)
    boxes = list(_boxes(place, pairs, raw))
    wires = [place.wire(r) for r in readings]
    wires += [wire for i, (b, live) in enumerate(pairs, 1) for wire in _mergers(place, i, b, live)]
    n = len(pairs)
    branches: tuple[Branch, ...] = ("dense", "sparse")
    for branch in branches:
        y = place.middle(branch)
        ends = ((place.x(n) + place.box, y), (place.x(n + 1), y))
        wires.append(Wire("logit", (f"{n} {branch}",), branch, True, ends))
    columns = [
        (place.x(i) + place.box / 2, "raw input" if i == 0 else f"block {i}") for i in range(n + 1)
    ]
    tracks = tuple(place.tracks(wires))
    width = place.x(n + 1) + place.box + MARGIN
    return Layout(tuple(boxes), tuple(wires), tracks, tuple(columns), width, place.bottom)


class _Places:
    """Coordinates of columns, lanes and rows."""

    def __init__(
        self, architecture: Architecture, readings: Sequence[_Reading], raw: tuple[str, str]
    ) -> None:
        texts = [text for b in architecture.blocks for text in (*_dense_text(b), *_sparse_text(b))]
        longest = max(len(text) for text in [*texts, *raw, "categories"])
        names = [f(b)[0] for b in architecture.blocks for f in (_dense_text, _sparse_text)]
        widest = BOLD_LETTER * max(len(name) for name in names)
        self.box = max(BOX_WIDTH, LETTER * longest + 10, widest + 8)
        self.rows: dict[Branch, list[int]] = {
            branch: sorted({s for r in readings if r.of == branch for s in r.sources})
            for branch in ("dense", "sparse")
        }
        self.dense_y = MARGIN + HEADER + ROW * len(self.rows["dense"]) + GAP
        self.sparse_y = self.dense_y + BOX_HEIGHT + MERGER_LANE
        self.bottom = self.sparse_y + BOX_HEIGHT + GAP + ROW * len(self.rows["sparse"]) + MARGIN

    def x(self, column: int) -> float:
        """The left edge of a column's boxes; column 0 is the raw input."""
        return MARGIN + column * (self.box + GUTTER)

    def y(self, branch: Branch) -> float:
        """The upper edge of a branch's boxes."""
        return self.dense_y if branch == "dense" else self.sparse_y

    def middle(self, branch: Branch) -> float:
        return self.y(branch) + BOX_HEIGHT / 2

    def edge(self, branch: Branch) -> float:
        """The edge of a branch's boxes on the side of its rows."""
        return self.dense_y if branch == "dense" else self.sparse_y + BOX_HEIGHT

    def row(self, branch: Branch, source: int) -> float:
        """Where a source's output runs; earlier sources are farther from the boxes."""
        away = len(self.rows[branch]) - 1 - self.rows[branch].index(source)
        offset = GAP + ROW * away + ROW / 2
        return self.edge(branch) + (-offset if branch == "dense" else offset)

    def wire(self, reading: _Reading) -> Wire:
        """From the rows that an operator reads to its box."""
        left = self.x(reading.block)
        ys = [self.row(reading.of, source) for source in reading.sources]
        if reading.branch == reading.of:
            x = left + INSET + {"": 0, "l": 17, "r": 34}[reading.label]
            start = min(ys) if reading.of == "dense" else max(ys)
            points: tuple[Point, ...] = ((x, start), (x, self.edge(reading.of)))
        else:  # a dense operator that reads tokens: up the gutter
            x, y = left - GUTTER / 2, self.middle("dense")
            points = ((x, max(ys)), (x, y), (left, y))
        return Wire(
            f"{reading.block} {reading.branch}",
            tuple(f"{source} {reading.of}" for source in reading.sources),
            reading.of,
            reading.live,
            points,
            tuple((x, y) for y in ys),
            reading.label,
        )

    def tracks(self, wires: Sequence[Wire]) -> Iterator[Track]:
        for branch, sources in self.rows.items():
            for source in sources:
                name = f"{source} {branch}"
                ends = [
                    (point[0], wire.live)
                    for wire in wires
                    for at, point in zip(wire.sources, wire.dots, strict=False)
                    if at == name
                ]
                y, x = self.row(branch, source), self.x(source) + self.box - INSET
                points = ((x, self.edge(branch)), (x, y), (max(end for end, _ in ends), y))
                until = max((end for end, live in ends if live), default=None)
                yield Track(name, branch, points, until)


def _dense_text(block: Block) -> tuple[str, str]:
    return " + ".join(block.dense_ops), f"{block.dense_dim} wide"


def _sparse_text(block: Block) -> tuple[str, str]:
    return " + ".join(block.sparse_ops), f"{block.sparse_dim} tokens"


def _boxes(
    place: _Places, pairs: Sequence[tuple[Block, LiveBlock]], raw: tuple[str, str]
) -> Iterator[Box]:
    def box(
        name: str, kind: Kind, live: bool, lines: tuple[str, ...], told: str, x: float, y: float
    ) -> Box:
        kept = tuple(line for line in lines if line)
        return Box(name, kind, live, kept, told, x, y, place.box, BOX_HEIGHT)

    x = place.x(0)
    read = {
        f"{source} {r.of}"
        for i, (b, live) in enumerate(pairs, start=1)
        for r in _readings(i, b, live)
        if r.live
        for source in r.sources
    }
    told = "the raw numeric columns", "the embeddings of the raw categorical columns"
    lines = ("numeric", raw[0]), ("categories", raw[1])
    yield box("0 dense", "dense", "0 dense" in read, lines[0], told[0], x, place.dense_y)
    yield box("0 sparse", "sparse", "0 sparse" in read, lines[1], told[1], x, place.sparse_y)
    for i, (block, live) in enumerate(pairs, start=1):
        x = place.x(i)
        for branch, text, lives, y in (
            ("dense", _dense_text(block), live.dense, place.dense_y),
            ("sparse", _sparse_text(block), live.sparse, place.sparse_y),
        ):
            told_of = f"block {i}, {branch} branch: {', '.join(text)}"
            kind: Kind = "dense" if branch == "dense" else "sparse"
            yield box(f"{i} {branch}", kind, lives, text, told_of, x, y)
        for name, there, lives, text_of, what in (
            ("to dense", block.sparse_to_dense, live.sparse_to_dense, "FM", _TO_DENSE),
            ("to sparse", block.dense_to_sparse, live.dense_to_sparse, "FC", _TO_SPARSE),
        ):
            if there:
                at = _merger_x(place, i, name) - MERGER_WIDTH / 2
                top = place.dense_y + BOX_HEIGHT + (MERGER_LANE - MERGER_HEIGHT) / 2
                yield Box(
                    f"{i} {name}",
                    "merger",
                    lives,
                    (text_of,),
                    f"block {i}: {what}",
                    at,
                    top,
                    MERGER_WIDTH,
                    MERGER_HEIGHT,
                )
    n = len(pairs)
    height = place.sparse_y + BOX_HEIGHT - place.dense_y
    told_of = f"the last FC: one logit from both outputs of block {n}"
    lines_of = ("FC", "logit")
    yield Box(
        "logit", "head", True, lines_of, told_of, place.x(n + 1), place.dense_y, place.box, height
    )


_TO_DENSE = "the sparse output, pooled by a factorization machine, is added to the dense output"
_TO_SPARSE = "an FC makes tokens of the dense output, which join the sparse output"


def _merger_x(place: _Places, i: int, name: str) -> float:
    return place.x(i) + place.box * (0.25 if name == "to dense" else 0.75)


def _mergers(place: _Places, i: int, block: Block, live: LiveBlock) -> Iterator[Wire]:
    """Through each merger, from one branch's box to the other's."""
    top, bottom = place.dense_y + BOX_HEIGHT, place.sparse_y
    upper = top + (MERGER_LANE - MERGER_HEIGHT) / 2
    lower = upper + MERGER_HEIGHT
    ways: tuple[tuple[str, bool, bool, Branch, Branch, tuple[float, ...]], ...] = (
        ("to dense", block.sparse_to_dense, live.sparse_to_dense, "sparse", "dense",
         (bottom, lower, upper, top)),
        ("to sparse", block.dense_to_sparse, live.dense_to_sparse, "dense", "sparse",
         (top, upper, lower, bottom)),
    )  # fmt: skip
    for name, there, lives, of, to, (a, b, c, d) in ways:
        if there:
            x, merger = _merger_x(place, i, name), f"{i} {name}"
            yield Wire(merger, (f"{i} {of}",), of, lives, ((x, a), (x, b)))
            yield Wire(f"{i} {to}", (merger,), to, lives, ((x, c), (x, d)))
