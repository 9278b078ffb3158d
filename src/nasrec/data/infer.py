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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from nasrec.data.formats import FORMATS, BadRows, Chunk, Source, open_log, unknown_column
from nasrec.data.leaks import MIN_ROWS_FOR_UNIQUE, UNIQUE, find_leaks
from nasrec.data.schema import DEFAULT_MIN_COUNT, Column, Role, Schema, named
from nasrec.data.times import parse_times
from nasrec.data.values import labels_of, parse_numbers, texts_of
from nasrec.errors import DataError

FEW = 20
"""Integers with no more distinct values than this are levels, whatever they mean."""
ODD = 1e-3
"""Share of texts up to which measured numbers stay numbers: preparing says where the texts are."""
EPOCH = (631_152_000, 4_102_444_800)
"""Seconds since 1970 that mean a moment of a log: from 1990 to 2100."""
SEPARATORS = ("|", ";", ",", " ")
"""What may stand between the values of a multi-valued column."""
SEVERAL_ROWS = 10_000
"""Rows looked at for separators."""
MOST_SLOTS = 32
"""Values of a row that inference makes room for at most."""


class Inference(NamedTuple):
    """What `infer_schema` found; unpacks as `schema, warnings`."""

    schema: Schema
    warnings: list[str]


def infer_schema(
    data: Source,
    label: str | None = None,
    *,
    ignore: Sequence[str] = (),
    min_count: int = DEFAULT_MIN_COUNT,
    format: str | None = None,
) -> Inference:
    """Look at a log, or a sample of a large one, and say what each column is.

    Args:
        data: a file, a folder, a pattern, a list of these, or a data frame.
        label: name of the 0/1 column; may be left out for formats with fixed columns.
        ignore: columns not to use.
        min_count: rows that a categorical value must be seen in.
        format: a name in `FORMATS`; None goes by the extension.

    Raises:
        DataError: a file that cannot be read (see `formats.open_log`), a column that is not
            there, a label that is not 0/1, or a column without a single value.
    """
    log = open_log(data, format)
    format = None if log.frame is not None else log.format
    sample = log.sample()
    schema = infer_columns(sample, label, ignore=ignore, min_count=min_count, format=format)
    return Inference(schema, find_leaks(sample, schema))


def infer_columns(
    sample: Chunk,
    label: str | None,
    *,
    ignore: Sequence[str] = (),
    roles: Mapping[str, Role] | None = None,
    min_count: int = DEFAULT_MIN_COUNT,
    format: str | None = None,
    bad_rows: BadRows = "error",
) -> Schema:
    """The schema of a log of which a sample is at hand; see `infer_schema`.

    `roles` are those of columns that the user has named.

    In a sample that is not the whole log, labels are not checked and empty columns are ignored:
    what is wrong elsewhere is found, with its place, when all rows are read. Where bad rows are to
    be left out, that is done then, too.
    """
    roles = roles or {}
    fixed = FORMATS[format].schema if format else None
    if fixed is not None:
        if label not in (None, fixed.label):
            raise unknown_column(str(label), [fixed.label], f"format {format!r}")
        return fixed.revised(ignore=ignore, roles=roles, min_count=min_count)
    ids = format is not None and FORMATS[format].ids
    if ids and label is None:
        label = "label"
    if label is None:
        raise DataError(
            "which column is the label?",
            where=sample.file,
            mend=f"name it; the columns are {', '.join(map(repr, sample.frame.columns[:12]))}",
        )
    sample.require([label, *roles, *ignore])
    if not sample.sampled and bad_rows == "error":
        labels_of(sample, label)
    columns: list[Column] = []
    for name in sample.frame.columns:
        if name == label:
            column = named(name, "label")
        elif name in roles:
            column = named(name, roles[name])
        elif name in ignore:
            column = Column(name=name, role="ignore", reason="ignored on request")
        elif ids:
            reason = f"an id ({format})"
            column = Column(name=name, role="categorical", min_count=min_count, reason=reason)
        else:
            column = _column(sample, name, min_count)
        times = (*roles.values(), *(c.role for c in columns))
        if column.role == "timestamp" and name not in roles and "timestamp" in times:
            column = Column(name=name, role="ignore", reason="a second time stamp")
        columns.append(column)
    if not any(column.role in ("dense", "categorical") for column in columns):
        raise DataError(
            "no column is left to learn from",
            where=sample.file,
            mend="write a schema that gives at least one column a role: "
            + "; ".join(f"{c.name}: {c.reason}" for c in columns if c.role != "label")[:500],
        )
    return Schema(columns=tuple(columns), format=format)


def require_values(sample: Chunk, columns: Sequence[str]) -> None:
    """Raise a `DataError` if one of `columns` is missing in every row, if these are all rows."""
    for name in columns if not sample.sampled else ():
        if _is_empty(sample.frame[name]):
            raise DataError(
                "every value is missing",
                where=sample.place(column=name),
                mend=f"ignore the column (--ignore {name}), or correct the log",
            )


def _is_empty(series: pl.Series) -> bool:
    if series.dtype == pl.String:
        return bool((series.is_null() | (series == "")).all())
    if series.dtype.is_float():
        return series.fill_nan(None).null_count() == len(series)
    return series.null_count() == len(series)


def _column(sample: Chunk, name: str, min_count: int) -> Column:
    series = sample.frame[name]

    def ignored(reason: str) -> Column:
        return Column(name=name, role="ignore", reason=reason)

    def categorical(reason: str) -> Column:
        return Column(name=name, role="categorical", min_count=min_count, reason=reason)

    if isinstance(series.dtype, pl.List | pl.Array):
        return _lists(series, min_count) or ignored(f"values of type {series.dtype}")
    if series.dtype.is_nested() or series.dtype == pl.Binary:
        return ignored(f"values of type {series.dtype} cannot be used")
    if sample.sampled and _is_empty(series):
        return ignored("no value in the rows looked at")
    require_values(sample, [name])
    if reason := _as_time(series):
        return Column(name=name, role="timestamp", reason=reason)
    if series.dtype.is_temporal():
        return ignored(f"values of type {series.dtype} cannot be used")
    texts = texts_of(sample, name)
    present, distinct = len(texts) - texts.null_count(), texts.n_unique()
    many = f"{distinct} distinct values in {len(texts)} rows"
    if distinct == 1:
        return ignored(f"always the same value ({_short(texts[0])})")
    nearly_unique = present >= MIN_ROWS_FOR_UNIQUE and distinct >= UNIQUE * present
    numbers, wrong = parse_numbers(series)
    share = int(wrong.sum()) / present
    if 0 < share <= ODD:
        column = _numeric(name, numbers.drop_nulls(), nearly_unique, many, min_count)
        if column.role == "dense":
            odd = _short(series.filter(wrong)[0])
            reason = f"{column.reason}, though {odd} is none"
            return column.model_copy(update={"reason": reason})
    if share or series.dtype == pl.Boolean:
        if several := _separated(texts, min_count):
            return several
        if nearly_unique:
            return ignored(f"names rows rather than describing them: {many}")
        if 0 < share < 0.5:
            odd = _short(series.filter(wrong)[0])
            return categorical(f"text in {share:.1%} of the rows (such as {odd}), {many}")
        return categorical(f"text, {many}" if share else "true or false")
    return _numeric(name, numbers.drop_nulls(), nearly_unique, many, min_count)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...'"


def _as_time(series: pl.Series) -> str:
    """Why the column is a time stamp; empty if it is none."""
    if series.dtype in (pl.Date, pl.Datetime):
        return "a time stamp, not a feature"
    present = series.drop_nulls()
    times, wrong = parse_times(present)
    if wrong.any() or not len(present):
        return ""
    if series.dtype == pl.String and present.str.contains(r"^\s*\d{4}-").all():
        return "dates as text, a time stamp"
    low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
    named = any(word in series.name.lower() for word in ("time", "date", "stamp"))
    for unit, scale in (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6)):
        if EPOCH[0] * scale <= low < high < EPOCH[1] * scale and (named or times.is_sorted()):
            return f"{unit} since 1970, a time stamp"
    return ""


def _lists(series: pl.Series, min_count: int) -> Column | None:
    """A multi-valued column, if lists of simple values are in it."""
    inner = series.dtype.inner  # type: ignore[attr-defined]
    if inner.is_nested() or inner == pl.Binary:
        return None
    lists = series.cast(pl.List(inner)) if isinstance(series.dtype, pl.Array) else series
    return _several(series.name, lists.list.len(), None, min_count, f"lists of {inner}")


def _several(
    name: str, lengths: pl.Series, separator: str | None, min_count: int, what: str
) -> Column:
    usual = lengths.drop_nulls().quantile(0.99, interpolation="higher") or 1
    slots, most = min(max(int(usual), 1), MOST_SLOTS), int(lengths.max() or 0)  # type: ignore[arg-type]
    return Column(
        name=name,
        role="categorical",
        min_count=min_count,
        separator=separator,
        max_values=slots,
        reason=f"{what}, up to {most} values in a row",
    )


def _separated(texts: pl.Series, min_count: int) -> Column | None:
    """A multi-valued column, if texts look like several values with a separator between them.

    That is so when many rows have the separator, and far fewer distinct values come out than
    distinct texts go in.
    """
    present = texts.drop_nulls()[:SEVERAL_ROWS]
    for separator in SEPARATORS:
        if present.str.contains(separator, literal=True).mean() < 0.2:  # type: ignore[operator]
            continue
        lists = present.str.split(separator)
        values = lists.explode()
        if values.str.len_chars().max() > 64:  # type: ignore[operator]
            continue
        if 2 * values.n_unique() <= present.n_unique():
            what = f"several values separated by '{separator}'"
            return _several(texts.name, lists.list.len(), separator, min_count, what)
    return None


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
