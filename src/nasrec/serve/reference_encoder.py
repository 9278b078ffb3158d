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
- Without `values` it is 1 + the text's hash modulo (hash_size - 1), and 0 if it is missing.
  `hash_as` is `text`, or `decimal` or `hex`: the integer that the text spells is its hash.
- A `multi_valued` column has a list, or a text cut at each `separator`, and gives `slots` integers:
  those of its first values, then -1.
"""

from __future__ import annotations

import json
import math
import re
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


def hash_of(text: str) -> int:
    """The 64-bit hash of a text: its UTF-8 in words of 8 bytes, mixed as SplitMix64 does."""
    data, most = text.encode(), 2**64 - 1
    h = len(data) * 0x9E3779B97F4A7C15 & most
    for i in range(0, len(data), 8):
        h ^= int.from_bytes(data[i : i + 8], "little")
        h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & most
        h = (h ^ h >> 27) * 0x94D049BB133111EB & most
        h ^= h >> 31
    return h


def hashed_id(text: str | None, size: int, kind: str) -> int:
    """The id of a value in a column without vocabulary."""
    if text is None:
        return 0
    digits, base = ("[0-9a-fA-F]+", 16) if kind == "hex" else ("[0-9]+", 10)
    number = hash_of(text)
    if kind != "text" and re.fullmatch(f"[+-]?{digits}", text):
        spelt = int(text, base)
        if -(2**63) <= spelt < 2**63:
            number = spelt
    return 1 + number % (size - 1)


def values_of(value: Any, separator: str | None) -> list[str | None]:
    """The texts of a multi-valued column's value; one that is missing if there is none."""
    if isinstance(value, list | tuple | np.ndarray):
        texts = [text_of(one) for one in value]
    else:
        text = text_of(value)
        texts = text.split(separator) if text and separator else [text]  # type: ignore[assignment]
    return [text for text in texts if text] or [None]


class Encoder:
    """Encodes columns as encoder.json says."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != "nasrec-exported-encoder/1":
            raise ValueError(f"{path}: cannot read the format {content['format']!r}")
        self.dense = content["dense"]
        self.categorical = content["categorical"]
        for column in self.categorical:
            if column["values"] is not None:
                column["ids"] = {value: i for i, value in enumerate(column["values"], start=1)}

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> tuple[Any, Any]:
        """(rows, numeric columns) float32 and (rows, slots of the categorical columns) int64."""
        dense = [self._numbers(column, columns[column["name"]]) for column in self.dense]
        sparse = [self._ids(column, columns[column["name"]]) for column in self.categorical]
        rows = len((dense or sparse)[0])
        return (
            np.stack(dense, 1) if dense else np.empty((rows, 0), np.float32),
            np.concatenate(sparse, 1) if sparse else np.empty((rows, 0), np.int64),
        )

    @staticmethod
    def _numbers(column: Mapping[str, Any], values: Sequence[Any]) -> Any:
        x = np.array([number_of(value) for value in values], dtype=np.float64)
        if column["transform"] == "log1p":
            x = np.log1p(np.maximum(x, 0.0))
        elif column["transform"] == "standardize":
            x = (x - column["mean"]) / column["std"]
        most = float(np.finfo(np.float32).max)
        return np.nan_to_num(np.clip(x, -most, most), nan=0.0).astype(np.float32)

    @staticmethod
    def _ids(column: Mapping[str, Any], values: Sequence[Any]) -> Any:
        found = np.full((len(values), column["slots"]), -1, dtype=np.int64)
        for row, value in enumerate(values):
            several = column["multi_valued"]
            texts = values_of(value, column["separator"]) if several else [text_of(value)]
            for slot, text in enumerate(texts[: column["slots"]]):
                if column["values"] is None:
                    found[row, slot] = hashed_id(text, column["hash_size"], column["hash_as"])
                else:
                    found[row, slot] = column["ids"].get(text, 0)
        return found
