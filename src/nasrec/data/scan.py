"""Check the bytes of a delimited text file before it is parsed, and number its lines.

A fast CSV parser fills a short line with missing values, and does not say on which line the
others went wrong. This pass finds, by counting separators with numpy, the first line that is not
like the header, and remembers on which line of the file each row began.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import DataError

NEWLINE, RETURN, QUOTE = 10, 13, 34


class Records(NamedTuple):
    """The rows of a text file: `body` without header, byte order mark and blank lines."""

    header: bytes | None
    body: bytes
    lines: NDArray[np.int64]
    """(n,) for each row of `body` its line in the file, counted from 1."""


def line_of(raw: bytes, position: int) -> int:
    """The line, counted from 1, that holds byte `position`."""
    return raw.count(b"\n", 0, position) + 1


def check_utf8(raw: bytes, name: str) -> None:
    """Raise a `DataError` with the line if `raw` is not UTF-8."""
    if raw.isascii():
        return
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"invalid UTF-8: byte 0x{raw[error.start]:02x}",
            where=f"{name}, line {line_of(raw, error.start)}",
            mend="save the file as UTF-8 (for instance with iconv -f LATIN1 -t UTF-8)",
        ) from error


def quote_positions(
    buffer: NDArray[np.uint8], raw: bytes, separator: int, name: str
) -> NDArray[np.int64]:
    """Where the quotes are; checks that each opens or closes a whole field.

    Raises:
        DataError: a quote within a field that is not quoted, or one that is never closed.
    """
    quotes = np.flatnonzero(buffer == QUOTE)
    # Inside a quoted field "" stands for one quote: it closes and opens again at once, so quotes
    # at even places always open and those at odd places always close.
    opening, closing = quotes[0::2], quotes[1::2]
    before = buffer[np.maximum(opening - 1, 0)]
    good_open = (opening == 0) | np.isin(before, (separator, NEWLINE, QUOTE))
    after = buffer[np.minimum(closing + 1, len(buffer) - 1)]
    good_close = (closing == len(buffer) - 1) | np.isin(after, (separator, NEWLINE, RETURN, QUOTE))
    wrong = np.concatenate([opening[~good_open], closing[~good_close]])
    if len(wrong):
        raise DataError(
            "a quote in the middle of a field",
            where=f"{name}, line {line_of(raw, int(wrong.min()))}",
            mend='put the whole field in quotes and write a quote inside it twice (5" as "5""")',
        )
    if len(quotes) % 2:
        raise DataError(
            "a quote is opened and never closed",
            where=f"{name}, line {line_of(raw, int(quotes[-1]))}",
            mend="close the quote, or write the file again if it was cut off",
        )
    return quotes


def scan(raw: bytes, *, name: str, separator: str, quoted: bool, columns: int | None) -> Records:
    """Split a text file into header and rows, every row with the right number of fields.

    Args:
        raw: the whole file.
        name: what to call the file in errors.
        separator: one ASCII character between fields.
        quoted: whether double quotes may enclose fields.
        columns: the number of fields if the file has no header; None if its first line is one.

    Raises:
        DataError: empty file, only a header, invalid UTF-8, a quote out of place, or a line
            with too few or too many fields (say, one that was cut off).
    """
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        raise DataError("the file is empty", where=name, mend="write the log again")
    check_utf8(raw, name)
    buffer = np.frombuffer(raw, dtype=np.uint8)
    newlines = np.flatnonzero(buffer == NEWLINE)
    ends, separators = newlines, np.flatnonzero(buffer == ord(separator))
    if quoted and b'"' in raw:
        quotes = quote_positions(buffer, raw, ord(separator), name)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    if not len(ends) or ends[-1] != len(raw) - 1:
        ends = np.append(ends, len(raw))
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts
    blank = (length == 0) | ((length == 1) & (buffer[np.minimum(starts, len(raw) - 1)] == RETURN))
    fields = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
    lines = np.searchsorted(newlines, starts) + 1

    first = 0
    header = None
    if columns is None:
        first = int(np.argmin(blank))
        header = raw[starts[first] : ends[first]].rstrip(b"\r")
        columns = int(fields[first])
        first += 1
        if blank[first:].all():
            raise DataError(
                "there is only a header, and no rows",
                where=name,
                mend="write the log again, or name its format if it has no header",
            )
    ragged = np.flatnonzero((fields[first:] != columns) & ~blank[first:])
    if len(ragged):
        row = int(ragged[0]) + first
        few = fields[row] < columns
        raise DataError(
            f"{fields[row]} field{'s' if fields[row] != 1 else ''} where {columns} are expected"
            + (" (a truncated line?)" if few else ""),
            where=f"{name}, line {lines[row]}",
            mend="correct or delete the line; a separator inside a field needs quotes around it",
        )
    if blank[first:].any():
        kept = [raw[s:e] for s, e, b in zip(starts, ends, blank, strict=True) if not b]
        body = b"\n".join(kept[1:] if header is not None else kept)
    else:
        body = raw[starts[first] :]
    return Records(header, body, lines[first:][~blank[first:]].astype(np.int64))
