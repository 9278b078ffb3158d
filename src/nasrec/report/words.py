"""Numbers as people read them."""

from __future__ import annotations

NONE = "\u2013"  # a dash


def loss(value: float | None) -> str:
    """Five digits: what a log loss or an AUC is compared by."""
    return NONE if value is None else f"{value:.5f}"


def signed(value: float | None) -> str:
    """A difference of losses, with its sign."""
    return NONE if value is None else f"{value:+.5f}".replace("-", "\u2212")


def count(value: float | None) -> str:
    """A whole number with separators."""
    return NONE if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """A large number with its unit, such as 21.9 k; as it is where it is small."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def size(value: float | None) -> str:
    """Bytes."""
    if value is None:
        return NONE
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} bytes"


def percent(value: float | None) -> str:
    """A share of rows."""
    return NONE if value is None else f"{100 * value:.1f} %"


def seconds(value: float | None) -> str:
    """A duration in the largest unit that it fills."""
    if value is None:
        return NONE
    if value < 90:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"
