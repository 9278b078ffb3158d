"""Files of libSVM and libFM: `label id:1 id:1 ...`, with ids counted over all fields.

Two formats. In `libfm` every row has the same number of ids, and the place of an id says which
field it is of, as in the usual files of Frappe and MovieLens: each place is a categorical column.
In `libsvm` rows have any number of ids, which are one multi-valued column. Values other than 1
are refused: they would need a model with weighted ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats.buffer import Buffer
from nasrec.data.formats.log import Position
from nasrec.data.formats.text import TextReader, Verdict
from nasrec.data.schema import Column, Schema

ID = r"\d+:1(\.0*)?"
VALUE = r":1(\.0*)?"
MOST_IDS = 64
LABEL = Column(name="label", role="label", reason="first in each row, 1 or -1")
SCHEMA = Schema(
    columns=(
        LABEL,
        Column(
            name="ids",
            role="categorical",
            separator=" ",
            max_values=MOST_IDS,
            reason="all ids of a row (libSVM)",
        ),
    ),
    format="libsvm",
)


def _clicks(labels: pl.Series) -> pl.Series:
    """1 and 0, where a file may have -1 for 0."""
    return labels.str.replace(r"^\+?1(\.0*)?$", "1").str.replace(r"^-1(\.0*)?$", "0")


@dataclass(frozen=True)
class LibFMReader(TextReader):
    """Reads rows with one id for each field."""

    separator: str = " "
    quoted: bool = False

    def judge(self, frame: pl.DataFrame) -> Iterator[Verdict]:
        """Every field must be an id with the value 1."""
        for name in frame.columns:
            if name != "label":
                wrong = ~frame[name].str.contains(f"^{ID}$")
                what = f"column {name!r}: {{}} is not an id with the value 1, such as 451:1"
                yield Verdict(wrong, frame[name], what, "make a CSV file of logs with other values")

    def finish(
        self,
        frame: pl.DataFrame,
        lines: NDArray[np.int64],
        path: Path,
        columns: Sequence[str],
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Take the values off, and make labels 0 and 1."""
        ids = [pl.col(name).str.extract(r"^(\d+)") for name in frame.columns if name != "label"]
        frame = frame.with_columns(ids)
        if "label" in frame.columns:
            frame = frame.with_columns(_clicks(frame["label"]).alias("label"))
        return frame, lines

    def _head(self, buffer: Buffer, path: Path) -> tuple[tuple[str, ...], Position]:
        """The first row says how many columns there are."""
        whole = TextReader(self.separator, self.quoted, ("label",))
        _, at = whole._head(buffer, path)
        size = 1 << 16
        while b"\n" not in (text := buffer.peek(size)) and len(text) == size:
            size *= 2
        fields = text.split(b"\n")[0].count(b" ")
        return ("label", *(f"F{i}" for i in range(1, fields + 1))), at


@dataclass(frozen=True)
class LibSVMReader(TextReader):
    """Reads rows with any number of ids."""

    separator: str = "\x01"
    quoted: bool = False
    names: tuple[str, ...] | None = ("line",)

    def columns(self, path: Path) -> tuple[str, ...]:
        """The label and the ids."""
        super().columns(path)
        return ("label", "ids")

    def needed(self, columns: Sequence[str]) -> set[str]:
        """All that there is."""
        return {"line"}

    def judge(self, frame: pl.DataFrame) -> Iterator[Verdict]:
        """After the label only ids with the value 1."""
        wrong = ~frame["line"].str.contains(rf"^\S+( +{ID})* *\r?$")
        shown = frame["line"].str.slice(0, 60)
        what = "{} is not a label and ids with the value 1, such as 1 451:1 7:1"
        yield Verdict(wrong, shown, what, "make a CSV file of logs with other values")

    def finish(
        self,
        frame: pl.DataFrame,
        lines: NDArray[np.int64],
        path: Path,
        columns: Sequence[str],
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Split the label from the ids, and take the values off."""
        line = frame["line"].str.strip_chars()
        ids = line.str.replace(r"^\S+ *", "").str.replace_all(rf"{VALUE}( |$)", " ")
        ids = ids.str.replace_all(" +", " ").str.strip_chars().replace("", None)
        labels = _clicks(line.str.extract(r"^(\S+)"))
        return pl.DataFrame({"label": labels, "ids": ids}), lines


FM_READER = LibFMReader()
READER = LibSVMReader()
