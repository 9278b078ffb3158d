"""The fields of plain text, found and read by compiled kernels, without a data frame.

Plain is ASCII without quotes or carriage returns, in which each line is a record with all its
fields. A column whose every field is of the kind asked for is read here, exactly as it would be
from a data frame; other columns, and text that is not plain, are left to that.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data import logarithm
from nasrec.data.formats.scan import NEWLINE, count_byte
from nasrec.native import library


class Kind(NamedTuple):
    """How fields are read: as numbers (float64, NaN where missing); as the logarithms of counts
    (float32, see data/logarithm.py); as hashes of texts (uint64, see data/hash.py); or, with a
    `size`, as ids of a column that hashes texts or the integers that they spell (int32, see
    data/encode.py)."""

    read_as: Literal["number", "logarithm", "text", "decimal", "hex"]
    size: int = 0

    @property
    def dtype(self) -> type[Any]:
        """Of what is read."""
        if self.size:
            return np.int32
        return {"number": np.float64, "logarithm": np.float32}.get(self.read_as, np.uint64)


class Read(NamedTuple):
    """The values of a column, (rows,); and if it is hashes of texts, and those that are not empty
    have all the same number of bytes, that; else 0."""

    values: NDArray[Any]
    width: int = 0


HEAD = 1 << 16
"""Bytes by which the number of rows is judged."""
MORE_ROWS = -2
LINE = 64
"""Bytes: columns begin at cache lines."""
KINDS = {"number": 0, "text": 1, "logarithm": 2, "decimal": 10, "hex": 16}


class _Job(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("column", "kind", "size", "plain")),
        *((name, ctypes.c_int64) for name in ("shortest", "longest", "others")),
        *((name, ctypes.c_void_p) for name in ("out", "table", "rows", "numbers")),
    ]


@dataclass(frozen=True, eq=False)
class Fields:
    """Where the fields of a text are; made by `find_fields`.

    Args:
        text: the text.
        names: its columns.
        rows: how many records it has.
        ends: (columns, rows or more) where each field ends.
    """

    text: NDArray[np.uint8]
    names: tuple[str, ...]
    rows: int
    ends: NDArray[np.uint32]

    def read(self, kinds: Mapping[str, Kind]) -> dict[str, Read]:
        """The values of columns; without those that have fields of another kind."""
        kernels = library()
        assert kernels is not None
        jobs = (_Job * len(kinds))()
        # One piece of memory for all: large ones come in huge pages.
        sizes = [self.rows * np.dtype(kind.dtype).itemsize for kind in kinds.values()]
        begins = np.cumsum([0, *(-(-size // LINE) * LINE for size in sizes)]).tolist()
        room, found = np.empty(begins[-1], np.uint8), {}
        # Hardly any number is not in the table, and memory not touched costs nothing.
        others: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        places = zip(jobs, begins, sizes, kinds.items(), strict=False)
        for job, begin, size, (name, kind) in places:
            found[name] = room[begin : begin + size].view(kind.dtype)
            job.column, job.kind = self.names.index(name), KINDS[kind.read_as]
            job.size, job.plain, job.shortest = kind.size, 1, len(self.text)
            job.out = found[name].ctypes.data
            if kind.read_as == "logarithm":
                others[name] = np.empty(self.rows, np.int64), np.empty(self.rows)
                job.size, job.table = logarithm.TABLE, logarithm.table().ctypes.data
                job.rows, job.numbers = (x.ctypes.data for x in others[name])
        kernels.read_fields(
            ctypes.c_void_p(self.text.ctypes.data),
            *_longs(len(self.text), self.rows, self.ends.shape[1]),
            ctypes.c_void_p(self.ends.ctypes.data), *_longs(len(self.names)), jobs,
            *_longs(len(jobs)),
        )  # fmt: skip
        for job, name in zip(jobs, kinds, strict=True):
            if job.others:
                rows, numbers = others[name]
                found[name][rows[: job.others]] = logarithm.log1p(numbers[: job.others])
        return {
            name: Read(values, job.longest if job.shortest == job.longest else 0)
            for job, (name, values) in zip(jobs, found.items(), strict=True)
            if job.plain
        }

    def packed(self, column: str, rows: NDArray[np.int64]) -> Packed:
        """The texts of a column in some rows."""
        number, ends = self.names.index(column), self.ends
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        kernels = library()
        if kernels is None:
            begins = ends[number - 1][rows - (number == 0)].astype(np.int64) + 1
            if not number:
                begins[rows == 0] = 0
            stops, text = ends[number][rows].astype(np.int64), bytes(self.text)
            cuts = zip(begins.tolist(), stops.tolist(), strict=True)
            joined = np.frombuffer(b"\n".join([text[a:b] for a, b in cuts]), np.uint8)
            return Packed(joined, (np.cumsum(stops - begins + 1) - 1).astype(np.uint32))
        packed = np.empty(len(rows), np.uint32)
        kernels.join_fields.restype = ctypes.c_long
        given = (
            ctypes.c_void_p(self.text.ctypes.data), *_longs(ends.shape[1]),
            ctypes.c_void_p(ends.ctypes.data), *_longs(len(self.names), number, len(rows)),
            ctypes.c_void_p(rows.ctypes.data), ctypes.c_void_p(packed.ctypes.data),
        )  # fmt: skip
        joined = np.empty(kernels.join_fields(*given, None), np.uint8)
        kernels.join_fields(*given, ctypes.c_void_p(joined.ctypes.data))
        return Packed(joined, packed)


class Packed(NamedTuple):
    """Texts in one array: side by side, a newline between two; and where each ends (uint32)."""

    joined: NDArray[np.uint8]
    ends: NDArray[np.uint32]

    @classmethod
    def of(cls, texts: pl.Series) -> Packed:
        """The texts of a String series; null becomes empty."""
        if not len(texts):
            return cls(np.empty(0, np.uint8), np.empty(0, np.uint32))
        lengths = texts.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
        joined = texts.fill_null("").str.join("\n").item().encode()
        ends = np.cumsum(lengths + 1) - 1
        return cls(np.frombuffer(joined, np.uint8), ends.astype(np.uint32))

    def texts(self, rows: NDArray[np.int64]) -> pl.Series:
        """Some of the texts; null for empty ones."""
        if not len(rows):
            return pl.Series([], dtype=pl.String)
        field = Fields(self.joined, ("",), len(self.ends), self.ends[None, :])
        joined, ends = field.packed("", rows)
        text = joined.tobytes()
        if text.count(b"\n") == len(rows) - 1:
            found = pl.Series([text.decode()]).str.split("\n").explode()
        else:  # texts that have newlines
            cuts = zip([0, *(ends[:-1] + 1).tolist()], ends.tolist(), strict=True)
            found = pl.Series([text[a:b].decode() for a, b in cuts])
        return found.replace("", None)


def find_fields(text: NDArray[np.uint8], separator: str, names: tuple[str, ...]) -> Fields | None:
    """The fields of a text; None if it is not plain, or there is no kernel."""
    kernels = library()
    if kernels is None or len(names) < 2 or not 0 < len(text) < 1 << 32 or text[-1] != NEWLINE:
        return None
    kernels.text_fields.restype = ctypes.c_long
    # The rows are not counted before, but judged by the first ones.
    head = text[:HEAD]
    for rows in (count_byte(head, NEWLINE) * len(text) * 17 // (len(head) * 16) + 1, None):
        if rows is None:
            rows = count_byte(text, NEWLINE)
        # An odd number of cache lines: columns a power of two apart would share few places of a
        # cache.
        ends = np.empty((len(names), 16 * (-(-rows // 16) | 1)), np.uint32)
        found = kernels.text_fields(
            ctypes.c_void_p(text.ctypes.data), *_longs(len(text)),
            ctypes.c_char(separator.encode()), *_longs(*ends.shape),
            ctypes.c_void_p(ends.ctypes.data),
        )  # fmt: skip
        if found != MORE_ROWS:
            break
    return Fields(text, names, found, ends) if found > 0 else None


def _longs(*values: int) -> tuple[ctypes.c_long, ...]:
    return tuple(ctypes.c_long(value) for value in values)
