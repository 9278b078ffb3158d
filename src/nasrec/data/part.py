"""A part: the rows of one chunk of a log as plain arrays on disk; see staging.py."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import BadLine, Position
from nasrec.data.formats.fields import Packed
from nasrec.data.hash import texts_of_width
from nasrec.files import write_text

ALIGNMENT = 64


@dataclass(frozen=True)
class Part:
    """A finished part."""

    path: Path
    rows: int
    next: Position | None
    arrays: dict[str, tuple[str, int, int]]
    """Type, place in the file and length of every column."""
    present: tuple[bool, ...]
    """Whether each feature, the dense first, has a value in any row."""
    bad: tuple[BadLine, ...]
    widths: tuple[int, ...]
    """Bytes of each text in the dictionary of a categorical column, where the hashes tell the
    texts; 0 where these are kept."""

    @classmethod
    def load(cls, path: Path) -> Part:
        """Read what is known of a part."""
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        following = content["next"]
        return cls(
            path,
            content["rows"],
            None if following is None else Position(**following),
            {name: tuple(entry) for name, entry in content["arrays"].items()},
            tuple(content["present"]),
            tuple(
                BadLine(file, line, reason, text.encode("latin1"))
                for file, line, reason, text in content["bad"]
            ),
            tuple(content["widths"]),
        )

    def save(self) -> None:
        """Write what is known of the part: this makes it finished."""
        content = {
            "rows": self.rows,
            "next": None if self.next is None else asdict(self.next),
            "arrays": self.arrays,
            "present": self.present,
            "bad": [[*bad[:3], bad.text.decode("latin1")] for bad in self.bad],
            "widths": self.widths,
        }
        write_text(self.path.with_suffix(".json"), json.dumps(content))

    def column(self, name: str) -> NDArray[Any]:
        """A column of the rows, or `hashes{i}` of a dictionary; mapped into memory."""
        return self.columns([name])[0]

    def columns(self, names: Sequence[str]) -> list[NDArray[Any]]:
        """Several, mapped together; best for neighbours."""
        there = [self.arrays[name] for name in names if self.arrays[name][2]]
        if not there:
            return [np.empty(0, self.arrays[name][0]) for name in names]
        begin = min(place for _, place, _ in there) // mmap.ALLOCATIONGRANULARITY
        begin *= mmap.ALLOCATIONGRANULARITY
        end = max(place + length * np.dtype(kind).itemsize for kind, place, length in there)
        with self.path.with_suffix(".rows").open("rb") as file:
            # `numpy.memmap` takes ten times as long.
            mapped = mmap.mmap(file.fileno(), end - begin, access=mmap.ACCESS_READ, offset=begin)
        return [
            np.frombuffer(mapped, kind, length, place - begin) if length else np.empty(0, kind)
            for kind, place, length in (self.arrays[name] for name in names)
        ]

    def hashes(self, column: int) -> NDArray[np.uint64]:
        """The hashes in the dictionary of a categorical column."""
        return self.column(f"hashes{column}")

    def entries(self, column: int) -> int:
        """How many values the dictionary of a categorical column has; 0 if it has none."""
        return self.arrays.get(f"hashes{column}", ("", 0, 0))[2]

    def texts(self, column: int, rows: NDArray[np.int64]) -> pl.Series:
        """Some texts of the dictionary of a categorical column; null is the missing value."""
        if width := self.widths[column]:
            return texts_of_width(self.hashes(column)[rows], width)
        return Packed(self.column(f"texts{column}"), self.column(f"ends{column}")).texts(rows)

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return self.path.with_suffix(".rows").stat().st_size


def write_arrays(columns: dict[str, NDArray[Any]], file: Path) -> dict[str, tuple[str, int, int]]:
    """Write arrays one after the other; returns type, place and length of each."""
    arrays = {}
    with file.open("wb") as stream:
        for name, column in columns.items():
            stream.write(bytes(-stream.tell() % ALIGNMENT))
            arrays[name] = (column.dtype.str, stream.tell(), len(column))
            stream.write(np.ascontiguousarray(column).data)
    return arrays
