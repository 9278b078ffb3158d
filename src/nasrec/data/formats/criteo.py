"""Criteo's display advertising logs: the Kaggle challenge's `train.txt` and the terabyte's days.

Tab separated, without header or quotes: the label, 13 counts, 26 hexadecimal hashes. The terabyte
comes in files `day_0` to `day_23`, and the day is worth a column: it splits by time.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from nasrec.data.formats.text import Derived, TextReader
from nasrec.data.schema import Column, Schema

LABEL = Column(name="label", role="label", reason="first field of the Criteo format")
DENSE = tuple(
    Column(name=f"I{i}", role="dense", transform="log1p", reason="integer count (Criteo)")
    for i in range(1, 14)
)
CATEGORICAL = tuple(
    Column(name=f"C{i}", role="categorical", reason="hexadecimal hash (Criteo)")
    for i in range(1, 27)
)
DAY = Column(name="day", role="timestamp", reason="the number in the file's name")
SCHEMA = Schema(columns=(LABEL, *DENSE, *CATEGORICAL), format="criteo")
DAYS_SCHEMA = Schema(columns=(LABEL, *DENSE, *CATEGORICAL, DAY), format="criteo_days")
NAMES = tuple(column.name for column in SCHEMA.columns)


def _day(frame: pl.DataFrame, path: Path) -> pl.Series:
    """The number of `day_7.gz`, for every row; null where the name has none."""
    found = re.search(r"day_(\d+)", path.name)
    return pl.repeat(found and found[1], frame.height, dtype=pl.String, eager=True)


READER = TextReader(separator="\t", quoted=False, names=NAMES)
DAYS_READER = TextReader(
    separator="\t", quoted=False, names=NAMES, derived=(Derived("day", (), _day),)
)
