"""Pictures of architectures: everything is there, and nothing lies on anything else."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from nasrec.report import drawing, picture
from nasrec.report.layout import Box, layout
from nasrec.space import (
    NASREC_FULL,
    NASREC_PLUS,
    NASREC_SMALL,
    PUBLISHED,
    Architecture,
    SearchSpace,
    published,
)

SVG = "{http://www.w3.org/2000/svg}"
SPACES = (
    NASREC_FULL,
    NASREC_SMALL,
    NASREC_PLUS,
    NASREC_FULL.with_(name="any", max_ops_per_branch=None),
    NASREC_FULL.with_(name="few", blocks=1),
    NASREC_SMALL.with_(name="many", blocks=12),
)


def architectures(space: SearchSpace, count: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


ALL = [a for space in SPACES for a in architectures(space, 8)] + [published(n) for n in PUBLISHED]


def connections(architecture: Architecture) -> set[str]:
    """Who reads whom, by the operators' own words."""
    found = set()
    for i, block in enumerate(architecture.blocks, start=1):
        if block.reads("dense"):
            found |= {f"{i} dense reads {j} dense" for j in block.dense_inputs}
        if block.reads("pair"):
            found |= {f"{i} dense reads {j} dense" for j in (block.left, block.right)}
        if block.reads("sparse"):
            found |= {f"{i} dense reads {j} sparse" for j in block.sparse_inputs}
        found |= {f"{i} sparse reads {j} sparse" for j in block.sparse_inputs}
    return found


@pytest.mark.parametrize("number", range(0, len(ALL), 8))
def test_every_block_and_connection_is_drawn_and_marked(number):
    for architecture in ALL[number : number + 8]:
        root = ElementTree.fromstring(str(drawing(architecture)))
        boxes = {g.get("data-box"): g for g in root.iter(f"{SVG}g") if g.get("data-box")}
        for i, (block, live) in enumerate(
            zip(architecture.blocks, architecture.live, strict=True), start=1
        ):
            for branch, alive, width, ops in (
                ("dense", live.dense, f"{block.dense_dim} wide", block.dense_ops),
                ("sparse", live.sparse, f"{block.sparse_dim} tokens", block.sparse_ops),
            ):
                group = boxes[f"{i} {branch}"]
                assert group.get("data-live") == str(alive).lower()
                texts = [text.text for text in group.iter(f"{SVG}text")]
                assert texts == [" + ".join(ops), width]
            assert (f"{i} to sparse" in boxes) == block.dense_to_sparse
            assert (f"{i} to dense" in boxes) == block.sparse_to_dense
            if block.sparse_to_dense:
                told = boxes[f"{i} to dense"].get("data-live")
                assert told == str(live.sparse_to_dense).lower()
        drawn = {dot.get("data-wire") for dot in root.iter(f"{SVG}circle")}
        assert drawn == connections(architecture)


def crosses(box: Box, a: float, b: float, c: float, d: float) -> bool:
    """Whether a line from (a, b) straight to (c, d) goes through the inside of a box."""
    return (
        max(min(a, c), box.x) <= min(max(a, c), box.x + box.width)
        and max(min(b, d), box.y) <= min(max(b, d), box.y + box.height)
        and not (max(a, c) <= box.x or min(a, c) >= box.x + box.width)
        and not (max(b, d) <= box.y or min(b, d) >= box.y + box.height)
    )


def test_nothing_overlaps():
    for architecture in ALL:
        placed = layout(architecture)
        for a, b in combinations(placed.boxes, 2):
            apart = (
                a.x + a.width <= b.x
                or b.x + b.width <= a.x
                or a.y + a.height <= b.y
                or b.y + b.height <= a.y
            )
            assert apart, (a.name, b.name)
        lines = [w.points for w in placed.wires] + [t.points for t in placed.tracks]
        for line in lines:
            for (a, b), (c, d) in pairwise(line):
                assert a == c or b == d  # straight up, down or right
                assert min(a, c) >= 0
                assert max(a, c) <= placed.width
                assert min(b, d) >= 0
                assert max(b, d) <= placed.height
                assert not any(crosses(box, a, b, c, d) for box in placed.boxes)


def test_a_dot_lies_on_the_row_of_its_source():
    for architecture in ALL:
        placed = layout(architecture)
        rows = {track.source: track.points for track in placed.tracks}
        for wire in placed.wires:
            for source, (x, y) in zip(wire.sources, wire.dots, strict=False):
                _, (start, row), (end, _) = rows[source]
                assert y == row
                assert start < x <= end
        heights = [points[1][1] for points in rows.values()]
        assert len(set(heights)) == len(heights)


def test_dead_parts_are_grey_and_living_ones_are_not():
    root = ElementTree.fromstring(str(drawing(published("criteo-full"))))
    for group in root.iter(f"{SVG}g"):
        grey = "dead" in group.find(f"{SVG}rect").get("class").split()
        assert grey == (group.get("data-live") == "false")
    assert sum(g.get("data-live") == "false" for g in root.iter(f"{SVG}g")) == 9


def test_texts_are_escaped():
    raw = drawing(published("criteo-full"), raw=("<b>&\"'</b>", "26 columns"))
    root = ElementTree.fromstring(str(raw))
    assert any(text.text == "<b>&\"'</b>" for text in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("seed", range(5))
def test_every_architecture_has_a_text(seed):
    space = NASREC_FULL.with_(max_ops_per_branch=None)
    text = picture(space.sample(np.random.default_rng(seed)))
    for i in range(1, 8):
        assert f"block {i}" in text
    assert max(map(len, text.splitlines())) < 130


def test_the_text_names_what_is_dead():
    text = picture(published("criteo-full"))
    assert text.count("never reaches the logit") == 3
