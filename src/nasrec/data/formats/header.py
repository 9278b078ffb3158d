"""The beginning of delimited text: a byte order mark, and the names of the columns."""

from __future__ import annotations

import csv
from pathlib import Path

from nasrec.data.formats import faults
from nasrec.data.formats.buffer import SMALL, Buffer, first_newline, skip_blank
from nasrec.data.formats.faults import QUOTES, UTF8, too_long
from nasrec.data.formats.log import Position
from nasrec.data.formats.scan import misplaced_quote
from nasrec.errors import DataError

MARK = b"\xef\xbb\xbf"
"""The byte order mark that some programs put before UTF-8."""


def read_head(
    buffer: Buffer, path: Path, separator: str, quoted: bool, given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Position]:
    """The columns of the file, and where its first row can begin.

    Args:
        buffer: at the beginning of the file; afterwards behind its header.
        path: the file.
        separator, quoted: how fields are written, as for `text.TextReader`.
        given: the columns, where there is no header.

    Raises:
        DataError: there are no rows, or the header is damaged or names a column twice.
    """
    at = Position()
    if buffer.peek(3) == MARK:
        buffer.skip(3)
        at = Position(offset=3)
    at = skip_blank(buffer, at)
    text = buffer.peek(SMALL)
    if len(text) < SMALL and not text.strip():
        raise DataError("the file is empty", where=str(path), mend="write the log again")
    if given is not None:
        return given, at
    size = SMALL
    while True:
        text = buffer.peek(size)
        stop = first_newline(text, quoted)
        if stop >= 0 or len(text) < size or size > faults.MAX_RECORD:
            break
        size *= 2
    header = text[: stop + 1] if stop >= 0 else text
    names = _names(header, path, at.line, separator, quoted)
    buffer.skip(len(header))
    after = Position(offset=at.offset + len(header), line=at.line + header.count(b"\n"))
    after = skip_blank(buffer, after)
    if not buffer.peek(1):
        raise DataError(
            "there is only a header, and no rows",
            where=str(path),
            mend="write the log again, or name its format if it has no header",
        )
    return names, after


def _names(header: bytes, path: Path, line: int, separator: str, quoted: bool) -> tuple[str, ...]:
    where = f"{path}, line {line}"
    mend = "name the columns apart; if the file has no header, name its format (such as criteo)"
    if quoted and misplaced_quote(header, separator, True) >= 0:
        raise DataError("a quote in the middle of a field", where=where, mend=QUOTES)
    if quoted and header.count(b'"') % 2:
        fault = too_long(header, True)
        raise DataError(fault.what, where=where, mend=fault.mend)
    try:
        text = header.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"invalid UTF-8: byte 0x{header[error.start]:02x}",
            where=where,
            mend=UTF8,
        ) from error
    names = next(csv.reader([text], delimiter=separator)) if quoted else text.split(separator)
    for column in names:
        if names.count(column) > 1:
            raise DataError(f"two columns are called {column!r}", where=str(path), mend=mend)
        if not column:
            raise DataError("a column without a name", where=where, mend=mend)
    return tuple(names)
