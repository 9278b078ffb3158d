"""Scoring a file of any size: rows in, the columns asked for and a probability out, in order."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from nasrec.errors import ConfigError, DataError
from nasrec.files import written_aside
from nasrec.serve.drift import ColumnDrift, Rates, compare, drift_table
from nasrec.serve.folder import load_model
from nasrec.serve.model import Data, Model
from nasrec.serve.reading import chunks

PROBABILITY = "probability"
STDOUT = "-"
SEPARATORS = {"csv": ",", "tsv": "\t"}
_EXTENSIONS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True)
class Prediction:
    """What was scored, how long each part took, and how the rows differ from training.

    Attributes:
        rows: number of rows.
        seconds: spent reading and parsing (`read`), encoding (`encode`), in the network (`score`)
            and writing (`write`).
        drift: missing and unknown values of each column, beside those of the training rows, and
            how far its numbers have shifted.
        frame: the kept columns and `probability`; None where they were written to a file.
    """

    rows: int
    seconds: dict[str, float]
    drift: tuple[ColumnDrift, ...]
    frame: pl.DataFrame | None = field(default=None, repr=False)

    @property
    def rows_per_second(self) -> float:
        """Rows a second, over all parts."""
        return self.rows / max(sum(self.seconds.values()), 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the rows."""
        return {
            "rows": self.rows,
            "rows_per_second": self.rows_per_second,
            "seconds": self.seconds,
            "drift": [column.to_dict() for column in self.drift],
        }

    @property
    def summary(self) -> str:
        """Rows, time shares and drift as text."""
        total = max(sum(self.seconds.values()), 1e-9)
        shares = ", ".join(f"{name} {100 * s / total:.0f} %" for name, s in self.seconds.items())
        marked = [column.column for column in self.drift if column.notable]
        far = f"Far from training (!): {', '.join(marked)}" if marked else "None is far from it."
        return (
            f"{self.rows:,} rows, {self.rows_per_second:,.0f} rows/s ({shares})\n"
            f"Share of rows with a missing, unknown or zero value (in training), and how far "
            f"numbers have shifted:\n"
            f"{drift_table(self.drift)}\n{far}"
        )


def predict(
    model: Model | str | Path,
    data: Data,
    out: str | Path | None = None,
    *,
    keep: Sequence[str] = (),
    format: str | None = None,
    out_format: str | None = None,
) -> Prediction:
    """Score rows, in memory that does not grow with their number when they go to a file.

    Args:
        model: a model, or its folder.
        data: a data frame, a CSV, TSV or Parquet file, or `-` for standard input.
        out: a CSV, TSV or Parquet file, which appears whole or not at all; `-` for standard
            output; None gives the rows in `Prediction.frame`.
        keep: columns to copy from the input, in front of `probability`.
        format: of the input; by its extension if None.
        out_format: `csv`, `tsv` or `parquet`; by the extension of `out` if None.

    Raises:
        NasrecError: bad rows, with their place, or an output that cannot be written.

    Example:
        >>> from nasrec.data import SyntheticLog
        >>> rows = SyntheticLog(n_dense=2, n_sparse=3).generate(5)
        >>> prediction = nasrec.predict("model", rows, keep=["C1"])
        >>> prediction.frame.columns
        ['C1', 'probability']
        >>> nasrec.predict("model", rows, "scores.csv").rows
        5
    """
    model = model if isinstance(model, Model) else load_model(model)
    if twice := [name for name in keep if list(keep).count(name) > 1]:
        raise ConfigError(f"the column {twice[0]!r} is kept twice", mend="name it once")
    if PROBABILITY in keep:
        raise ConfigError(f"a kept column is called {PROBABILITY!r}", mend="rename it first")
    columns = list(dict.fromkeys([*model.encoder.columns, *keep]))
    _ = model.network  # loaded before the clock runs
    seconds = dict.fromkeys(("read", "encode", "score", "write"), 0.0)
    rates = Rates(model.encoder, model.spec.inputs.quantiles)
    clock = _Clock(seconds)
    with _writer(out, out_format) as write:
        clock("read")
        for table in chunks(data, columns, format, model.schema.format):
            clock("encode")
            dense, sparse = model.encoder.encode(table)
            rates.add(dense, sparse, table)
            clock("score")
            probabilities = model.probabilities(dense, sparse)
            clock("write")
            kept = [table.frame[name] for name in keep]
            write(pl.DataFrame([*kept, pl.Series(PROBABILITY, probabilities)]))
            clock("read")
        clock("write")
    clock(None)
    frame = write.frame() if isinstance(write, _Frames) else None
    return Prediction(rates.rows, seconds, compare(rates, model.trained), frame)


class _Clock:
    """Adds up the time of each part; call it with the name of the part that begins."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.part, self.began = seconds, "read", time.perf_counter()

    def __call__(self, part: str | None) -> None:
        now = time.perf_counter()
        self.seconds[self.part] += now - self.began
        self.part, self.began = part or self.part, now


Writer = Callable[[pl.DataFrame], None]


@contextmanager
def _writer(out: str | Path | None, format: str | None) -> Iterator[Writer]:
    """Gives what takes the frames; a file gets its name when the block succeeds."""
    if out is None:
        yield _Frames()
        return
    if str(out) == STDOUT:
        name = format or "csv"
        if name not in SEPARATORS:
            raise ConfigError(f"{name} cannot be written to a pipe", mend="use csv or tsv")
        yield _Text(sys.stdout.buffer, SEPARATORS[name])
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    name = _format_of_output(path, format)
    try:
        with written_aside(path) as aside:
            if name in SEPARATORS:
                with aside.open("wb") as file:
                    yield _Text(file, SEPARATORS[name])
            else:
                with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as parts:
                    write = _Parts(Path(parts))
                    yield write
                    write.join(aside)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"cannot write the predictions: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            mend="choose a file in a folder that can be written, on a disk with room",
        ) from error


def _format_of_output(path: Path, format: str | None) -> str:
    if path.is_dir():
        raise ConfigError("this is a folder", where=str(path), mend="give a file to write")
    name = format or _EXTENSIONS.get(path.suffix.lower())
    if name not in (*SEPARATORS, "parquet"):
        raise ConfigError(
            f"cannot write {f'the format {format!r}' if format else 'to this extension'}",
            where=str(path),
            mend="use .csv, .tsv or .parquet, or name the format: csv, tsv, parquet",
        )
    return str(name)


class _Frames:
    """Keeps the frames in memory."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []

    def __call__(self, frame: pl.DataFrame) -> None:
        self.frames.append(frame)

    def frame(self) -> pl.DataFrame:
        return pl.concat(self.frames, rechunk=True)


class _Text:
    """Writes delimited text, the header once."""

    def __init__(self, file: BinaryIO, separator: str) -> None:
        self.file, self.separator, self.header = file, separator, True

    def __call__(self, frame: pl.DataFrame) -> None:
        text = frame.write_csv(None, include_header=self.header, separator=self.separator)
        self.file.write(text.encode())
        self.header = False


class _Parts:
    """Writes one Parquet file a frame, and streams them into one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def __call__(self, frame: pl.DataFrame) -> None:
        frame.write_parquet(self.folder / f"{self.count:08}.parquet")
        self.count += 1

    def join(self, path: Path) -> None:
        files = [self.folder / f"{i:08}.parquet" for i in range(self.count)]
        pl.scan_parquet(files).sink_parquet(path, maintain_order=True)
