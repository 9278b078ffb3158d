"""Reference encoder: raw rows to the numbers and ids that an exported model takes.

Needs numpy only, and no part of the library that trained the model: read it to write the same in
another language, or use it as it is.

    encoder = Encoder("encoder.json")
    dense, sparse = encoder.encode({"age": [31, None], "site": ["a", "b"]})

A column is a sequence of raw values; None or an empty text is a missing value.

- A numeric column (`dense` in encoder.json) becomes a float32. `log1p`: log(1 + max(x, 0));
  `standardize`: (x - mean) / std; `none`: x. A missing value is 0, after the transform.
- A categorical column becomes an integer: 1 + the place of its text in `values`, 0 if it is not
  there. A missing value is looked up as null. A number is looked up by its text, a whole one
  without a fraction: 3.0 as "3".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MISSING_NUMBERS = ("", "na", "n/a", "nan", "null", "none", "\\n")


def text_of(value: Any) -> str | None:
    """The text by which a categorical value is looked up; None if it is missing."""
    if value is None or value == "" or value != value:  # only NaN differs from itself
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        number = float(value)
        if number.is_integer() and abs(number) < 2**53:
            return str(int(number))
        return _decimal(number if isinstance(value, float) else value)
    return str(value)


def _decimal(number: Any) -> str:
    """The shortest decimal text: plain from 1e-5 up to 1e16, else with an exponent (1e-7)."""
    digits, _, exponent = np.format_float_scientific(number, trim="-").partition("e")
    if not exponent:  # infinite
        return str(float(number))
    if -5 <= int(exponent) < 16:
        text: str = np.format_float_positional(number, trim="0")
        return text
    sign = "+" if int(exponent) > 0 else ""
    return f"{digits}e{sign}{int(exponent)}"


def number_of(value: Any) -> float:
    """The number of a numeric value; NaN if it is missing. ValueError if it is neither."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_NUMBERS:
            return math.nan
        if "_" in text:  # Python's float takes 1_000, other parsers do not
            raise ValueError(f"{value!r} is not a number")
        value = text
    number = float(value)
    if math.isinf(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


class Encoder:
    """Encodes columns as encoder.json says."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != "nasrec-exported-encoder/1":
            raise ValueError(f"{path}: cannot read the format {content['format']!r}")
        self.dense = content["dense"]
        self.categorical = [
            (column["name"], {value: i for i, value in enumerate(column["values"], start=1)})
            for column in content["categorical"]
        ]

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Any, Any]:
        """(rows, numeric columns) float32 and (rows, categorical columns) int64."""
        dense = [self._numbers(column, columns[column["name"]]) for column in self.dense]
        sparse = [self._ids(ids, columns[name]) for name, ids in self.categorical]
        rows = len((dense or sparse)[0])
        return (
            np.stack(dense, 1) if dense else np.empty((rows, 0), np.float32),
            np.stack(sparse, 1) if sparse else np.empty((rows, 0), np.int64),
        )

    @staticmethod
    def _numbers(column: Mapping[str, Any], values: Sequence[Any]) -> Any:
        x = np.array([number_of(value) for value in values], dtype=np.float64)
        if column["transform"] == "log1p":
            x = np.log1p(np.maximum(x, 0.0))
        elif column["transform"] == "standardize":
            x = (x - column["mean"]) / column["std"]
        return np.nan_to_num(x, nan=0.0).astype(np.float32)

    @staticmethod
    def _ids(ids: Mapping[str | None, int], values: Sequence[Any]) -> Any:
        return np.array([ids.get(text_of(value), 0) for value in values], dtype=np.int64)
