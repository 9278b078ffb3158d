"""All that this room knows of an encoder's inside: its files, its vocabularies.

Everything else here encodes by `Encoder.encode` and asks this module for the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nasrec.data import Encoder, PreparedData
from nasrec.data.dataset import sha256_of_file

SCHEMA, ENCODER = "schema.yaml", "encoder.json"


def copy_encoder(data: PreparedData, folder: Path) -> None:
    """Copy what encodes raw rows from a prepared folder into `folder`."""
    for name in (SCHEMA, ENCODER):
        shutil.copyfile(data.path / name, folder / name)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a model folder."""
    return Encoder.load(folder / ENCODER)


def same_encoder(one: Path, other: Path) -> bool:
    """Whether two folders hold one and the same encoder."""
    return sha256_of_file(one / ENCODER) == sha256_of_file(other / ENCODER)


def dense_columns(encoder: Encoder) -> list[dict[str, Any]]:
    """The numeric columns as plain JSON: name, transform, mean, std."""
    return [
        {"name": c.name, "transform": c.transform, "mean": c.mean, "std": c.std}
        for c in encoder.dense
    ]


def vocabularies(encoder: Encoder) -> Iterator[tuple[str, Sequence[str | None]]]:
    """Each categorical column's name and values; the value at i has id i + 1, None is missing."""
    for column in encoder.categorical:
        yield column.name, column.values


def missing_id(values: Sequence[str | None]) -> int:
    """The id of a missing value; 0, unknown, where the vocabulary has none."""
    return values.index(None) + 1 if None in values else 0
