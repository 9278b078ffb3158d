"""Reading a click log: CSV, TSV, Parquet and named raw formats, each one entry of `FORMATS`.

Text is read as text: what is a number and what an id is for the schema to say, so that an id
like `1e5` or `007` is never spoilt by a parser's guess.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.scan import scan
from nasrec.data.schema import Column, Schema
from nasrec.errors import DataError


@dataclass(frozen=True)
class Format:
    """How to read one kind of file.

    Args:
        separator: the character between fields; None for Parquet.
        extensions: file extensions that mean this format.
        quoted: whether double quotes may enclose fields.
        schema: the fixed columns of a file without a header; None if the file names them.
    """

    separator: str | None
    extensions: tuple[str, ...] = ()
    quoted: bool = True
    schema: Schema | None = None


def _criteo() -> Schema:
    label = Column(name="label", role="label", reason="first field of the Criteo format")
    dense = [
        Column(name=f"I{i}", role="dense", transform="log1p", reason="integer count (Criteo)")
        for i in range(1, 14)
    ]
    sparse = [
        Column(name=f"C{i}", role="categorical", reason="hexadecimal hash (Criteo)")
        for i in range(1, 27)
    ]
    return Schema(columns=(label, *dense, *sparse), format="criteo")


FORMATS: dict[str, Format] = {
    "csv": Format(separator=",", extensions=(".csv",)),
    "tsv": Format(separator="\t", extensions=(".tsv", ".tab")),
    "parquet": Format(separator=None, extensions=(".parquet", ".pq")),
    "criteo": Format(separator="\t", quoted=False, schema=_criteo()),
}
"""Every format by name. To add one, add an entry; see docs/architecture.md."""


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
        for column in columns:
            if column not in self.frame.columns:
                raise unknown_column(column, self.frame.columns, self.name)


def unknown_column(column: str, columns: list[str], where: str) -> DataError:
    """The error for a column that is not there, with the nearest names."""
    near = get_close_matches(column, columns, n=3, cutoff=0.5)
    folded = [name for name in columns if name.lower() == column.lower()]
    names = list(dict.fromkeys(folded + near)) or columns[:10]
    what = "did you mean" if folded or near else "its columns are"
    more = ", ..." if not (folded or near) and len(columns) > len(names) else ""
    return DataError(
        f"there is no column {column!r}",
        where=where,
        mend=f"{what} {', '.join(repr(name) for name in names)}{more}"
        + ("?" if folded or near else " (if these are values, the file has no header)"),
    )


def format_of(path: Path, name: str | None = None) -> str:
    """The name of the format of a file: the one asked for, or the one its extension means.

    Raises:
        DataError: no format of that name, or an extension that means none.
    """
    names = ", ".join(FORMATS)
    if name is not None:
        if name not in FORMATS:
            raise DataError(f"there is no format {name!r}", mend=f"choose from: {names}")
        return name
    for known, entry in FORMATS.items():
        if path.suffix.lower() in entry.extensions:
            return known
    raise DataError(
        f"cannot tell the format from the extension {path.suffix!r}",
        where=str(path),
        mend=f"name the format ({names}) or rename the file",
    )


def read_table(data: str | Path | pl.DataFrame, format: str | None = None) -> Table:
    """Read a log into memory.

    Args:
        data: a file, or a data frame, which is taken as it is.
        format: a name in `FORMATS`; None goes by the file's extension.

    Raises:
        DataError: the file is missing, empty, of unknown kind or damaged; see `scan.scan`.
    """
    if isinstance(data, pl.DataFrame):
        table = Table(data, "data frame", None, _frame_digest(data))
    else:
        path = Path(data)
        entry = FORMATS[format_of(path, format)]
        if path.is_dir():
            raise DataError("this is a folder", where=str(path), mend="give one file")
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise DataError("no such file", where=str(path), mend="check the path") from error
        except OSError as error:
            raise DataError(
                f"cannot read the file: {error.strerror}", where=str(path), mend="check its rights"
            ) from error
        reader = _read_parquet if entry.separator is None else _read_text
        table = reader(raw, str(path), entry)
    if table.frame.height == 0:
        raise DataError("there are no rows", where=table.name, mend="write the log again")
    return table


def _read_text(raw: bytes, name: str, entry: Format) -> Table:
    assert entry.separator is not None
    columns = [column.name for column in entry.schema.columns] if entry.schema else None
    records = scan(
        raw,
        name=name,
        separator=entry.separator,
        quoted=entry.quoted,
        columns=len(columns) if columns else None,
    )
    if columns is None:
        assert records.header is not None
        columns = _header_names(records.header.decode(), name, entry)
    try:
        frame = pl.read_csv(
            records.body,
            has_header=False,
            separator=entry.separator,
            quote_char='"' if entry.quoted else None,
            schema=dict.fromkeys(columns, pl.String),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"cannot parse the file: {error}", where=name, mend="check it") from error
    if frame.height != len(records.lines):
        raise DataError(
            f"{len(records.lines)} lines were parsed as {frame.height} rows",
            where=name,
            mend="check the quotes and line ends of the file",
        )
    if entry.quoted and b'"' in raw:
        frame = frame.with_columns(pl.all().replace("", None))
    return Table(frame, name, records.lines, hashlib.sha256(raw).hexdigest())


def _header_names(header: str, name: str, entry: Format) -> list[str]:
    if entry.quoted:
        names = next(csv.reader([header], delimiter=str(entry.separator)))
    else:
        names = header.split(str(entry.separator))
    headerless = ", ".join(known for known, other in FORMATS.items() if other.schema)
    mend = f"name the columns apart; if the file has no header, name its format ({headerless})"
    for column in names:
        if names.count(column) > 1:
            raise DataError(f"two columns are called {column!r}", where=name, mend=mend)
        if not column:
            raise DataError("a column without a name", where=f"{name}, line 1", mend=mend)
    return names


def _read_parquet(raw: bytes, name: str, entry: Format) -> Table:
    if not raw:
        raise DataError("the file is empty", where=name, mend="write the log again")
    try:
        frame = pl.read_parquet(raw)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"not a whole Parquet file: {str(error).splitlines()[0]}",
            where=name,
            mend="write the file again, or name its true format",
        ) from error
    return Table(frame, name, None, hashlib.sha256(raw).hexdigest())


def _frame_digest(frame: pl.DataFrame) -> str:
    stream = frame.rechunk().write_ipc(None, compression="uncompressed")
    return hashlib.sha256(stream.getvalue()).hexdigest()
