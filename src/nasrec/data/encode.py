"""The encoder: learnt from train rows once, then the same for every row ever scored.

Dense columns: a missing number becomes 0 *after* the transform. For `standardize` that is the
mean of train; for `log1p` it is the value of a zero count, as the published Criteo preprocessing
has it.

Categorical columns with a vocabulary: id 0 is for values that are rare in train or were never
seen there. The others get ids from 1 by falling count, ties in order of the value. *Missing is a
value*: where it is frequent enough it gets an id of its own, because that a field is empty tells
something. Values are looked up by their 64-bit hash (see hash.py).

Hashed columns: the id is 1 + hash modulo (hash_size - 1), and 0 for a missing value.

Nothing is pickled: an encoder is one Parquet file (see docs/prepared-data.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import Chunk
from nasrec.data.formats.log import require_columns
from nasrec.data.hash import Known, hash_texts, look_up
from nasrec.data.logarithm import log1p
from nasrec.data.schema import Column, HashAs, Schema, Transform
from nasrec.data.values import LARGEST, Rows, lists_of, numbers_of, texts_of
from nasrec.errors import DataError

ENCODER_FILE = "encoder.parquet"
ENCODER_VERSION = 2
PAD = -1
"""The id of a slot without value, in multi-valued columns."""
BLOCK = 1 << 16
"""Numbers that are summed at a time, so that a sum does not depend on how they are read."""


@dataclass(frozen=True)
class DenseEncoder:
    """Turns one numeric column into float32."""

    name: str
    transform: Transform
    mean: float = 0.0
    std: float = 1.0

    @property
    def limit(self) -> float:
        """The largest size of a number that can be encoded."""
        return math.inf if self.transform == "log1p" else LARGEST

    def numbers(self, rows: Rows) -> NDArray[np.float64]:
        """(n,) the raw numbers, NaN where missing."""
        return numbers_of(rows, self.name, self.limit)

    def transformed(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n,) the transformed numbers, NaN where missing."""
        if self.transform == "log1p":
            return log1p(numbers)
        fitted = self.transform == "standardize"
        encoded = (numbers - self.mean) / self.std if fitted else numbers
        # A new row may lie so far out that its standardised value is beyond 32 bits.
        return np.clip(encoded, -LARGEST, LARGEST).astype(np.float32)

    def encode(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n,) the transformed numbers, missing as 0."""
        encoded = self.transformed(numbers)
        encoded[np.isnan(encoded)] = 0
        return encoded


@dataclass(frozen=True, eq=False)
class CategoricalEncoder:
    """Turns one categorical column into ids.

    Args:
        name: the column.
        values: of a vocabulary: `values[i]` has id i + 1, null is "missing". None if hashed.
        hash_size: of a hashed column: the number of ids.
        hash_as: what is hashed; see `schema.Column`.
        slots: ids a row; more than one only if multi-valued.
        separator: the text between the values of a multi-valued column.
        multi_valued: whether a row may have several values.
    """

    name: str
    values: pl.Series | None = None
    hash_size: int = 0
    hash_as: HashAs = "text"
    slots: int = 1
    separator: str | None = None
    multi_valued: bool = False

    @classmethod
    def of(cls, column: Column, values: pl.Series | None = None) -> CategoricalEncoder:
        """The encoder of a column of a schema; `values` are its vocabulary."""
        return cls(
            column.name,
            values,
            column.hash_size or 0,
            column.hash_as or "text",
            column.slots,
            column.separator,
            column.multi_valued,
        )

    @property
    def hashed(self) -> bool:
        """Whether ids are hashes and not from a vocabulary."""
        return bool(self.hash_size)

    @property
    def size(self) -> int:
        """Number of ids, 0 included."""
        return self.hash_size or 1 + len(self._values)

    @property
    def _values(self) -> pl.Series:
        assert self.values is not None
        return self.values

    @cached_property
    def _known(self) -> Known:
        """The vocabulary by hashes."""
        ids = np.arange(1, len(self._values) + 1, dtype=np.int32)
        return Known.of(hash_texts(self._values), ids)

    def texts(self, rows: Rows) -> tuple[pl.Series, NDArray[np.int64] | None]:
        """All values, row after row, and how many each row has (None: one)."""
        if not self.multi_valued:
            return texts_of(rows, self.name), None
        lists = lists_of(rows, self.name, self.separator).list.head(self.slots)
        counts = lists.list.len().to_numpy().astype(np.int64)
        return lists.explode() if len(lists) else pl.Series([], dtype=pl.String), counts

    def lookup(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """(n,) the ids of values by their hashes; 0 for those not in the vocabulary."""
        return look_up(hashes, self._known)

    def hash(self, texts: pl.Series) -> NDArray[np.int32]:
        """(n,) the ids of a hashed column."""
        if self.hash_as == "text":
            numbers = hash_texts(texts) % np.uint64(self.hash_size - 1)
        else:
            base = 16 if self.hash_as == "hex" else 10
            parsed = texts.str.to_integer(base=base, strict=False)
            numbers = parsed.fill_null(0).to_numpy() % (self.hash_size - 1)
            if parsed.null_count() > texts.null_count():
                other = (parsed.is_null() & texts.is_not_null()).to_numpy()
                hashes = hash_texts(texts.filter(pl.Series(other)))
                numbers[other] = (hashes % np.uint64(self.hash_size - 1)).astype(np.int64)
        ids = numbers.astype(np.int32) + np.int32(1)
        if texts.null_count():
            ids[texts.is_null().to_numpy()] = 0
        return ids

    def encode(self, rows: Rows) -> NDArray[np.int32]:
        """(n, slots) the ids, `PAD` in slots without value."""
        texts, counts = self.texts(rows)
        ids = self.hash(texts) if self.hashed else self.lookup(hash_texts(texts))
        return spread(ids, counts, self.slots, np.int32(PAD))

    def description(self) -> dict[str, Any]:
        """The settings without the values, as JSON types."""
        known = {name: getattr(self, name) for name in _SETTINGS}
        return {**known, "values": None if self.values is None else len(self.values)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CategoricalEncoder) or self.description() != other.description():
            return False
        return self.values is None or self.values.equals(other._values)

    def __hash__(self) -> int:
        return hash((self.name, self.size))


_SETTINGS = ("name", "hash_size", "hash_as", "slots", "separator", "multi_valued")


def spread(
    ids: NDArray[Any], counts: NDArray[np.int64] | None, slots: int, pad: Any
) -> NDArray[Any]:
    """(n, slots) the ids of each row in its first slots, `pad` in the others.

    Args:
        ids: of all rows, one after the other.
        counts: how many ids each row has, at most `slots`; None: one.
        slots: ids a row has room for.
        pad: what stands in the slots without an id.
    """
    if counts is None:
        return ids[:, None]
    out = np.full((len(counts), slots), pad, dtype=ids.dtype)
    out[np.arange(slots) < counts[:, None]] = ids
    return out


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
    def fit(cls, data: pl.DataFrame | Rows, schema: Schema) -> Encoder:
        """Learn from train rows in memory, and from nothing else.

        Raises:
            DataError: a column of the schema is not there, or holds what it must not.
        """
        rows = _as_rows(data)
        features = (*schema.dense, *schema.categorical)
        require_columns([c.name for c in features], rows.frame.columns, rows.place())
        dense, categorical = [], []
        for column in schema.dense:
            number = DenseEncoder(column.name, column.transform or "none")
            dense.append(fit_dense(number, partial(_once, number, rows)))
        for column in schema.categorical:
            plain = CategoricalEncoder.of(column)
            if not plain.hashed:
                values = plain.texts(rows)[0].alias("value").to_frame()
                counts = values.group_by("value").agg(pl.len().alias("count"))
                plain = CategoricalEncoder.of(column, vocabulary(counts, column))
            categorical.append(plain)
        return cls(dense, categorical)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that rows must have to be encoded."""
        return tuple([c.name for c in self.dense] + [c.name for c in self.categorical])

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of ids of each categorical feature, the unknown id 0 included."""
        return tuple(column.size for column in self.categorical)

    @property
    def slots(self) -> tuple[int, ...]:
        """Ids a row of each categorical feature: 1, or more if it is multi-valued."""
        return tuple(column.slots for column in self.categorical)

    def encode(self, data: pl.DataFrame | Rows) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Encode rows: columns in any order, others (the label among them) not looked at.

        Returns:
            (n, n_dense) float32 and (n, sum of slots) int32; a width may be 0.

        Raises:
            DataError: a column is not there, or a numeric one holds something else; with place.
        """
        rows = _as_rows(data)
        require_columns(self.columns, rows.frame.columns, rows.place())
        height = rows.frame.height
        dense = np.empty((height, len(self.dense)), dtype=np.float32)
        sparse = np.empty((height, sum(self.slots)), dtype=np.int32)
        for i, number in enumerate(self.dense):
            dense[:, i] = number.encode(number.numbers(rows))
        at = 0
        for category in self.categorical:
            sparse[:, at : at + category.slots] = category.encode(rows)
            at += category.slots
        return dense, sparse

    def save(self, path: str | Path) -> None:
        """Write the encoder as one Parquet file."""
        content = {
            "format": "nasrec-encoder",
            "version": ENCODER_VERSION,
            "dense": [asdict(column) for column in self.dense],
            "categorical": [column.description() for column in self.categorical],
        }
        known = [column.values for column in self.categorical if column.values is not None]
        values = [series.alias("value").cast(pl.String) for series in known]
        table = (pl.concat(values) if values else pl.Series("value", [], pl.String)).to_frame()
        table.write_parquet(
            path,
            compression="zstd",
            row_group_size=1 << 20,
            statistics=False,
            metadata={"nasrec": json.dumps(content, ensure_ascii=True, separators=(",", ":"))},
        )

    @classmethod
    def load(cls, path: str | Path) -> Encoder:
        """Read an encoder; it encodes exactly as the one that was saved.

        Raises:
            DataError: the file is missing, damaged or of another version.
        """
        path = Path(path)
        mend = "prepare the data again, or use the file of the preparation you trained on"
        try:
            with path.open("rb"):
                pass
            content: Any = json.loads(pl.read_parquet_metadata(path)["nasrec"])
            if content["format"] != "nasrec-encoder" or content["version"] != ENCODER_VERSION:
                raise DataError(
                    f"not an encoder of version {ENCODER_VERSION}", where=str(path), mend=mend
                )
            values = pl.read_parquet(path, glob=False)["value"]
            at, categorical = 0, []
            for column in content["categorical"]:
                count = column.pop("values")
                part = None if count is None else values.slice(at, count)
                at += count or 0
                if column["hash_as"] not in get_args(HashAs) or at > len(values):
                    raise ValueError(column)
                categorical.append(CategoricalEncoder(values=part, **column))
            return cls([DenseEncoder(**column) for column in content["dense"]], categorical)
        except OSError as error:
            raise DataError(
                f"cannot read the encoder: {error.strerror or error}", where=str(path), mend=mend
            ) from error
        except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise DataError("the encoder is damaged", where=str(path), mend=mend) from error


def _once(column: DenseEncoder, rows: Rows) -> Iterator[NDArray[np.float64]]:
    yield column.numbers(rows)


def _as_rows(data: pl.DataFrame | Rows) -> Rows:
    return Chunk(data, "data frame") if isinstance(data, pl.DataFrame) else data


def vocabulary(counts: pl.DataFrame, column: Column) -> pl.Series:
    """The values that get ids, in the order of their ids.

    Args:
        counts: `value` and `count` of every value, each once, in any order.
        column: says `min_count` and `cap`.
    """
    kept = counts.filter(pl.col("count") >= (column.min_count or 1))
    kept = kept.sort(["count", "value"], descending=[True, False], nulls_last=False)
    return kept["value"].head(column.cap or kept.height).rechunk()


def fit_dense(
    column: DenseEncoder, numbers: Callable[[], Iterator[NDArray[np.float64]]]
) -> DenseEncoder:
    """The encoder with the mean and standard deviation of train, where it needs them.

    Args:
        column: which numbers, and how they are transformed.
        numbers: begins to give the column's numbers in train, NaN where missing, in pieces of any
            size; called twice.
    """
    if column.transform != "standardize":
        return column
    count, total = 0, []
    for block in _blocks(numbers()):
        count += len(block)
        total.append(float(block.sum()))
    if not count:
        return column
    mean = math.fsum(total) / count
    squares = math.fsum(float(np.square(block - mean).sum()) for block in _blocks(numbers()))
    return DenseEncoder(column.name, column.transform, mean, math.sqrt(squares / count) or 1.0)


def _blocks(pieces: Iterable[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """The numbers that are there, `BLOCK` at a time however the pieces were cut."""
    rest = np.empty(0)
    for piece in pieces:
        rest = np.concatenate([rest, piece[~np.isnan(piece)]])
        whole = len(rest) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            yield rest[start : start + BLOCK]
        rest = rest[whole:].copy()
    if len(rest):
        yield rest
