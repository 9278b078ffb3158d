"""Every format by name: one file each, one line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from nasrec.data.formats import avazu, criteo, kdd, libsvm
from nasrec.data.formats.log import BadRows, Log, Reader, require_columns
from nasrec.data.formats.parquet import ParquetReader
from nasrec.data.formats.sources import COMPRESSED, find_files
from nasrec.data.formats.text import TextReader
from nasrec.data.schema import Schema
from nasrec.errors import DataError

Source = str | Path | pl.DataFrame | Sequence[str | Path]
"""What can be read: a file, a pattern, a folder, a list of these, or a data frame."""


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Args:
        reader: how it is read.
        extensions: file extensions that mean this format.
        schema: what its columns are, if they are always the same.
        ids: whether `label` is the label and every other column an id.
    """

    reader: Reader
    extensions: tuple[str, ...] = ()
    schema: Schema | None = None
    ids: bool = False


FORMATS: dict[str, Format] = {
    "csv": Format(TextReader(","), (".csv",)),
    "tsv": Format(TextReader("\t"), (".tsv", ".tab")),
    "tsv_raw": Format(TextReader("\t", quoted=False)),
    "parquet": Format(ParquetReader(), (".parquet", ".pq")),
    "criteo": Format(criteo.READER, schema=criteo.SCHEMA),
    "criteo_days": Format(criteo.DAYS_READER, schema=criteo.DAYS_SCHEMA),
    "avazu": Format(avazu.READER, schema=avazu.SCHEMA),
    "kdd": Format(kdd.READER, schema=kdd.SCHEMA),
    "kdd_expanded": Format(kdd.EXPANDED_READER, schema=kdd.EXPANDED_SCHEMA),
    "kdd_weighted": Format(kdd.WEIGHTED_READER, schema=kdd.WEIGHTED_SCHEMA),
    "libfm": Format(libsvm.FM_READER, (".libfm",), ids=True),
    "libsvm": Format(libsvm.READER, (".libsvm", ".svm"), schema=libsvm.SCHEMA),
}
"""Every format by name; see CONTRIBUTING.md on how to add one."""


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
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    for known, entry in FORMATS.items():
        if suffix in entry.extensions:
            return known
    raise DataError(
        f"cannot tell the format from the extension {suffix!r}",
        where=str(path),
        mend=f"name the format ({names}) or rename the file",
    )


def has_format(path: Path) -> bool:
    """Whether the extension of a file says how to read it."""
    try:
        return path.is_file() and bool(format_of(path))
    except DataError:
        return False


def open_log(
    source: Source,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    bad_rows: BadRows = "error",
) -> Log:
    """Open a click log for reading in chunks.

    Args:
        source: a file, a folder, a pattern such as `days/*.csv.gz`, a list of these, or a data
            frame, which is taken as it is.
        format: a name in `FORMATS`; None goes by the extension of the first file.
        columns: the columns to read, in this order; None reads those of the first file.
        bad_rows: what to do with a line that does not parse: raise an error with its place,
            leave it out, or leave it out and expect the caller to keep it. In both of these it is
            in the chunk's `bad`.

    Raises:
        DataError: a file is missing, empty, of unknown kind, or has other columns than the first.
    """
    if isinstance(source, pl.DataFrame):
        if not source.height:
            raise DataError("there are no rows", where="data frame", mend="write the log again")
        if columns is not None:
            require_columns(columns, source.columns, "data frame")
        names = tuple(source.columns) if columns is None else tuple(columns)
        return Log(names, (), int(source.estimated_size()), "frame", frame=source)
    files = find_files(source)
    name = format_of(files[0], format)
    reader = FORMATS[name].reader
    first: tuple[str, ...] = ()
    for file in files:
        if format is None and format_of(file) != name:
            raise DataError(
                f"this is {format_of(file)}, and {files[0].name} is {name}",
                where=str(file),
                mend="name the format, or give files of one kind",
            )
        found = reader.columns(file)
        if not first:
            first = found
        if columns is not None:
            require_columns(columns, found, str(file))
        elif set(found) != set(first):
            raise _other_columns(file, found, files[0], first)
    names = tuple(columns) if columns is not None else first
    size = sum(file.stat().st_size for file in files)
    return Log(names, files, size, name, reader, bad_rows)


def _other_columns(
    file: Path, found: Sequence[str], other: Path, expected: Sequence[str]
) -> DataError:
    parts = [
        f"{what} {', '.join(map(repr, names[:5]))}" + (" and more" if len(names) > 5 else "")
        for what, names in (
            ("lacks", [name for name in expected if name not in found]),
            ("also has", [name for name in found if name not in expected]),
        )
        if names
    ]
    return DataError(
        f"its columns are not those of {other.name}: it {' and '.join(parts)}",
        where=str(file),
        mend="give files with the same columns, or a schema with the columns that all have",
    )
