"""Raw rows to score, a chunk at a time: files larger than memory, and pipes.

Rows come in the order of the file, whatever the size of the chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from nasrec.data.formats import FORMATS, Format, Table, _read_text, format_of, unknown_column
from nasrec.data.scan import check_utf8
from nasrec.errors import DataError

STDIN = "-"
CHUNK_BYTES = 2**23
CHUNK_ROWS = 2**16
NEWLINE, QUOTE = 10, 34


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        data: a data frame, a file, or `-` for standard input.
        format: a name in `nasrec.data.formats.FORMATS`; None for a data frame.
    """

    data: pl.DataFrame | Path | str
    format: str | None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        if isinstance(self.data, pl.DataFrame):
            return "data frame"
        return "standard input" if self.data == STDIN else str(self.data)


def open_source(
    data: pl.DataFrame | str | Path, format: str | None = None, otherwise: str | None = None
) -> Source:
    """Find out how to read rows.

    Args:
        data: a data frame, a file, or `-` for standard input, which is CSV unless said otherwise.
        format: how to read it; None goes by the extension,
        otherwise: and where that says nothing, by this: the format of the training data.

    Raises:
        DataError: no such file, or its format cannot be told.
    """
    if isinstance(data, pl.DataFrame):
        return Source(data, None)
    if str(data) == STDIN:
        return Source(STDIN, format_of(Path(STDIN), format or otherwise or "csv"))
    path = Path(data)
    if path.is_dir():
        raise DataError("this is a folder", where=str(path), mend="give one file")
    if not path.exists():
        raise DataError("no such file", where=str(path), mend="check the path")
    try:
        return Source(path, format_of(path, format))
    except DataError:
        if format is not None or otherwise is None:
            raise
        return Source(path, format_of(path, otherwise))


def chunks(source: Source, columns: Sequence[str]) -> Iterator[Table]:
    """The rows of a source, with at least `columns`, in order.

    Raises:
        DataError: an empty or damaged file, or a column that is not there; with its place.
    """
    found = False
    for table in _chunks(source, columns):
        table.require(columns)
        found = found or table.frame.height > 0
        yield table
    if not found:
        raise DataError("there are no rows", where=source.name, mend="give rows to score")


def _chunks(source: Source, columns: Sequence[str]) -> Iterator[Table]:
    if isinstance(source.data, pl.DataFrame):
        for start in range(0, source.data.height, CHUNK_ROWS):
            yield _numbered(source.data[start : start + CHUNK_ROWS], source.name, first=start)
        return
    entry = FORMATS[str(source.format)]
    if entry.separator is None:
        if source.data == STDIN:
            raise DataError(
                "Parquet cannot be read from a pipe",
                where=source.name,
                mend="give the file itself, or CSV",
            )
        yield from _parquet_chunks(Path(source.data), columns)
    elif source.data == STDIN:
        yield from _text_chunks(sys.stdin.buffer, source.name, entry)
    else:
        try:
            with Path(source.data).open("rb") as file:
                yield from _text_chunks(file, source.name, entry)
        except OSError as error:
            raise DataError(
                f"cannot read the file: {error.strerror}",
                where=source.name,
                mend="check its rights",
            ) from error


def _numbered(frame: pl.DataFrame, name: str, *, first: int) -> Table:
    """A table whose rows are told as rows of the whole source."""
    return _Rows(frame, name, np.arange(first + 1, first + 1 + frame.height, dtype=np.int64))


class _Rows(Table):
    """A table whose `lines` are row numbers."""

    def place(self, row: int | None = None, column: str | None = None) -> str:
        return super().place(row, column).replace(", line ", ", row ", 1)


def _parquet_chunks(path: Path, columns: Sequence[str]) -> Iterator[Table]:
    try:
        if not path.stat().st_size:
            raise DataError("the file is empty", where=str(path), mend="write it again")
        lazy = pl.scan_parquet(path)
        there = lazy.collect_schema().names()
        for column in columns:
            if column not in there:
                raise unknown_column(column, there, str(path))
        first = 0
        for frame in lazy.select(columns).collect_batches(chunk_size=CHUNK_ROWS):
            yield _numbered(frame, str(path), first=first)
            first += frame.height
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"not a whole Parquet file: {str(error).splitlines()[0]}",
            where=str(path),
            mend="write the file again, or name its true format",
        ) from error


def _text_chunks(file: BinaryIO, name: str, entry: Format) -> Iterator[Table]:
    """Whole records, `CHUNK_BYTES` at a time; lines are numbered through the whole file."""
    buffer, line, header = b"", 1, b""
    if entry.schema is None:
        header, line = _header(file, name, entry.quoted)
    finished, empty = False, True
    while not finished:
        block = file.read(CHUNK_BYTES)
        finished = not block
        buffer += block
        if len(buffer) < CHUNK_BYTES and not finished:
            continue
        end = len(buffer) if finished else _last_end(buffer, entry.quoted)
        body, buffer = buffer[:end], buffer[end:]
        if body.strip():
            empty = False
            yield _parsed(body, header, line, name, entry)
        line += body.count(b"\n")
    if empty:  # says what is wrong: an empty file, or a header without rows
        _read_text(header, name, entry)


def _parsed(body: bytes, header: bytes, line: int, name: str, entry: Format) -> Table:
    """The rows of `body`, which begins on the given line of the file."""
    before = header.count(b"\n")
    try:
        table = _read_text(header + body, name, entry)
    except DataError:
        # Blank lines in the place of all that came before give the message the right line.
        _read_text(header + b"\n" * (line - 1 - before) + body, name, entry)
        raise
    assert table.lines is not None
    return Table(table.frame, name, table.lines + (line - 1 - before))


def _header(file: BinaryIO, name: str, quoted: bool) -> tuple[bytes, int]:
    """The header with its line end, and the line that the rows begin on."""
    header, line = b"", 1
    for raw in iter(file.readline, b""):
        check_utf8(raw, name)
        header += raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
        line += 1
        if not header.strip():
            header = b""
        elif not quoted or header.count(b'"') % 2 == 0:  # else a name goes on in the next line
            break
    return header if header.endswith(b"\n") or not header else header + b"\n", line


def _last_end(buffer: bytes, quoted: bool) -> int:
    """Where the last whole record ends; 0 if none does."""
    if not quoted or b'"' not in buffer:
        return buffer.rfind(b"\n") + 1
    # A line end within quotes, behind an odd number of them, ends no record.
    bytes_ = np.frombuffer(buffer, dtype=np.uint8)
    ends = np.flatnonzero(bytes_ == NEWLINE)
    even = np.searchsorted(np.flatnonzero(bytes_ == QUOTE), ends) % 2 == 0
    return int(ends[even][-1]) + 1 if even.any() else 0
