"""The bytes of a stream, looked at before they are taken."""

from __future__ import annotations

from io import BufferedIOBase

import numpy as np
from numpy.typing import NDArray

from nasrec.data.formats.log import Position

SMALL = 1 << 16
"""Bytes to look at where few are wanted."""


class Buffer:
    """The bytes of a stream, looked at before they are taken."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.stream, self._text = stream, np.empty(0, np.uint8)

    def view(self, size: int) -> NDArray[np.uint8]:
        """The next `size` bytes, fewer only at the end; not copied, and never written to again."""
        there = len(self._text)
        if there < size:
            room = np.empty(size, np.uint8)
            room[:there] = self._text
            self._text = room[: there + self.stream.readinto(room[there:].data)]
        return self._text[:size]

    def peek(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        return self.view(size).tobytes()

    def skip(self, size: int) -> None:
        """Take `size` bytes that were looked at."""
        self._text = self._text[size:]


def first_newline(text: bytes, quoted: bool) -> int:
    """Where the first newline outside quotes is; -1 if there is none."""
    at = -1
    while (at := text.find(b"\n", at + 1)) >= 0:
        if not quoted or text.count(b'"', 0, at) % 2 == 0:
            return at
    return -1


def skip_blank(buffer: Buffer, at: Position) -> Position:
    """Go on to the first line that is not blank, or to the end."""
    while text := buffer.peek(SMALL):
        blank = len(text) - len(text.lstrip(b"\r\n"))
        buffer.skip(blank)
        at = Position(offset=at.offset + blank, line=at.line + text.count(b"\n", 0, blank))
        if blank < len(text):
            break
    return at


def skip_line(buffer: Buffer) -> int:
    """Go on to the next line; returns how many bytes that were."""
    skipped = 0
    while text := buffer.peek(SMALL):
        stop = text.find(b"\n") + 1
        buffer.skip(stop or len(text))
        skipped += stop or len(text)
        if stop:
            break
    return skipped
