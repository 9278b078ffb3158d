"""From raw columns to numbers, texts and labels, with the place of every value that is wrong."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.errors import DataError

MISSING_NUMBERS = ("", "na", "n/a", "nan", "null", "none", "\\n")
"""Texts (in any case) that stand for a missing number. In categorical columns they are values
like any other: NA is also Namibia."""

LARGEST = float(np.finfo(np.float32).max)


class Rows(Protocol):
    """Rows that know where they came from: a chunk of a log, or a table in memory."""

    @property
    def frame(self) -> pl.DataFrame:
        """The rows."""

    def place(self, row: int | None = None, column: str | None = None) -> str:
        """Where something is, for an error message; `row` counts from 0."""


def _plain(rows: Rows, column: str) -> pl.Series:
    series = rows.frame[column]
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise DataError(
            f"values of type {series.dtype} cannot be used",
            where=rows.place(column=column),
            mend="ignore the column, or flatten it",
        )
    return series


def _numeric(rows: Rows, column: str) -> pl.Series:
    series = _plain(rows, column)
    if series.dtype.is_temporal():
        raise DataError(
            f"values of type {series.dtype} are not numbers",
            where=rows.place(column=column),
            mend="ignore the column, or turn it into numbers",
        )
    return series


def parse_numbers(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers of a column and a mask of the values that are not numbers.

    Returns:
        Float64 with null for missing values and for those that are wrong; Boolean, true where
        a value is there and is not a number.
    """
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype != pl.String:
        numbers = series.cast(pl.Float64, strict=False).fill_nan(None)
        return numbers, pl.repeat(False, len(series), dtype=pl.Boolean, eager=True)
    numbers = series.cast(pl.Float64, strict=False)
    if numbers.null_count() > series.null_count():  # surrounded by spaces, missing, or wrong
        text = series.str.strip_chars()
        missing = text.is_null() | text.str.to_lowercase().is_in(MISSING_NUMBERS)
        numbers = text.cast(pl.Float64, strict=False)
        return numbers.fill_nan(None), numbers.is_null() & ~missing.fill_null(True)
    return numbers.fill_nan(None), pl.repeat(False, len(series), dtype=pl.Boolean, eager=True)


def numbers_of(rows: Rows, column: str, limit: float = np.inf) -> NDArray[np.float64]:
    """The numbers of a column, (n,), NaN where missing; none infinite or beyond `limit`.

    Raises:
        DataError: with the place of the first value that is not such a number.
    """
    series = _numeric(rows, column)
    numbers, no_numbers = parse_numbers(series)
    values = numbers.to_numpy().astype(np.float64)
    wrong = no_numbers.to_numpy() | np.isinf(values)
    beyond = np.abs(values) > limit
    if wrong.any() or beyond.any():
        row = int(np.argmax(wrong | beyond))
        if wrong[row]:
            raise DataError(
                f"{_shown(series[row])} is not a finite number, and the column is numeric",
                where=rows.place(row, column),
                mend="correct the value (leave it empty if it is missing), "
                "or make the column categorical in the schema",
            )
        raise DataError(
            f"{values[row]} is too large for 32-bit floats",
            where=rows.place(row, column),
            mend="use the transform 'log1p' for this column, or correct the value",
        )
    return values


def _shown(value: object) -> str:
    """A value as it is written in a message: short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def texts_of(rows: Rows, column: str) -> pl.Series:
    """The values of a categorical column as strings, null where missing; see `as_texts`."""
    return as_texts(_plain(rows, column))


def as_texts(series: pl.Series) -> pl.Series:
    """Values as strings, null where missing.

    The same id must give the same text from every kind of file, so whole floats (integers that
    met a missing value on their way) are written as integers. Text stays as it is.
    """
    if series.dtype == pl.String:
        return series.replace("", None) if (series == "").any() else series
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = (series == series.round(0)) & (series.abs() < 2**53)
        integers = series.cast(pl.Int64, strict=False).cast(pl.String)
        frame = pl.DataFrame({"f": series.cast(pl.String), "i": integers, "w": whole})
        return frame.select(pl.when("w").then("i").otherwise("f").alias(series.name)).to_series()
    return series.cast(pl.String)


def lists_of(rows: Rows, column: str, separator: str | None) -> pl.Series:
    """The values of a multi-valued column as lists of strings.

    Empty values within a list are left out; a list without values is one missing value.

    Raises:
        DataError: values that are neither lists of plain values nor text to be separated.
    """
    series = rows.frame[column]
    if isinstance(series.dtype, pl.List | pl.Array):
        flat = (
            series.cast(pl.List(series.dtype.inner))
            if isinstance(series.dtype, pl.Array)
            else series
        )
        values = flat.explode()
        if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
            raise DataError(
                f"values of type {series.dtype} cannot be used",
                where=rows.place(column=column),
                mend="ignore the column, or flatten it",
            )
        lists = flat.list.eval(pl.element().map_batches(as_texts, return_dtype=pl.String))
    else:
        texts = texts_of(rows, column)
        lists = texts.str.split(separator) if separator else texts.reshape((-1, 1)).arr.to_list()
    lists = lists.list.eval(pl.element().filter(pl.element().is_not_null() & (pl.element() != "")))
    missing = pl.Series([[None]], dtype=pl.List(pl.String))
    empty = (lists.list.len().fill_null(0) == 0).fill_null(True)
    if empty.any():
        lists = pl.select(pl.when(empty).then(missing).otherwise(lists)).to_series()
    return lists.alias(column)


def clicks_of(rows: Rows, column: str) -> NDArray[np.uint8]:
    """The labels, (n,) uint8 of 0 and 1.

    Raises:
        DataError: with the place of the first label that is missing, or is not 0 or 1.
    """
    series = _plain(rows, column)
    numbers, wrong = parse_numbers(series)
    missing = numbers.is_null() & ~wrong
    if missing.any():
        raise DataError(
            f"the label is missing in {missing.sum()} row{'s' if missing.sum() > 1 else ''}",
            where=rows.place(int(missing.arg_max() or 0), column),
            mend="remove the rows without a label",
        )
    values = numbers.to_numpy()
    bad = wrong.to_numpy() | ((values != 0) & (values != 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"the label is {_shown(series[row])}, and must be 0 or 1",
            where=rows.place(row, column),
            mend="check that this is the label column, and write clicks as 1 and the rest as 0",
        )
    return values.astype(np.uint8)


def weights_of(rows: Rows, column: str) -> NDArray[np.float32]:
    """How much each row counts, (n,) float32.

    Raises:
        DataError: with the place of the first weight that is missing or below 0.
    """
    weights = numbers_of(rows, column, LARGEST)
    wrong = ~(weights >= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"the weight is {_shown(rows.frame[column][row])}, and must be 0 or more",
            where=rows.place(row, column),
            mend="correct the weight, or ignore the column",
        )
    return weights.astype(np.float32)


def faults_of(series: pl.Series, role: str, limit: float = np.inf) -> NDArray[np.bool_]:
    """(n,) whether each value of a label, dense or weight column is one that would be an error."""
    numbers, wrong = parse_numbers(series)
    values = numbers.to_numpy().astype(np.float64)
    faults = wrong.to_numpy() | (np.abs(values) > limit) | np.isinf(values)
    if role == "label":
        faults |= (values != 0) & (values != 1)
    if role == "weight":
        faults |= ~(values >= 0)
    return np.asarray(faults)


def require_most_labels(wrong: int, rows: int, where: str) -> None:
    """Raise a `DataError` if of so many rows most would be left out for their label."""
    if 2 * wrong > rows:
        raise DataError(
            f"{wrong:,} of {rows:,} rows have something else than 0 or 1 as their label: more than "
            "one would leave out",
            where=where,
            mend="check that this is the label column, and write clicks as 1 and the rest as 0; if "
            "most rows have no label, take them out of the log",
        )


def labels_of(rows: Rows, column: str) -> NDArray[np.float32]:
    """The labels, (n,) float32 of 0 and 1, with both classes present.

    Raises:
        DataError: no such column, a missing label, a label that is not 0 or 1, or only one class.
    """
    if column not in rows.frame.columns:
        from nasrec.data.formats import unknown_column

        raise unknown_column(column, rows.frame.columns, rows.place())
    labels = clicks_of(rows, column).astype(np.float32)
    require_both_classes(labels, rows.place(column=column))
    return labels


def require_both_classes(labels: NDArray[np.float32] | NDArray[np.uint8], where: str) -> None:
    """Raise a `DataError` unless there are clicks and non-clicks among `labels`."""
    clicks = int(np.count_nonzero(labels))
    if clicks in (0, len(labels)):
        raise DataError(
            f"only one class: all {len(labels)} labels are {int(clicks > 0)}",
            where=where,
            mend="give rows with and without clicks",
        )
