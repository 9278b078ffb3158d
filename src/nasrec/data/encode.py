"""The encoder: learnt from train rows once, then the same for every row ever scored.

Dense columns: a missing number becomes 0 *after* the transform. For `standardize` that is the
mean of train; for `log1p` it is the value of a zero count, as the published Criteo preprocessing
has it.

Categorical columns: id 0 is for values that are rare in train or were never seen there. The
others get ids from 1 by falling count, ties in order of the value. *Missing is a value*: where it
is frequent enough it gets an id of its own, because that a field is empty tells something.

Nothing is pickled: an encoder is one JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import Table
from nasrec.data.schema import Schema, Transform
from nasrec.data.values import numbers_of, texts_of
from nasrec.errors import DataError

ENCODER_VERSION = 1


@dataclass(frozen=True)
class DenseEncoder:
    """Turns one numeric column into float32."""

    name: str
    transform: Transform
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, table: Table, name: str, transform: Transform) -> DenseEncoder:
        """Learn mean and standard deviation from the rows that have a number."""
        numbers = numbers_of(table, name)
        numbers = numbers[~np.isnan(numbers)]
        if transform != "standardize" or not len(numbers):
            return cls(name, transform)
        # float() of a numpy sum: pairwise in a fixed order, so the same for any number of threads.
        return cls(name, transform, float(numbers.mean()), float(numbers.std()) or 1.0)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """(n,) the transformed column, missing as 0."""
        numbers = numbers_of(table, self.name)
        if self.transform == "log1p":
            encoded = np.log1p(np.maximum(numbers, 0.0))
        else:
            encoded = (numbers - self.mean) / self.std
        with np.errstate(over="ignore"):
            result = np.nan_to_num(encoded, nan=0.0, posinf=np.inf, neginf=-np.inf).astype(
                np.float32
            )
        wrong = np.flatnonzero(~np.isfinite(result))
        if len(wrong):
            raise DataError(
                f"{numbers[wrong[0]]} is too large for 32-bit floats",
                where=table.place(int(wrong[0]), self.name),
                mend="use the transform 'log1p' for this column, or correct the value",
            )
        return result


@dataclass(frozen=True)
class CategoricalEncoder:
    """Turns one categorical column into ids; `values[i]` has id i + 1, None is "missing"."""

    name: str
    values: tuple[str | None, ...]

    @classmethod
    def fit(cls, table: Table, name: str, min_count: int) -> CategoricalEncoder:
        """Learn the values seen in at least `min_count` rows."""
        counts = (
            texts_of(table, name)
            .alias("value")
            .to_frame()
            .group_by("value")
            .agg(pl.len().alias("count"))
            .filter(pl.col("count") >= min_count)
            .sort(["count", "value"], descending=[True, False], nulls_last=False)
        )
        return cls(name, tuple(counts["value"].to_list()))

    @cached_property
    def _texts(self) -> tuple[pl.Enum, NDArray[np.int32], int]:
        """The values that are texts, the id of each, and the id of a missing value."""
        texts = [value for value in self.values if value is not None]
        ids = [i for i, value in enumerate(self.values, start=1) if value is not None]
        missing = self.values.index(None) + 1 if None in self.values else 0
        # The last entry is for "not among the texts": unknown.
        return pl.Enum(texts), np.array([*ids, 0], dtype=np.int32), missing

    def encode(self, table: Table) -> NDArray[np.int32]:
        """(n,) the ids."""
        texts = texts_of(table, self.name)
        enum, ids, missing = self._texts
        places = texts.cast(enum, strict=False).to_physical().cast(pl.Int64)
        encoded = np.take(ids, places.fill_null(len(ids) - 1).to_numpy())
        if missing and texts.null_count():
            encoded[texts.is_null().to_numpy()] = missing
        return encoded


class Encoder:
    """Encodes logs for models; made by `Encoder.fit` or `Encoder.load`.

    Args:
        dense: one encoder for each dense feature, in the order models see them.
        categorical: one for each categorical feature.
    """

    def __init__(
        self, dense: Sequence[DenseEncoder], categorical: Sequence[CategoricalEncoder]
    ) -> None:
        self.dense = tuple(dense)
        self.categorical = tuple(categorical)

    @classmethod
    def fit(cls, data: pl.DataFrame | Table, schema: Schema) -> Encoder:
        """Learn from train rows, and from nothing else.

        Raises:
            DataError: a column of the schema is not there, or holds what it must not.
        """
        table = _as_table(data)
        table.require(column.name for column in (*schema.dense, *schema.categorical))
        return cls(
            [DenseEncoder.fit(table, c.name, c.transform or "none") for c in schema.dense],
            [CategoricalEncoder.fit(table, c.name, c.min_count or 1) for c in schema.categorical],
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that rows must have to be encoded."""
        return tuple([c.name for c in self.dense] + [c.name for c in self.categorical])

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of ids of each categorical feature, the unknown id 0 included."""
        return tuple(len(column.values) + 1 for column in self.categorical)

    def encode(self, data: pl.DataFrame | Table) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Encode rows: columns in any order, others (the label among them) not looked at.

        Returns:
            (n, n_dense) float32 and (n, n_sparse) int32; a width may be 0.

        Raises:
            DataError: a column is not there, or a numeric one holds something else; with place.
        """
        table = _as_table(data)
        table.require(self.columns)
        rows = table.frame.height
        dense = np.empty((rows, len(self.dense)), dtype=np.float32)
        sparse = np.empty((rows, len(self.categorical)), dtype=np.int32)
        for i, number in enumerate(self.dense):
            dense[:, i] = number.encode(table)
        for i, category in enumerate(self.categorical):
            sparse[:, i] = category.encode(table)
        return dense, sparse

    def save(self, path: str | Path) -> None:
        """Write the encoder as one JSON file."""
        content = {
            "format": "nasrec-encoder",
            "version": ENCODER_VERSION,
            "dense": [asdict(column) for column in self.dense],
            # Not asdict, which copies every value deeply.
            "categorical": [{"name": c.name, "values": c.values} for c in self.categorical],
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Encoder:
        """Read an encoder; it encodes exactly as the one that was saved.

        Raises:
            DataError: the file is missing, damaged or of another version.
        """
        path = Path(path)
        mend = "prepare the data again, or use the file of the preparation you trained on"
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != "nasrec-encoder" or content["version"] != ENCODER_VERSION:
                raise DataError(
                    f"not an encoder of version {ENCODER_VERSION}", where=str(path), mend=mend
                )
            return cls(
                [DenseEncoder(**column) for column in content["dense"]],
                [
                    CategoricalEncoder(column["name"], tuple(column["values"]))
                    for column in content["categorical"]
                ],
            )
        except OSError as error:
            raise DataError(
                f"cannot read the encoder: {error.strerror}", where=str(path), mend=mend
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("the encoder is damaged", where=str(path), mend=mend) from error


def _as_table(data: pl.DataFrame | Table) -> Table:
    return data if isinstance(data, Table) else Table(data, "data frame")
