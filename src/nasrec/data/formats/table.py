"""A whole log in memory: for what is small, such as the rows to be scored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats.log import require_columns
from nasrec.data.formats.registry import open_log


@dataclass(frozen=True)
class Table:
    """A log in memory that can say where each of its rows came from.

    Args:
        frame: the rows; columns of text files are strings, empty fields are null.
        name: the file, or what else to call the rows in errors.
        lines: (n,) the line of each row in a text file; None counts rows from 1.
        digest: sha256 of the source.
    """

    frame: pl.DataFrame
    name: str
    lines: NDArray[np.int64] | None = None
    digest: str = ""

    def place(self, row: int | None = None, column: str | None = None) -> str:
        """Where something is, for an error message; `row` counts from 0."""
        parts = [self.name]
        if row is not None:
            parts.append(f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}")
        if column is not None:
            parts.append(f"column {column!r}")
        return ", ".join(parts)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The given rows (counted from 0), each still knowing its place."""
        lines = rows + 1 if self.lines is None else self.lines[rows]
        return Table(self.frame[rows], self.name, lines, self.digest)

    def require(self, columns: Iterable[str]) -> None:
        """Raise a `DataError` with the nearest names if one of `columns` is not there."""
        require_columns(columns, self.frame.columns, self.name)


def read_table(data: str | Path | pl.DataFrame, format: str | None = None) -> Table:
    """Read a log into memory."""
    log = open_log(data, format)
    chunks = list(log.chunks(chunk_bytes=1 << 26))
    numbers = [chunk.lines for chunk in chunks if chunk.lines is not None]
    return Table(
        data if isinstance(data, pl.DataFrame) else pl.concat([chunk.frame for chunk in chunks]),
        log.name,
        np.concatenate(numbers) if numbers else None,
        hashlib.sha256("".join(part["sha256"] for part in log.identity()).encode()).hexdigest()
        if len(log.files) > 1
        else log.identity()[0]["sha256"],
    )
