"""Stage 1: the prepared data of a run, and the request that it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nasrec.data import PreparedData, Schema, Split, prepare
from nasrec.data.dataset import canonical, is_prepared, sha256
from nasrec.data.formats import open_log
from nasrec.errors import ConfigError, RunError
from nasrec.files import write_json
from nasrec.nn import Inputs
from nasrec.pipeline.folder import ANOTHER, RunFolder, read_json

Source = str | Path | pl.DataFrame
#: Pieces of a numeric column's part of a logit, and training rows that tell their ends: 8 and 16
#: pieces did the same on criteo_kaggle, and so many rows place an eighth within 0.1 %.
PIECES, QUANTILE_ROWS = 8, 100_000


@dataclass(frozen=True)
class DataRequest:
    """A click log, or a folder of prepared data, as `nasrec.data.prepare` takes it."""

    data: Source
    label: str | None = None
    valid: Source | None = None
    test: Source | None = None
    ignore: Sequence[str] = ()
    schema: Schema | str | Path | None = None
    format: str | None = None

    @property
    def prepared(self) -> bool:
        """Whether the data are a prepared folder."""
        return is_prepared(self.data, self.format)

    def describe(self) -> dict[str, Any]:
        """What the data are, by content and not by name, as JSON types.

        Raises:
            DataError: a file that is not there, or a folder that is not prepared data.
            ConfigError: options that do not apply to prepared data.
        """
        if self.prepared:
            given = {
                "--valid": self.valid,
                "--test": self.test,
                "--ignore": self.ignore,
                "--schema": self.schema,
                "--format": self.format,
            }
            if wrong := [name for name, value in given.items() if value]:
                raise ConfigError(
                    f"{wrong[0]} does not apply to data that are prepared already",
                    where=str(self.data),
                    mend=f"leave it out, or give the raw log and {wrong[0]}",
                )
            data = PreparedData.open(Path(str(self.data)))
            if self.label not in (None, data.schema.label):
                raise ConfigError(
                    f"the label is to be {self.label!r}, and the data were prepared with "
                    f"{data.schema.label!r}",
                    where=str(self.data),
                    mend="leave out the label, or prepare the raw log with the other one",
                )
            return {"data": {"fingerprint": data.fingerprint}}
        schema = self.schema
        if schema is not None and not isinstance(schema, Schema):
            schema = Schema.load(schema)
        sources = {"log": self.data, "valid": self.valid, "test": self.test}
        return {
            "data": {name: _digest(s, self.format) for name, s in sources.items() if s is not None},
            "preparation": {
                "label": self.label,
                "ignore": sorted(self.ignore),
                "schema": schema.model_dump(mode="json") if schema else None,
                "format": self.format,
            },
        }


def _digest(source: Source, format: str | None) -> str:
    files = [entry["sha256"] for entry in open_log(source, format).identity()]
    return files[0] if len(files) == 1 else sha256(canonical(files))


def data_stage(run: RunFolder, asked: DataRequest, seed: int) -> PreparedData:
    """Prepare the log into the run folder, or point to a folder that is prepared already."""
    if asked.prepared:
        return _pointed(run, Path(str(asked.data)))
    if run.data.is_dir():
        return PreparedData.open(run.data)
    began = time.perf_counter()
    data = prepare(
        asked.data,
        run.data,
        label=asked.label,
        valid=asked.valid,
        test=asked.test,
        schema=asked.schema,
        format=asked.format,
        ignore=tuple(asked.ignore),
        seed=seed,
    )
    run.stage_done("prepare", time.perf_counter() - began)
    return data


def _pointed(run: RunFolder, folder: Path) -> PreparedData:
    data = PreparedData.open(folder)
    pointer = {"prepared": str(folder.resolve()), "fingerprint": data.fingerprint}
    if not run.data_pointer.is_file():
        write_json(run.data_pointer, pointer)
    elif read_json(run.data_pointer).get("fingerprint") != data.fingerprint:
        raise RunError("the prepared data have changed", where=str(folder), mend=ANOTHER)
    return data


def run_data(run: RunFolder) -> PreparedData:
    """The data of a run that has them.

    Raises:
        RunError: the prepared data lay elsewhere and are not there any more, or are others.
    """
    if run.data.is_dir():
        return PreparedData.open(run.data)
    pointer = read_json(run.data_pointer)
    data = PreparedData.open(Path(pointer["prepared"]))
    if data.fingerprint != pointer["fingerprint"]:
        raise RunError("the prepared data have changed", where=pointer["prepared"], mend=ANOTHER)
    return data


def inputs_of(data: PreparedData) -> Inputs:
    """The columns that models read, with quantiles of the numeric ones among the training rows."""
    return Inputs(data.n_dense, data.vocabulary_sizes, data.slots, _quantiles(data))


def _quantiles(data: PreparedData) -> tuple[tuple[float, ...], ...]:
    """The ends of `PIECES` parts of about equally many rows, of each numeric column, each once."""
    if not data.n_dense or not len(data.train):
        return ()
    rows = some_rows(data.train, QUANTILE_ROWS, 0)
    dense = rows.take(np.arange(len(rows))).dense.numpy()
    found = np.quantile(dense, np.linspace(0, 1, PIECES + 1), axis=0, method="nearest")
    return tuple(tuple(np.unique(values).tolist()) for values in found.T)


def some_rows(split: Split, rows: int | None, seed: int) -> Split:
    """A random part of a split, in memory; all of it when `rows` is None or not fewer."""
    if rows is None or rows >= len(split):
        return split
    chosen = np.random.default_rng([seed, rows]).choice(len(split), rows, replace=False)
    return split.chosen(chosen)


def describe_data(data: PreparedData) -> Mapping[str, Any]:
    """Counts for people and for JSON."""
    return {
        "path": str(data.path),
        "fingerprint": data.fingerprint,
        "rows": {part.name: len(part) for part in (data.train, data.valid, data.test)},
        "click_rate": data.train.click_rate,
        "n_dense": data.n_dense,
        "n_sparse": data.n_sparse,
        "vocabulary_sizes": list(data.vocabulary_sizes),
        "warnings": list(data.warnings),
    }
