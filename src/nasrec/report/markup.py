"""Building SVG and HTML elements whose texts are escaped whatever a column is called."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element; children that are no `Markup` are escaped.

    Attributes that are None are left out; `_` in their names becomes `-`, and one at the end falls
    away (`class_`). Floats keep one digit: tenths of a pixel.
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), told, inside)


def points(pairs: Any) -> str:
    """The `points` of a polyline or a polygon."""
    return " ".join(f"{_value(float(x))},{_value(float(y))}" for x, y in pairs)


def _value(value: Any) -> str:
    if isinstance(value, float):
        text = f"{value:.1f}"
        return text.removesuffix(".0")
    return str(value)
