"""From a raw log to a prepared folder: read, type, split, encode, write; all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nasrec.data.dataset import (
    ARRAYS,
    FORMAT,
    SPLITS,
    VERSION,
    PreparedData,
    canonical,
    read_manifest,
    sha256,
    sha256_of_file,
    write_manifest,
)
from nasrec.data.encode import Encoder
from nasrec.data.formats import Table, format_of, read_table
from nasrec.data.infer import infer_columns, require_values
from nasrec.data.leaks import find_leaks
from nasrec.data.schema import DEFAULT_MIN_COUNT, Schema
from nasrec.data.split import split_rows
from nasrec.data.values import labels_of, require_both_classes
from nasrec.errors import ConfigError, DataError
from nasrec.files import folder_written_aside

Source = str | Path | pl.DataFrame


def prepare(
    data: Source,
    out: str | Path,
    *,
    label: str | None = None,
    valid: Source | None = None,
    test: Source | None = None,
    schema: Schema | str | Path | None = None,
    format: str | None = None,
    ignore: Sequence[str] = (),
    min_count: int | None = None,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> PreparedData:
    """Prepare a click log for training: types, splits and encodes it into a folder.

    The folder appears whole or not at all. If it is there already and holds exactly this
    preparation (same sources, same settings), it is opened instead.

    Args:
        data: a CSV, TSV or Parquet file, a file of a named format, or a data frame.
        out: the folder to make; must not exist.
        label: the 0/1 column; not needed with a schema or a format with fixed columns.
        valid: validation rows, if they come separately; else they are split off `data`.
        test: test rows, likewise. With only one of the two given, `data` is split between
            train and the other in the proportion that `fractions` says.
        schema: the columns, as a `Schema` or a YAML file; None infers them from `data`.
        format: how to read the files; None goes by the schema, then by the extension.
        ignore: columns not to use.
        min_count: rows of train that a categorical value must be seen in to get its own id, for
            all columns; None leaves it to the schema (2 if inferred, see `DEFAULT_MIN_COUNT`).
        seed: of the random split, which is stratified by label.
        fractions: of train, valid and test.

    Raises:
        DataError: bad input, always with its place; or `out` exists and is something else.
        ConfigError: fractions or seed out of range.
    """
    out = Path(out)
    if min_count is not None and min_count < 1:
        raise ConfigError(f"min_count {min_count} is below 1", mend="choose 1 or more")
    existing = _existing_recipe(out) if out.exists() or out.is_symlink() else None
    if isinstance(schema, str | Path):
        schema = Schema.load(schema)
    if format is None and schema is not None:
        format = schema.format
    if format is None and not isinstance(data, pl.DataFrame):
        format = format_of(Path(data))
    table = read_table(data, format)
    given = {
        name: None if source is None else read_table(source, _format_for(source, format))
        for name, source in (("valid", valid), ("test", test))
    }
    recipe = sha256(
        canonical(
            {
                "version": VERSION,
                "sources": [table.digest, *(t.digest if t else None for t in given.values())],
                "label": label,
                "schema": _without_reasons(schema) if schema else None,
                "format": format,
                "ignore": sorted(ignore),
                "min_count": min_count,
                "seed": seed,
                "fractions": [float(fraction) for fraction in fractions],
            }
        )
    )
    if existing is not None:
        if existing != recipe:
            raise _taken(out, "another preparation")
        prepared = PreparedData.open(out)
        prepared.check()
        return prepared

    if schema is None:
        schema = infer_columns(
            table, label, ignore=ignore, min_count=min_count or DEFAULT_MIN_COUNT, format=format
        )
    else:
        schema = schema.revised(ignore=ignore, min_count=min_count)
        if label not in (None, schema.label):
            raise DataError(
                f"the label is to be {label!r}, and the schema says {schema.label!r}",
                mend="leave out one of the two, or make them agree",
            )
    table.require(column.name for column in schema.columns if column.role != "ignore")
    require_values(table, [column.name for column in (*schema.dense, *schema.categorical)])
    warnings = find_leaks(table, schema)
    parts = _split(table, given, schema, fractions, seed)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": recipe,
        "sources": _describe_sources(table, given),
        "seed": seed,
        "fractions": list(fractions),
        "warnings": warnings,
    }
    _write(out, manifest, schema, parts)
    return PreparedData.open(out)


def _format_for(source: Source, format: str | None) -> str | None:
    """Valid and test may be of another kind than train, unless their extension says nothing."""
    if isinstance(source, pl.DataFrame):
        return None
    try:
        return format_of(Path(source))
    except DataError:
        return format


def _without_reasons(schema: Schema) -> Any:
    return schema.model_dump(exclude={"columns": {"__all__": {"reason"}}})


def _existing_recipe(out: Path) -> str:
    """The recipe of the preparation in `out`; raises if it is something else."""
    if not (out / "manifest.json").is_file():
        raise _taken(out, "something else")
    return str(read_manifest(out).get("recipe"))


def _taken(out: Path, what: str) -> DataError:
    return DataError(
        f"the output folder exists and holds {what}",
        where=str(out),
        mend="choose another folder, or delete this one",
    )


def _describe_sources(table: Table, given: dict[str, Table | None]) -> list[dict[str, Any]]:
    tables = {"data": table, **given}
    return [
        {"as": role, "name": Path(t.name).name, "rows": t.frame.height, "sha256": t.digest}
        for role, t in tables.items()
        if t is not None
    ]


def _split(
    table: Table,
    given: dict[str, Table | None],
    schema: Schema,
    fractions: Sequence[float],
    seed: int,
) -> dict[str, Table]:
    """Train, valid and test rows, each with both classes."""
    labels = labels_of(table, schema.label)
    drawn = [name for name in SPLITS if given.get(name) is None]
    shares = [fraction for name, fraction in zip(SPLITS, fractions, strict=True) if name in drawn]
    # Checks the fractions as they were given, whichever of them are used.
    parts_of_all = split_rows(labels, fractions, seed)
    if len(drawn) < len(SPLITS):
        parts_of_all = split_rows(labels, [share / sum(shares) for share in shares], seed)
    parts = {name: t for name, t in given.items() if t is not None}
    for name, rows in zip(drawn, parts_of_all, strict=True):
        require_both_classes(labels[rows], f"{table.name}, split {name}")
        parts[name] = table.take(rows)
    return {name: parts[name] for name in SPLITS}


def _write(out: Path, manifest: dict[str, Any], schema: Schema, parts: dict[str, Table]) -> None:
    """Encode and write everything beside `out`, then rename: `out` is whole as soon as it is."""
    try:
        with folder_written_aside(out) as aside:
            encoder = Encoder.fit(parts["train"], schema)
            schema.save(aside / "schema.yaml")
            encoder.save(aside / "encoder.json")
            counts = {}
            for name, part in parts.items():
                labels = labels_of(part, schema.label)
                dense, sparse = encoder.encode(part)
                (aside / name).mkdir()
                for array, values in zip(ARRAYS, (dense, sparse, labels), strict=True):
                    np.save(aside / name / f"{array}.npy", values.astype(ARRAYS[array], copy=False))
                counts[name] = {"rows": len(labels), "clicks": int(labels.sum())}
            names = sorted(file for file in aside.rglob("*") if file.is_file())
            files = {
                file.relative_to(aside).as_posix(): {
                    "bytes": file.stat().st_size,
                    "sha256": sha256_of_file(file),
                }
                for file in names
            }
            seen = {name: entry["sha256"] for name, entry in files.items() if name != "schema.yaml"}
            manifest |= {
                "fingerprint": sha256(canonical(seen)),
                "n_dense": len(schema.dense),
                "n_sparse": len(schema.categorical),
                "vocabulary_sizes": list(encoder.vocabulary_sizes),
                "splits": counts,
                "files": files,
            }
            write_manifest(aside, manifest)
            if out.exists():
                raise _taken(out, "something that was not there at the start")
    except OSError as error:
        raise DataError(
            f"cannot write the prepared data: {error.strerror or error}",
            where=str(out),
            mend="choose a folder that can be written, on a disk with room",
        ) from error
