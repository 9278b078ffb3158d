"""Avazu's click log: a CSV file with a header, whose `hour` is written YYMMDDHH.

The reader adds the day of the week and the hour of the day, as features that come again; the hour
itself is the time stamp to split by.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from nasrec.data.formats.text import Derived, TextReader
from nasrec.data.schema import Column, Schema

IDS = (
    *("C1", "banner_pos", "site_id", "site_domain", "site_category"),
    *("app_id", "app_domain", "app_category", "device_id", "device_ip", "device_model"),
    *("device_type", "device_conn_type", *(f"C{i}" for i in range(14, 22))),
)
SCHEMA = Schema(
    columns=(
        Column(name="id", role="ignore", reason="another value in each row (Avazu)"),
        Column(name="click", role="label", reason="0 or 1 (Avazu)"),
        Column(name="hour", role="timestamp", reason="the hour, written YYMMDDHH (Avazu)"),
        Column(name="weekday", role="categorical", reason="computed from hour: 1 Monday, 7 Sunday"),
        Column(name="hour_of_day", role="categorical", reason="computed from hour: 00 to 23"),
        *(Column(name=name, role="categorical", reason="an id (Avazu)") for name in IDS),
    ),
    format="avazu",
)


def _weekday(frame: pl.DataFrame, path: Path) -> pl.Series:
    """1 for Monday to 7 for Sunday; null where `hour` is no hour."""
    days = frame["hour"].str.slice(0, 6).str.to_date("%y%m%d", strict=False)
    return days.dt.weekday().cast(pl.String)


def _hour_of_day(frame: pl.DataFrame, path: Path) -> pl.Series:
    """The last two of the eight digits, 00 to 23; null where `hour` is no hour."""
    return frame["hour"].str.extract(r"^\d{6}([01]\d|2[0-3])$")


READER = TextReader(
    separator=",",
    derived=(
        Derived("weekday", ("hour",), _weekday),
        Derived("hour_of_day", ("hour",), _hour_of_day),
    ),
)
