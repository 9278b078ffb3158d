"""Choosing the role of each column by looking at a log, with the reason in words.

What one cannot see from the values alone is whether an integer counts something or names
something. The rules, in this order, for integers with more than `FEW` distinct values:

1. signed and large on both sides with repeats: hashes, categorical;
2. no gaps (almost every integer of the range occurs, often): an index of ids, categorical;
3. most mass near the smallest value and a long tail, starting near 0: counts, dense;
4. few distinct values for the number of rows, with gaps: codes, categorical;
5. else dense.

They are guesses: `nasrec prepare` prints them, and the schema file can be edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from nasrec.data.formats import FORMATS, Table, format_of, read_table, unknown_column
from nasrec.data.leaks import find_leaks
from nasrec.data.schema import DEFAULT_MIN_COUNT, Column, Schema
from nasrec.data.values import labels_of, parse_numbers, texts_of
from nasrec.errors import DataError

FEW = 20
"""Integers with no more distinct values than this are levels, whatever they mean."""
UNIQUE = 0.95
"""Share of distinct values from which a column identifies rows rather than describing them."""
MIN_ROWS_FOR_UNIQUE = 20
"""With fewer rows than this, distinct values do not mean an id."""


class Inference(NamedTuple):
    """What `infer_schema` found; unpacks as `schema, warnings`."""

    schema: Schema
    warnings: list[str]


def infer_schema(
    data: str | Path | pl.DataFrame,
    label: str | None = None,
    *,
    ignore: Sequence[str] = (),
    min_count: int = DEFAULT_MIN_COUNT,
    format: str | None = None,
) -> Inference:
    """Look at a log and say what each column is.

    Args:
        data: a file or a data frame.
        label: name of the 0/1 column; may be left out for formats with fixed columns.
        ignore: columns not to use.
        min_count: rows that a categorical value must be seen in.
        format: a name in `FORMATS`; None goes by the extension.

    Raises:
        DataError: a file that cannot be read (see `formats.read_table`), a column that is not
            there, a label that is not 0/1, or a column without a single value.
    """
    table = read_table(data, format)
    if not isinstance(data, pl.DataFrame):
        format = format_of(Path(data), format)
    schema = infer_columns(table, label, ignore=ignore, min_count=min_count, format=format)
    return Inference(schema, find_leaks(table, schema))


def infer_columns(
    table: Table,
    label: str | None,
    *,
    ignore: Sequence[str] = (),
    min_count: int = DEFAULT_MIN_COUNT,
    format: str | None = None,
) -> Schema:
    """The schema of a log that is read already; see `infer_schema`."""
    fixed = FORMATS[format].schema if format else None
    if fixed is not None:
        if label not in (None, fixed.label):
            raise unknown_column(str(label), [fixed.label], f"format {format!r}")
        return fixed.revised(ignore=ignore, min_count=min_count)
    if label is None:
        raise DataError(
            "which column is the label?",
            where=table.name,
            mend=f"name it; the columns are {', '.join(map(repr, table.frame.columns[:12]))}",
        )
    table.require([label, *ignore])
    labels_of(table, label)
    columns = []
    for name in table.frame.columns:
        if name == label:
            columns.append(Column(name=name, role="label", reason="named as the label"))
        elif name in ignore:
            columns.append(Column(name=name, role="ignore", reason="ignored on request"))
        else:
            columns.append(_column(table, name, min_count))
    if all(column.role in ("label", "ignore") for column in columns):
        raise DataError(
            "no column is left to learn from",
            where=table.name,
            mend="write a schema that gives at least one column a role: "
            + "; ".join(f"{c.name}: {c.reason}" for c in columns if c.role == "ignore")[:500],
        )
    return Schema(columns=tuple(columns), format=format)


def require_values(table: Table, columns: Sequence[str]) -> None:
    """Raise a `DataError` if one of `columns` is missing in every row."""
    for name in columns:
        if texts_of(table, name).null_count() == table.frame.height:
            raise DataError(
                "every value is missing",
                where=table.place(column=name),
                mend=f"ignore the column (--ignore {name}), or correct the log",
            )


def _column(table: Table, name: str, min_count: int) -> Column:
    series = table.frame[name]

    def ignored(reason: str) -> Column:
        return Column(name=name, role="ignore", reason=reason)

    def categorical(reason: str) -> Column:
        return Column(name=name, role="categorical", min_count=min_count, reason=reason)

    if series.dtype.is_nested() or series.dtype == pl.Binary:
        return ignored(f"values of type {series.dtype} cannot be used")
    require_values(table, [name])
    if series.dtype.is_temporal():
        return ignored("a time stamp, not a feature")
    texts = texts_of(table, name)
    present, distinct = len(texts) - texts.null_count(), texts.n_unique()
    many = f"{distinct} distinct values in {len(texts)} rows"
    if distinct == 1:
        return ignored(f"always the same value ({texts[0]!r})")
    nearly_unique = present >= MIN_ROWS_FOR_UNIQUE and distinct >= UNIQUE * present
    numbers, wrong = parse_numbers(series)
    if wrong.any() or series.dtype == pl.Boolean:
        if nearly_unique:
            return ignored(f"names rows rather than describing them: {many}")
        return categorical(f"text, {many}" if wrong.any() else "true or false")
    return _numeric(name, numbers.drop_nulls(), nearly_unique, many, min_count)


def _numeric(
    name: str, numbers: pl.Series, nearly_unique: bool, many: str, min_count: int
) -> Column:
    """The column of numbers (none missing); `many` says how many distinct ones in words."""

    def categorical(reason: str) -> Column:
        return Column(name=name, role="categorical", min_count=min_count, reason=reason)

    distinct, rows = numbers.n_unique(), len(numbers)
    low, middle, upper, high = np.quantile(numbers.to_numpy(), [0, 0.5, 0.75, 1]).tolist()
    extent = f"from {low:.10g} to {high:.10g}"
    # A long tail: the largest value is far out, measured by where the bulk lies. Criteo's counts
    # go down to -3, which stands for "not known".
    bulk = max(middle, upper - low, 1.0)
    long_tail = low >= -10 and high >= 100 and high > 10 * bulk
    dense = Column(
        name=name,
        role="dense",
        transform="log1p" if long_tail else "standardize",
        reason=f"numbers {extent}" + (" with a long tail" if long_tail else ""),
    )
    if not (numbers == numbers.round(0)).all():
        return dense
    if nearly_unique:
        # A number that is different in each row measures something only if it can be compared:
        # beyond 2^31 it is a hash, and without gaps it counts the rows.
        if max(-low, high) >= 2**31 or high - low < 2 * rows:
            reason = f"names rows rather than describing them: {many}"
            return Column(name=name, role="ignore", reason=reason)
        return dense
    if distinct <= FEW:
        return categorical(f"integers with {distinct} levels")
    if low <= -1000 and high >= 1000 and distinct <= rows / 2:
        return categorical(f"signed hashes, {many}")
    if high - low + 1 <= 1.2 * distinct and rows >= 10 * distinct:
        return categorical(f"an index without gaps {extent}, {many}")
    if long_tail and low <= 1:
        return dense
    if rows >= 10 * distinct:
        return categorical(f"codes with gaps {extent}, {many}")
    return dense
