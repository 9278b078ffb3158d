"""A raw click log as a stream of chunks, each row of which knows its file and line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats.fields import Fields
from nasrec.data.formats.sources import is_compressed
from nasrec.errors import DataError

BadRows = Literal["error", "skip", "quarantine"]
SAMPLE_BYTES = 1 << 25
"""How much of a log is looked at to say what it is."""
PIECES = 32
"""In how many places."""
PACKED = 8
"""How many times smaller a compressed file may be than its content."""


class BadLine(NamedTuple):
    """A line that was left out: why, and its text (cut to 1 kB)."""

    file: str
    line: int
    reason: str
    text: bytes


@dataclass(frozen=True)
class Position:
    """Where a chunk begins.

    Args:
        file: index into `Log.files`.
        offset: bytes from the beginning of the file, after decompression (text formats).
        row: number of the next row within the file, from 0.
        line: number of the next line within the file, from 1 (text formats).
    """

    file: int = 0
    offset: int = 0
    row: int = 0
    line: int = 1


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file.

    Args:
        frame: the rows. Columns of text files are strings, empty fields are null; Parquet files
            and data frames keep their types. May have no rows, where every line was bad.
        file: what to call the file in messages.
        lines: (n,) the line of each row in a text file; None counts rows from `first_row`.
        first_row: number of the first row within its file, from 0.
        bad: the lines left out, if the log was opened to leave bad ones out.
        next: where the next chunk begins; None at the end of the log.
        sampled: whether these are some rows of a log, from all over it, without their places.
    """

    frame: pl.DataFrame
    file: str
    lines: NDArray[np.int64] | None = None
    first_row: int = 0
    bad: tuple[BadLine, ...] = ()
    next: Position | None = None
    sampled: bool = False

    @property
    def fields(self) -> Fields | None:
        """Where the fields are in the text, if that was asked for (`Log.located`), and the text is
        plain."""
        return None

    def followed_by(self, position: Position | None, bad: tuple[BadLine, ...] = ()) -> Chunk:
        """The chunk with another `next`, and more bad lines; its frame is not looked at."""
        chunk = copy(self)
        vars(chunk).update(next=position, bad=(*self.bad, *bad))
        return chunk

    def place(self, row: int | None = None, column: str | None = None) -> str:
        """Where something is, for an error message; `row` counts from 0 within the chunk."""
        parts = [self.file]
        if row is not None and not self.sampled:
            number = f"row {self.first_row + row + 1}"
            parts.append(number if self.lines is None else f"line {self.lines[row]}")
        if column is not None:
            parts.append(f"column {column!r}")
        return ", ".join(parts)

    def require(self, columns: Iterable[str]) -> None:
        """Raise a `DataError` with the nearest names if one of `columns` is not there."""
        require_columns(columns, self.frame.columns, self.file)


class PlainChunk(Chunk):
    """A chunk of plain text. Its frame is made when it is first looked at."""

    def __init__(
        self,
        make: Callable[[], pl.DataFrame],
        fields: Fields,
        file: str,
        lines: NDArray[np.int64],
        first_row: int,
    ) -> None:
        super().__init__(pl.DataFrame(), file, lines, first_row)
        vars(self).update(_make=make, _fields=fields)
        del vars(self)["frame"]

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rows."""
        return vars(self)["_make"]()  # type: ignore[no-any-return]

    @property
    def fields(self) -> Fields:
        """Where the fields are in the text."""
        return vars(self)["_fields"]  # type: ignore[no-any-return]


def require_columns(wanted: Iterable[str], columns: Sequence[str], where: str) -> None:
    """Raise a `DataError` with the nearest names if one of `wanted` is not in `columns`."""
    there = set(columns)
    for column in wanted:
        if column not in there:
            raise unknown_column(column, columns, where)


def unknown_column(column: str, columns: Sequence[str], where: str) -> DataError:
    """The error for a column that is not there, with the nearest names."""
    near = get_close_matches(column, columns, n=3, cutoff=0.5)
    folded = [name for name in columns if name.lower() == column.lower()]
    names = list(dict.fromkeys(folded + near)) or columns[:10]
    what = "did you mean" if folded or near else "its columns are"
    more = ", ..." if not (folded or near) and len(columns) > len(names) else ""
    return DataError(
        f"there is no column {column!r}",
        where=where,
        mend=f"{what} {', '.join(repr(name) for name in names)}{more}"
        + ("?" if folded or near else " (if these are values, the file has no header)"),
    )


class Reader(Protocol):
    """How one kind of file is read; every format has one."""

    def columns(self, path: Path) -> tuple[str, ...]:
        """The columns of a file, those that the reader computes included."""
        ...

    def chunks(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        chunk_bytes: int,
        start: Position,
        bad_rows: BadRows,
    ) -> Iterator[Chunk]:
        """The rows from `start` on, with `columns` in this order.

        The last chunk of the file has `next` None. At least one chunk is given.
        """
        ...

    def sample(self, path: Path, columns: Sequence[str], *, at: float, size: int) -> pl.DataFrame:
        """About `size` bytes of rows from the place `at` of the file, from 0 to below 1."""
        ...

    def companions(self, path: Path) -> tuple[Path, ...]:
        """Other files whose content goes into the rows."""
        ...

    def located(self) -> Reader:
        """The same reader; its chunks know where their fields are, if it can tell."""
        ...


@dataclass(frozen=True)
class Log:
    """A click log of any size; made by `open_log`.

    Rows come in the order of the files and of the lines in them, whatever the size of a chunk.

    Args:
        columns: the columns of every chunk's frame, in order.
        files: the files in the order they are read; empty for a data frame.
        bytes: their size on disk (of a data frame: in memory).
        format: the format's name; `frame` for a data frame.
        reader: how a file is read.
        bad_rows: what to do with a line that cannot be parsed.
        frame: the rows, if they come from memory.
    """

    columns: tuple[str, ...]
    files: tuple[Path, ...]
    bytes: int
    format: str
    reader: Reader | None = None
    bad_rows: BadRows = "error"
    frame: pl.DataFrame | None = None

    @property
    def name(self) -> str:
        """What to call the whole log in a message."""
        if self.frame is not None:
            return "data frame"
        first = str(self.files[0])
        return first if len(self.files) == 1 else f"{first} (and {len(self.files) - 1} more)"

    def identity(self) -> list[dict[str, Any]]:
        """`name`, `bytes` and `sha256` of each file, those joined to the rows included."""
        if self.frame is not None:
            stream = self.frame.rechunk().write_ipc(None, compression="uncompressed")
            digest = hashlib.sha256(stream.getvalue()).hexdigest()
            return [{"name": "data frame", "bytes": self.bytes, "sha256": digest}]
        assert self.reader is not None
        paths = dict.fromkeys(
            path for file in self.files for path in (file, *self.reader.companions(file))
        )
        identities = []
        for path in paths:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entry = {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
            identities.append(entry)
        return identities

    def chunks(self, *, chunk_bytes: int, start: Position | None = None) -> Iterator[Chunk]:
        """The rows from `start` (a chunk's `next`; None: the beginning) to the end.

        Args:
            chunk_bytes: about how many bytes of text (or of values) a chunk holds. A single line
                may be longer.
            start: where to begin.

        Raises:
            DataError: damage, with file and line.
        """
        start = start or Position()
        if self.frame is not None:
            yield from _frame_chunks(self.frame.select(self.columns), chunk_bytes, start.row)
            return
        assert self.reader is not None
        for index in range(start.file, len(self.files)):
            begin = start if index == start.file else Position(index)
            for chunk in self.reader.chunks(
                self.files[index],
                self.columns,
                chunk_bytes=chunk_bytes,
                start=begin,
                bad_rows=self.bad_rows,
            ):
                if chunk.next is not None:
                    yield chunk.followed_by(replace(chunk.next, file=index))
                elif index + 1 < len(self.files):
                    yield chunk.followed_by(Position(index + 1))
                else:
                    yield chunk

    def located(self) -> Log:
        """The same log; its chunks know where their fields are, where the reader can tell."""
        return self if self.reader is None else replace(self, reader=self.reader.located())

    def whole(self) -> Chunk:
        """All rows in memory; those of several files do not know their places.

        Raises:
            DataError: damage, with file and line.
        """
        if self.frame is not None:
            return Chunk(self.frame.select(self.columns), self.name)
        chunks = list(self.chunks(chunk_bytes=SAMPLE_BYTES))
        frame = pl.concat([chunk.frame for chunk in chunks])
        several = len(self.files) > 1
        lines = [chunk.lines for chunk in chunks if chunk.lines is not None and not several]
        return Chunk(frame, self.name, np.concatenate(lines) if lines else None, sampled=several)

    def sample(self, limit: int = SAMPLE_BYTES) -> Chunk:
        """Rows to look at: all of a small log, else pieces from all over it.

        Of compressed files only the beginning is looked at. Bad lines are left out of pieces.

        Args:
            limit: about how many bytes of the files to read.

        Raises:
            DataError: damage, if all of the log is read.
        """
        if self.frame is not None:
            every = -(-int(self.bytes) // limit)
            if every < 2:
                return self.whole()
            frame = self.frame.select(self.columns).gather_every(every)
            return Chunk(frame, self.name, sampled=True)
        if self.bytes * (PACKED if any(map(is_compressed, self.files)) else 1) <= limit:
            return self.whole()
        pieces = [piece for piece in self._pieces(limit) if piece.height]
        if not pieces:
            first = next(self.chunks(chunk_bytes=limit))
            return Chunk(first.frame, self.name, sampled=True)
        return Chunk(pl.concat(pieces), self.name, sampled=True)

    def _pieces(self, limit: int) -> Iterator[pl.DataFrame]:
        """Rows from evenly spaced places of all files together."""
        assert self.reader is not None
        begin, step = 0, -(-self.bytes // PIECES)
        for path in self.files:
            size = path.stat().st_size
            if is_compressed(path):
                places, part = [0.0], limit * size // self.bytes
            else:
                within = range(-(-begin // step) * step, begin + size, step)
                places, part = [(place - begin) / size for place in within], limit // PIECES
            for at in places:
                yield self.reader.sample(path, self.columns, at=at, size=part)
            begin += size


def _frame_chunks(frame: pl.DataFrame, chunk_bytes: int, start: int) -> Iterator[Chunk]:
    size = max(1, int(chunk_bytes * frame.height / max(1, frame.estimated_size())))
    for low in range(start, frame.height, size):
        high = min(low + size, frame.height)
        after = Position(row=high) if high < frame.height else None
        yield Chunk(frame[low:high], "data frame", first_row=low, next=after)
