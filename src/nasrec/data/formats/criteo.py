"""Criteo's display advertising logs: the Kaggle challenge's `train.txt` and the terabyte's days.

Tab separated, without header or quotes: the label, 13 counts, 26 hexadecimal hashes.
"""

from __future__ import annotations

from nasrec.data.formats.text import TextReader
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
SCHEMA = Schema(columns=(LABEL, *DENSE, *CATEGORICAL), format="criteo")
NAMES = tuple(column.name for column in SCHEMA.columns)

READER = TextReader(separator="\t", quoted=False, names=NAMES)
