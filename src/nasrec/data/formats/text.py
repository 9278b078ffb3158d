"""Reading delimited text in chunks of whole records, with the line of every row.

A record that does not parse is a fault. What is left out for it does not depend on where chunks
begin: a record with a wrong number of fields goes as a whole; after a quote out of place only the
line on which the record begins goes, and reading starts anew on the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import faults as limits
from nasrec.data.formats.buffer import SMALL, Buffer, skip_line
from nasrec.data.formats.faults import QUOTES, UTF8, Fault, found, ragged, too_long
from nasrec.data.formats.fields import Fields, find_fields
from nasrec.data.formats.header import read_head
from nasrec.data.formats.log import BadLine, BadRows, Chunk, PlainChunk, Position, require_columns
from nasrec.data.formats.scan import (
    NEWLINE,
    count_byte,
    find_records,
    invalid_utf8,
    is_even,
    last_newline,
    misplaced_quote,
    regular_rows,
)
from nasrec.data.formats.sources import opened
from nasrec.errors import DataError

T = TypeVar("T")


class Derived(NamedTuple):
    """A column that a reader computes from others of the file."""

    name: str
    sources: tuple[str, ...]
    compute: Callable[[pl.DataFrame, Path], pl.Series]
    """From a frame that has the sources, and the file, the values of the new column."""


class Verdict(NamedTuple):
    """Which rows of a frame are wrong, and how to say and mend it."""

    wrong: pl.Series
    values: pl.Series
    """The values that are wrong, for `what`, which has a `{}` for it."""
    what: str
    mend: str


@dataclass(frozen=True)
class TextReader:
    """Reads text with one record a line.

    Args:
        separator: the ASCII character between fields.
        quoted: whether double quotes may enclose fields, and newlines in them.
        names: the columns of files without a header; None if the first line names them.
        derived: columns computed from these.
        locating: whether chunks of plain text know where their fields are.
    """

    separator: str
    quoted: bool = True
    names: tuple[str, ...] | None = None
    derived: tuple[Derived, ...] = ()
    locating: bool = False

    def columns(self, path: Path) -> tuple[str, ...]:
        """The columns of the file, then the derived ones."""
        with opened(path) as stream:
            names, _ = self._head(Buffer(stream), path)
        return (*names, *(column.name for column in self.derived))

    def sample(self, path: Path, columns: Sequence[str], *, at: float, size: int) -> pl.DataFrame:
        """See `log.Reader`; nothing where a quoted newline hides where a record begins."""
        with opened(path) as stream:
            names, head = self._head(Buffer(stream), path)
            offset = max(head.offset, int(at * path.stat().st_size))
        with opened(path) as stream:
            stream.seek(max(head.offset, offset - 1))
            text = stream.read(size)
        begin = text.find(b"\n") + 1 if offset > head.offset else 0
        text = text[begin : text.rfind(b"\n") + 1]
        if self.quoted and misplaced_quote(text, self.separator, True) >= 0:
            text = b""
        frame, lines, body = self._read(text, names, columns, path, 1, "skip", [])
        frame, lines = self._judged(frame, lines, body, path, "skip", [])
        return self.finish(frame, lines, path, columns)[0].select(columns)

    def companions(self, path: Path) -> tuple[Path, ...]:
        """No other files."""
        return ()

    def located(self) -> TextReader:
        """See `log.Reader`; readers with rows of their own making do not tell."""
        return replace(self, locating=True) if type(self) is TextReader else self

    def chunks(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        chunk_bytes: int,
        start: Position,
        bad_rows: BadRows,
    ) -> Iterator[Chunk]:
        """See `log.Reader`."""
        with opened(path) as stream:
            names, head = self._head(Buffer(stream), path)
        at = start if start.offset else head
        with opened(path) as stream:
            stream.seek(at.offset)
            yield from self._chunks(Buffer(stream), names, at, path, columns, chunk_bytes, bad_rows)

    def pipe(
        self, stream: BufferedIOBase, name: str, columns: Sequence[str] | None, *, chunk_bytes: int
    ) -> Iterator[Chunk]:
        """The rows of a stream that can be read only once, such as standard input.

        Args:
            stream: the text.
            name: what to call it in messages.
            columns: the columns to read, in this order; None reads all.
            chunk_bytes: about how many bytes of text a chunk holds.

        Raises:
            DataError: damage, with its line, or a column that is not there.
        """
        buffer, path = Buffer(stream), Path(name)
        names, at = self._head(buffer, path)
        there = (*names, *(column.name for column in self.derived))
        columns = there if columns is None else columns
        require_columns(columns, there, name)
        yield from self._chunks(buffer, names, at, path, columns, chunk_bytes, "error")

    def _chunks(
        self,
        buffer: Buffer,
        names: tuple[str, ...],
        at: Position,
        path: Path,
        columns: Sequence[str],
        chunk_bytes: int,
        bad_rows: BadRows,
    ) -> Iterator[Chunk]:
        window = chunk_bytes
        while True:
            bad: list[BadLine] = []
            make = partial(self._made, names, columns, path, at.line, bad_rows, bad)
            fields, fault = None, None
            if self.locating and set(columns) <= set(names):
                fields = self._located(buffer.view(window), names)
            if fields is None:
                text, fault, final = self._next(buffer, window)
                frame, lines = make(text)
                rows, breaks, length = frame.height, count_byte(text, NEWLINE), len(text)
                chunk = Chunk(frame, str(path), lines, at.row)
            else:
                rows, breaks, length = fields.rows, fields.rows, len(fields.text)
                final = length == len(buffer.view(window)) < window
                lines = np.arange(at.line, at.line + rows)
                chunk = PlainChunk(partial(_frame, make, fields), fields, str(path), lines, at.row)
            after = Position(offset=at.offset + length, row=at.row + rows, line=at.line + breaks)
            buffer.skip(length)
            if fault is not None:
                found(bad, bad_rows, path, after.line, fault, buffer.peek(1024))
                length = skip_line(buffer)
                after = Position(offset=after.offset + length, row=after.row, line=after.line + 1)
            following = None if final else after
            yield chunk.followed_by(following, tuple(bad))
            if final:
                return
            at = after
            window = SMALL if fault else min(chunk_bytes, 2 * window)

    def _located(self, text: NDArray[np.uint8], names: tuple[str, ...]) -> Fields | None:
        """The fields of the whole lines that a text begins with, if they are plain."""
        cut = last_newline(text[-SMALL:].tobytes(), False) + 1
        return find_fields(text[: len(text) - len(text[-SMALL:]) + cut], self.separator, names)

    def _made(
        self,
        names: tuple[str, ...],
        columns: Sequence[str],
        path: Path,
        first_line: int,
        bad_rows: BadRows,
        bad: list[BadLine],
        text: bytes,
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """The rows of whole records, with the columns asked for, and their lines."""
        frame, lines, body = self._read(text, names, columns, path, first_line, bad_rows, bad)
        frame, lines = self._judged(frame, lines, body, path, bad_rows, bad)
        frame, lines = self.finish(frame, lines, path, columns)
        return frame.select(columns), lines

    def needed(self, columns: Sequence[str]) -> set[str]:
        """The columns of the file that `columns` are made from."""
        wanted = set(columns)
        for column in self.derived:
            if column.name in wanted:
                wanted.update(column.sources)
        return wanted

    def judge(self, frame: pl.DataFrame) -> Iterator[Verdict]:
        """What is wrong with rows whose fields are all there."""
        yield from ()

    def finish(
        self,
        frame: pl.DataFrame,
        lines: NDArray[np.int64],
        path: Path,
        columns: Sequence[str],
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Add those of the derived columns that are among `columns`."""
        made = [c.compute(frame, path).alias(c.name) for c in self.derived if c.name in columns]
        return (frame.with_columns(made) if made else frame), lines

    def _judged(
        self,
        frame: pl.DataFrame,
        lines: NDArray[np.int64],
        body: bytes,
        path: Path,
        bad_rows: BadRows,
        bad: list[BadLine],
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """The rows that `judge` finds nothing wrong with."""
        faults: dict[int, Fault] = {}
        for verdict in self.judge(frame):
            for row in verdict.wrong.fill_null(True).arg_true().to_list():
                what = verdict.what.format(repr(verdict.values[row]))
                faults.setdefault(row, Fault(0, what, verdict.mend))
        if not faults:
            return frame, lines
        texts = body.split(b"\n")
        for row in sorted(faults):
            found(bad, bad_rows, path, int(lines[row]), faults[row], texts[row])
        kept = np.ones(len(lines), dtype=np.bool_)
        kept[list(faults)] = False
        return frame.filter(kept), lines[kept]

    def _next(self, buffer: Buffer, window: int) -> tuple[bytes, Fault | None, bool]:
        """Whole records from the front of the buffer, and what is wrong with the one after them.

        The last value is true when the records reach to the end of the file.
        """
        while True:
            text = buffer.peek(window)
            final = len(text) < window
            quotes = self.quoted and b'"' in text
            wrong = misplaced_quote(text, self.separator, final) if quotes else -1
            if wrong >= 0:
                begin = last_newline(text[:wrong], True) + 1
                line = text.count(b"\n", begin, wrong)
                return text[:begin], Fault(line, "a quote in the middle of a field", QUOTES), False
            cut = last_newline(text, self.quoted) + 1
            rest = text[cut:]
            if len(rest) > limits.MAX_RECORD or (final and quotes and rest.count(b'"') % 2):
                return text[:cut], too_long(rest, quotes), False
            if final:
                return text, None, True
            if cut:
                return text[:cut], None, False
            window = 2 * window

    def _read(
        self,
        text: bytes,
        names: tuple[str, ...],
        columns: Sequence[str],
        path: Path,
        first_line: int,
        bad_rows: BadRows,
        bad: list[BadLine],
    ) -> tuple[pl.DataFrame, NDArray[np.int64], bytes]:
        """The rows of whole records, their lines, and the text that they were read from."""
        rows = regular_rows(text, self.separator, len(names), self.quoted)
        if rows > 0:
            # The parser refuses a row with too many fields only if it is asked for all of them.
            few = 2 * len(self.needed(columns).intersection(names)) < len(names)
            simple = text.isascii() and not (self.quoted and b'"' in text)
            try:
                if not few:
                    frame = self._parse(text, names, names)
                elif simple and is_even(text, self.separator, len(names)):
                    frame = self._parse(text, names, columns)
                else:
                    frame = pl.DataFrame()
                if frame.height == rows:
                    return frame, np.arange(first_line, first_line + rows), text
            except pl.exceptions.PolarsError:
                pass  # the line is found below
        body, lines = self._rows(text, len(names), path, first_line, bad_rows, bad)
        try:
            frame = self._parse(body, names, columns)
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"cannot parse the file: {error}", where=str(path), mend="check it"
            ) from error
        if frame.height != len(lines):
            raise DataError(
                f"{len(lines)} lines were parsed as {frame.height} rows",
                where=f"{path}, from line {first_line}",
                mend="check the quotes and line ends of the file",
            )
        return frame, lines, body

    def _rows(
        self,
        text: bytes,
        fields: int,
        path: Path,
        first_line: int,
        bad_rows: BadRows,
        bad: list[BadLine],
    ) -> tuple[bytes, NDArray[np.int64]]:
        """The text without blank and bad lines, and the line of each record that is left."""
        records = find_records(text, self.separator, self.quoted)
        faults: dict[int, Fault] = {}
        for row in np.flatnonzero(records.fields != fields).tolist():
            faults[row] = ragged(int(records.fields[row]), fields)
        for place in invalid_utf8(text):
            row = int(np.searchsorted(records.starts, place, side="right")) - 1
            line = text.count(b"\n", int(records.starts[row]), place)
            faults[row] = Fault(
                line,
                f"invalid UTF-8: byte 0x{text[place]:02x}",
                UTF8,
            )
        for row in np.flatnonzero(records.stops - records.starts > limits.MAX_RECORD).tolist():
            faults[row] = too_long(b"", False)
        lines = records.lines + first_line
        for row in sorted(faults):
            content = text[records.starts[row] : records.stops[row]]
            found(bad, bad_rows, path, int(lines[row]), faults[row], content)
        kept = np.ones(len(lines), dtype=bool)
        kept[list(faults)] = False
        ends = np.minimum(records.stops + 1, len(text))
        if kept.all() and len(lines) and int((ends - records.starts).sum()) == len(text):
            return text, lines
        edges = np.zeros(len(text) + 1, dtype=np.int8)
        edges[records.starts[kept]] += 1
        edges[ends[kept]] -= 1
        chosen = np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_)
        return np.frombuffer(text, dtype=np.uint8)[chosen].tobytes(), lines[kept]

    def _parse(self, body: bytes, names: tuple[str, ...], columns: Sequence[str]) -> pl.DataFrame:
        """The columns of the file that are needed, as strings with null for empty fields."""
        needed = self.needed(columns)
        chosen = [i for i, name in enumerate(names) if name in needed] or [0]
        if not body:
            return pl.DataFrame(schema={names[i]: pl.String for i in chosen})
        numbered = [f"column_{i + 1}" for i in range(len(names))]
        # The lazy reader takes six tenths of the time of `read_csv`.
        table = pl.scan_csv(
            body,
            has_header=False,
            separator=self.separator,
            quote_char='"' if self.quoted else None,
            schema=dict.fromkeys(numbered, pl.String),
        )
        frame = table.select([numbered[i] for i in chosen]).collect()
        frame.columns = [names[i] for i in chosen]
        if self.quoted and b'"' in body:
            frame = frame.with_columns(pl.all().replace("", None))
        return frame

    def _head(self, buffer: Buffer, path: Path) -> tuple[tuple[str, ...], Position]:
        return read_head(buffer, path, self.separator, self.quoted, self.names)


def _frame(make: Callable[[bytes], tuple[T, object]], fields: Fields) -> T:
    return make(fields.text.tobytes())[0]
