"""From raw columns to numbers, texts and labels, with the place of every value that is wrong."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import Table
from nasrec.errors import DataError

MISSING_NUMBERS = ("", "na", "n/a", "nan", "null", "none", "\\n")
"""Texts (in any case) that stand for a missing number. In categorical columns they are values
like any other: NA is also Namibia."""


def _plain(table: Table, column: str) -> pl.Series:
    series = table.frame[column]
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise DataError(
            f"values of type {series.dtype} cannot be used",
            where=table.place(column=column),
            mend="ignore the column, or flatten it",
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
    if series.dtype == pl.String:
        text = series.str.strip_chars()
        missing = text.is_null() | text.str.to_lowercase().is_in(MISSING_NUMBERS)
        numbers = text.cast(pl.Float64, strict=False)
        return numbers.fill_nan(None), numbers.is_null() & ~missing.fill_null(True)
    numbers = series.cast(pl.Float64, strict=False).fill_nan(None)
    return numbers, pl.repeat(False, len(series), dtype=pl.Boolean, eager=True)


def numbers_of(table: Table, column: str) -> NDArray[np.float64]:
    """The numbers of a column, (n,), NaN where missing.

    Raises:
        DataError: with the place of the first value that is not a number, or is infinite.
    """
    series = _plain(table, column)
    if series.dtype.is_temporal():
        raise DataError(
            f"values of type {series.dtype} are not numbers",
            where=table.place(column=column),
            mend="ignore the column, or turn it into numbers",
        )
    numbers, wrong = parse_numbers(series)
    wrong = wrong | numbers.is_infinite().fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f"{series[row]!r} is not a finite number, and the column is numeric",
            where=table.place(row, column),
            mend="correct the value (leave it empty if it is missing), "
            "or make the column categorical in the schema",
        )
    return numbers.to_numpy().astype(np.float64)


def texts_of(table: Table, column: str) -> pl.Series:
    """The values of a categorical column as strings, null where missing.

    The same id must give the same text from every kind of file, so whole floats (integers that
    met a missing value on their way) are written as integers. Text stays as it is.
    """
    series = _plain(table, column)
    if series.dtype == pl.String:
        return series.replace("", None) if (series == "").any() else series
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = (series == series.round(0)) & (series.abs() < 2**53)
        integers = series.cast(pl.Int64, strict=False).cast(pl.String)
        frame = pl.DataFrame({"f": series.cast(pl.String), "i": integers, "w": whole})
        return frame.select(pl.when("w").then("i").otherwise("f").alias(column)).to_series()
    return series.cast(pl.String)


def labels_of(table: Table, column: str) -> NDArray[np.float32]:
    """The labels, (n,) float32 of 0 and 1, with both classes present.

    Raises:
        DataError: no such column (with the nearest names), a missing label, a label that is not
            0 or 1, or only one class.
    """
    table.require([column])
    series = _plain(table, column)
    numbers, wrong = parse_numbers(series)
    missing = numbers.is_null() & ~wrong
    if missing.any():
        raise DataError(
            f"the label is missing in {missing.sum()} row{'s' if missing.sum() > 1 else ''}",
            where=table.place(int(missing.arg_max() or 0), column),
            mend="remove the rows without a label",
        )
    wrong = wrong | ~numbers.is_in([0.0, 1.0]).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f"the label is {series[row]!r}, and must be 0 or 1",
            where=table.place(row, column),
            mend="check that this is the label column, and write clicks as 1 and the rest as 0",
        )
    labels = numbers.to_numpy().astype(np.float32)
    require_both_classes(labels, table.place(column=column))
    return labels


def require_both_classes(labels: NDArray[np.float32], where: str) -> None:
    """Raise a `DataError` unless there are clicks and non-clicks among `labels`."""
    clicks = int(labels.sum())
    if clicks in (0, len(labels)):
        raise DataError(
            f"only one class: all {len(labels)} labels are {int(clicks > 0)}",
            where=where,
            mend="give rows with and without clicks",
        )
