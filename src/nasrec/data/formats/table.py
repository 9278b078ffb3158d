"""A whole log in memory: for what is small, such as the rows to be scored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats.log import Chunk
from nasrec.data.formats.registry import open_log


@dataclass(frozen=True)
class Table(Chunk):
    """All rows of a log in one chunk.

    Args:
        digest: sha256 of the source.
    """

    digest: str = ""

    @property
    def name(self) -> str:
        """What to call the rows in errors."""
        return self.file

    def take(self, rows: NDArray[np.int64]) -> Table:
        """The given rows (counted from 0), each still knowing its place."""
        lines = rows + 1 if self.lines is None else self.lines[rows]
        return Table(self.frame[rows], self.file, lines, digest=self.digest)


def read_table(data: str | Path | pl.DataFrame, format: str | None = None) -> Table:
    """Read a log into memory."""
    log = open_log(data, format)
    chunks = list(log.chunks(chunk_bytes=1 << 26))
    numbers = [chunk.lines for chunk in chunks if chunk.lines is not None]
    return Table(
        data if isinstance(data, pl.DataFrame) else pl.concat([chunk.frame for chunk in chunks]),
        log.name,
        np.concatenate(numbers) if numbers else None,
        digest=hashlib.sha256(
            "".join(part["sha256"] for part in log.identity()).encode()
        ).hexdigest()
        if len(log.files) > 1
        else log.identity()[0]["sha256"],
    )
