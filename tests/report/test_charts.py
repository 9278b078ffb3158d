"""Charts: points where they belong, labels beside each other, fronts that nothing beats."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from nasrec.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Series,
    chart,
    robust_limits,
)
from nasrec.report.figures import front
from nasrec.report.words import short, size

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*args):
    return ElementTree.fromstring(str(chart(*args)))


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.parametrize("seed", range(8))
def test_points_and_ticks_are_inside_and_labels_apart(seed):
    rng = np.random.default_rng(seed)
    n, log = int(rng.integers(1, 40)), bool(seed % 2)
    scale = 10.0 ** rng.integers(-4, 6)
    xs, ys = 1 + rng.random(n) * scale * 100, rng.normal(size=n) * scale
    points = list(zip(xs.tolist(), ys.tolist(), strict=True))
    names = [f"model {i}" for i in range(n)]
    root = drawn(
        "A title", Axis("x", log=log), Axis("y"),
        [Series("a", points, "quiet", "dots"), Series("b", points, "ours", "marks", names, names)],
    )  # fmt: skip
    marks = list(root.iter(f"{SVG}circle"))
    assert len(marks) == n
    for mark in marks:
        assert LEFT <= float(mark.get("cx")) <= WIDTH - RIGHT
        assert TOP <= float(mark.get("cy")) <= HEIGHT - BOTTOM
    (dots,) = root.iter(f"{SVG}path")
    assert len(numbers(dots.get("d"))) == 3 * n  # "Mx yh0"
    texts = list(root.iter(f"{SVG}text"))
    ticks = [t.text for t in texts if t.get("class") == "tick y"]
    assert 3 <= len(ticks) <= 12
    assert len(set(ticks)) == len(ticks)
    labels = [(float(t.get("y")), t.text) for t in texts if t.get("class") == "label"]
    assert {text for _, text in labels} <= set(names)


def test_labels_do_not_lie_on_each_other():
    points = [(1.0, 1.0)] * 30
    names = [f"n{i}" for i in range(30)]
    root = drawn("t", Axis("x"), Axis("y"), [Series("", points, "ours", "marks", names, names)])
    places = [
        (t.get("x"), t.get("y"), t.get("text-anchor"))
        for t in root.iter(f"{SVG}text")
        if t.get("class") == "label"
    ]
    assert 1 <= len(places) == len(set(places)) <= 8


def test_higher_values_stand_higher_and_log_axes_are_even():
    points = [(1.0, 0.1), (10.0, 0.2), (100.0, 0.3)]
    root = drawn("t", Axis("x", log=True), Axis("y"), [Series("", points, "ours", "marks")])
    xs, ys = ([float(c.get(name)) for c in root.iter(f"{SVG}circle")] for name in ("cx", "cy"))
    assert ys[0] > ys[1] > ys[2]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)


def test_values_beyond_limits_are_left_out_and_constants_are_drawn():
    points = [(0.0, 0.5), (1.0, 0.5), (2.0, 9.0)]
    limits = robust_limits([0.5, 0.5, 0.5, 0.5, 9.0])
    assert limits[0] < 0.5 < limits[1] < 9
    axes = Axis("x"), Axis("y", limits=limits)
    root = drawn("t", *axes, [Series("", points, "ours", "marks")])
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert robust_limits([1.0, 2.0, 3.0, 90.0], keep=[90.0])[1] > 90


def test_texts_are_escaped():
    text = str(chart("<a> & b", Axis("<x>"), Axis("y"), [Series("", [(1, 1)], "ours", "marks",
                                                              ["<t>"], ["<l>"])]))  # fmt: skip
    assert "<a>" not in text
    assert "<l>" not in text
    ElementTree.fromstring(text)


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_beats(seed):
    rng = np.random.default_rng(seed)
    points = [tuple(p) for p in rng.integers(0, 12, size=(rng.integers(1, 40), 2)).tolist()]
    found = front(points)
    expected = {
        p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)
    }
    assert set(found) == expected
    assert found == sorted(expected)


def test_numbers_for_people():
    assert [short(v) for v in (4, 999, 21_920, 2_222_291)] == ["4", "999", "21.9 k", "2.22 M"]
    assert [size(v) for v in (12, 109_796, 3e9)] == ["12 bytes", "110 kB", "3 GB"]
    assert not math.isnan(float(short(0.5)))
