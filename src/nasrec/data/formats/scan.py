"""Check the bytes of delimited text before they are parsed, and number its lines.

A fast CSV parser fills a short line with missing values, and does not say on which line the
others went wrong. `scan` finds, by counting separators with numpy, the lines that do not have
the right number of fields, and remembers on which line of the file each record began.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEWLINE, RETURN, QUOTE = 10, 13, 34
BLOCK = 1 << 18
"""Bytes to look at at once."""


class Records(NamedTuple):
    """The records of a piece of text, blank ones left out."""

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    """(n,) where each record ends: its newline, or the end of the text."""
    lines: NDArray[np.int64]
    """(n,) on which line each record begins, counted from 0 at the beginning of the text."""
    fields: NDArray[np.int64]
    """(n,) how many fields each has."""


def last_newline(text: bytes, quoted: bool) -> int:
    """Where the last newline outside quotes is; -1 if there is none."""
    at = text.rfind(b"\n")
    if not quoted or at < 0:
        return at
    before = count_byte(text[:at], QUOTE)
    while at >= 0 and before % 2:
        earlier = text.rfind(b"\n", 0, at)
        before -= text.count(b'"', max(earlier, 0), at)
        at = earlier
    return at


def misplaced_quote(text: bytes, separator: str, final: bool) -> int:
    """Where the first quote stands that neither opens nor closes a whole field; -1 if none.

    Args:
        text: text that begins with a record.
        separator: the character between fields.
        final: whether this is all; else its last byte is not judged, as what follows is unknown.
    """
    buffer = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(buffer == QUOTE)
    # Inside a quoted field "" stands for one quote: it closes and opens again at once, so quotes
    # at even places always open and those at odd places always close.
    opening, closing = quotes[0::2], quotes[1::2]
    if not final and len(closing) and closing[-1] == len(text) - 1:
        closing = closing[:-1]
    before = buffer[np.maximum(opening - 1, 0)]
    good_open = (opening == 0) | _is_in(before, ord(separator), NEWLINE, QUOTE)
    after = buffer[np.minimum(closing + 1, len(buffer) - 1)]
    good_close = _is_in(after, ord(separator), NEWLINE, RETURN, QUOTE)
    good_close |= closing == len(buffer) - 1
    wrong = np.concatenate([opening[~good_open], closing[~good_close]])
    return int(wrong.min()) if len(wrong) else -1


def _is_in(values: NDArray[np.uint8], *wanted: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values == wanted[0]
    for byte in wanted[1:]:
        found |= values == byte
    return found


def find_records(text: bytes, separator: str, quoted: bool) -> Records:
    """Where the records of a text are, with their lines and field counts.

    The quotes must be in their places; see `misplaced_quote`.
    """
    buffer = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(buffer == NEWLINE)
    stops, separators = newlines, np.flatnonzero(buffer == ord(separator))
    if quoted and b'"' in text:
        quotes = np.flatnonzero(buffer == QUOTE)
        stops = stops[np.searchsorted(quotes, stops) % 2 == 0]
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    if len(text) and (not len(stops) or stops[-1] != len(text) - 1):
        stops = np.append(stops, len(text))
    starts = np.concatenate([[0], stops[:-1] + 1]) if len(stops) else stops
    length = stops - starts
    first = buffer[np.minimum(starts, max(0, len(text) - 1))] if len(text) else buffer
    kept = (length > 1) | ((length == 1) & (first != RETURN))
    starts, stops = starts[kept], stops[kept]
    fields = np.searchsorted(separators, stops) - np.searchsorted(separators, starts) + 1
    return Records(starts, stops, np.searchsorted(newlines, starts), fields)


def invalid_utf8(text: bytes) -> list[int]:
    """The first byte that is not UTF-8 in each line that has one."""
    if text.isascii():
        return []
    wrong, begin, view = [], 0, memoryview(text)
    while begin < len(text):
        try:
            str(view[begin:], "utf-8")
            break
        except UnicodeDecodeError as error:
            wrong.append(begin + error.start)
            begin = text.find(b"\n", wrong[-1]) + 1 or len(text)
    return wrong


def count_byte(text: bytes | NDArray[np.uint8], byte: int) -> int:
    """How often a byte occurs; several times as fast as `bytes.count` where that is often."""
    buffer = np.frombuffer(text, dtype=np.uint8)
    # In blocks that stay in the processor's cache.
    blocks = (buffer[at : at + BLOCK] for at in range(0, len(text), BLOCK))
    return sum(int(np.count_nonzero(block == byte)) for block in blocks)


def regular_rows(text: bytes, separator: str, fields: int, quoted: bool) -> int:
    """How many rows of `fields` fields there are in plain text; -1 if it has to be looked into.

    Plain is what needs no care: each line a row, and as many separators outside quotes as the
    rows must have. One row may still have too many fields and another too few, and bytes may be no
    UTF-8; a parser that refuses the one and the other finds all three. The quotes must be in their
    places; see `misplaced_quote`.
    """
    if fields < 2:
        return -1
    unfinished = not text.endswith(b"\n")
    if not quoted or b'"' not in text:
        rows = count_byte(text, NEWLINE) + unfinished
        return rows if count_byte(text, ord(separator)) == rows * (fields - 1) else -1
    rows, separators, inside = int(unfinished), 0, 0
    buffer = np.frombuffer(text, dtype=np.uint8)
    for at in range(0, len(text), BLOCK):
        block = buffer[at : at + BLOCK]
        newlines = block == NEWLINE
        # Modulo 256, which keeps what is even and what is odd.
        quotes = np.cumsum(block == QUOTE, dtype=np.uint8) + np.uint8(inside)
        outside = (quotes & 1) == 0
        if not outside[newlines].all():
            return -1
        rows += int(np.count_nonzero(newlines))
        separators += int(np.count_nonzero((block == ord(separator)) & outside))
        inside = int(quotes[-1]) & 1
    return rows if separators == rows * (fields - 1) else -1


def is_even(text: bytes, separator: str, fields: int) -> bool:
    """Whether each line of plain text has `fields` fields; dearer than `regular_rows`."""
    buffer, at = np.frombuffer(text, dtype=np.uint8), 0
    while at < len(text):
        stop = text.rfind(b"\n", at, at + BLOCK) + 1 if at + BLOCK < len(text) else len(text)
        if not stop:
            return False
        block = buffer[at:stop]
        starts = np.append(0, np.flatnonzero(block[:-1] == NEWLINE) + 1)
        found = np.add.reduceat((block == ord(separator)).view(np.uint8), starts, dtype=np.int32)
        if (found != fields - 1).any():
            return False
        at = stop
    return True
