"""Time stamps as whole numbers that order rows."""

from __future__ import annotations

import polars as pl

LAYOUTS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)
"""Ways to write a moment that are understood, besides whole numbers."""


def parse_times(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The time stamps of a column, and a mask of the values that are none.

    Whole numbers stay as they are, whatever they count (seconds, or `14102100` for an hour);
    dates and times become microseconds since 1970.

    Returns:
        Int64 with null for what is missing or wrong; Boolean, true where a value is there and is
        not a time stamp.
    """
    if series.dtype.is_temporal() and series.dtype != pl.Duration and series.dtype != pl.Time:
        found = series.cast(pl.Datetime("us")).cast(pl.Int64)
    elif series.dtype.is_integer():
        found = series.cast(pl.Int64, strict=False)
    elif series.dtype.is_float():
        found = series.cast(pl.Int64, strict=False)
        found = pl.select(pl.when(series == found.cast(series.dtype)).then(found)).to_series()
    elif series.dtype == pl.String:
        texts = series.str.strip_chars().replace("", None)
        found = texts.cast(pl.Int64, strict=False)
        if found.null_count() > texts.null_count():
            zoneless = texts.str.strip_suffix("Z")
            moments = [
                zoneless.str.to_datetime(layout, time_unit="us", strict=False).cast(pl.Int64)
                for layout in LAYOUTS
            ]
            found = pl.select(pl.coalesce(found, *moments)).to_series()
        series = texts
    else:
        found = pl.repeat(None, len(series), dtype=pl.Int64, eager=True)
    return found.alias(series.name), found.is_null() & series.is_not_null()
