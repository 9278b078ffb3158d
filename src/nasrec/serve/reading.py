"""Raw rows to score, a chunk at a time: files larger than memory, and pipes.

Rows come in the order of the file, whatever the size of the chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import polars as pl

from nasrec.data.formats import FORMATS, Chunk, Log, format_of, open_log, unknown_column
from nasrec.data.formats.text import TextReader
from nasrec.errors import DataError

STDIN = "-"
CHUNK_BYTES = 1 << 23


def chunks(
    data: pl.DataFrame | str | Path,
    columns: Sequence[str],
    format: str | None = None,
    trained: str | None = None,
    optional: Sequence[str] = (),
) -> Iterator[Chunk]:
    """The rows of a source, with `columns`, in order.

    Args:
        data: a data frame, a file, a folder or pattern of files, or `-` for standard input, which
            is CSV unless said otherwise.
        columns: the columns that are needed.
        format: how to read it; None goes by the extension, and where that says nothing,
        trained: by the format of the training data.
        optional: columns that are read too where they are there; never from standard input.

    Raises:
        DataError: an empty or damaged file, or a column that is not there; with its place.
    """
    if isinstance(data, str | Path) and str(data) == STDIN:
        found = _pipe(columns, format_of(Path(STDIN), format or trained or "csv"))
    else:
        found = _log(data, columns, format, trained, optional).chunks(chunk_bytes=CHUNK_BYTES)
    name, rows = "standard input", 0
    for chunk in found:
        name, rows = chunk.file, rows + chunk.frame.height
        if chunk.frame.height:
            yield chunk
    if not rows:
        raise DataError("there are no rows", where=name, mend="give rows to score")


def _pipe(columns: Sequence[str], format: str) -> Iterator[Chunk]:
    reader = FORMATS[format].reader
    if not isinstance(reader, TextReader):
        raise DataError(
            f"{format} cannot be read from a pipe",
            where="standard input",
            mend="give the file itself, or CSV",
        )
    stream = cast(BufferedIOBase, sys.stdin.buffer)
    return reader.pipe(stream, "standard input", columns, chunk_bytes=CHUNK_BYTES)


def _log(
    data: pl.DataFrame | str | Path,
    columns: Sequence[str],
    format: str | None,
    trained: str | None,
    optional: Sequence[str],
) -> Log:
    """The rows opened, a file's read as its extension says, else as the training data were."""
    if isinstance(data, pl.DataFrame):
        return open_log(data, columns=[*columns, *(c for c in optional if c in data.columns)])
    if format is None and trained is not None:
        try:
            format_of(Path(data))
        except DataError:  # the extension says nothing
            format = trained
    log = open_log(data, format)
    missing = set(columns) - set(log.columns)
    if missing and trained not in (None, log.format):
        # The format of the training data may compute columns from those that are there.
        other = open_log(data, trained)
        if set(log.columns) <= set(other.columns):
            log, missing = other, set(columns) - set(other.columns)
    if missing:
        first = next(column for column in columns if column in missing)
        raise unknown_column(first, log.columns, log.name)
    return open_log(data, log.format, [*columns, *(c for c in optional if c in log.columns)])
