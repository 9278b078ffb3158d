"""Reading Parquet files in chunks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from nasrec.data.formats.log import BadRows, Chunk, Position
from nasrec.errors import DataError

LOOK = 1000
"""Rows from the beginning of a file that tell how large its rows are."""


@dataclass(frozen=True)
class ParquetReader:
    """Reads Parquet; columns keep their types, and a whole row group is in memory at a time."""

    def columns(self, path: Path) -> tuple[str, ...]:
        """The columns of the file."""
        if not path.stat().st_size:
            raise DataError("the file is empty", where=str(path), mend="write the log again")
        try:
            return tuple(pl.scan_parquet(path, glob=False).collect_schema())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(path, error) from error

    def sample(self, path: Path, columns: Sequence[str], *, at: float, size: int) -> pl.DataFrame:
        """See `log.Reader`."""
        try:
            table = pl.scan_parquet(path, glob=False)
            rows = int(table.select(pl.len()).collect().item())
            chosen = table.select(columns)
            return chosen.slice(int(at * rows), _rows_of(chosen, size)).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(path, error) from error

    def companions(self, path: Path) -> tuple[Path, ...]:
        """No other files."""
        return ()

    def located(self) -> ParquetReader:
        """The same: it is no text."""
        return self

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
        try:
            table = pl.scan_parquet(path, glob=False)
            rows = int(table.select(pl.len()).collect().item())
            if not rows:
                raise DataError("there are no rows", where=str(path), mend="write the log again")
            chosen = table.select(columns)
            size = _rows_of(chosen, chunk_bytes)
            at = start.row
            for frame in chosen.slice(at).collect_batches(chunk_size=size, maintain_order=True):
                for low in range(0, frame.height, size):
                    piece = frame[low : low + size]
                    first, at = at, at + piece.height
                    after = Position(row=at) if at < rows else None
                    yield Chunk(piece, str(path), None, first, (), after)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(path, error) from error


def _rows_of(table: pl.LazyFrame, size: int) -> int:
    """About how many rows take `size` bytes in memory."""
    first = table.head(LOOK).collect()
    return max(1, int(size * first.height / max(1, first.estimated_size())))


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"not a whole Parquet file: {str(error).splitlines()[0]}",
        where=str(path),
        mend="write the file again, or name its true format",
    )
