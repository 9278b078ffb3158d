"""How rows to score differ from the training rows, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import Encoder, PreparedData, Split
from nasrec.data.encode import CategoricalEncoder
from nasrec.data.formats import Chunk
from nasrec.data.values import parse_numbers

#: Rates that differ by more than this share of the rows are marked.
NOTABLE = 0.05
_BATCH = 65_536


@dataclass(frozen=True)
class ColumnDrift:
    """Rates of one column: among the rows that were scored, and among the training rows.

    Attributes:
        column: its name.
        role: `dense` or `categorical`.
        missing: share of the rows without a value.
        unknown: share with a value that training did not know; None for numbers.
        zero: share encoded as 0: a missing number, or one that the transform makes 0; None for
            categories.
        trained: the same rates of the training rows; None where they were not kept.
    """

    column: str
    role: str
    missing: float
    unknown: float | None
    zero: float | None
    trained: Mapping[str, float | None]

    @property
    def notable(self) -> bool:
        """Whether some rate is far from that of training."""
        pairs = [(getattr(self, name), self.trained.get(name)) for name in RATES]
        return any(
            now is not None and then is not None and abs(now - then) > NOTABLE
            for now, then in pairs
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "notable": self.notable}


RATES = ("missing", "unknown", "zero")


class Rates:
    """Counts of missing, unknown and zero values over any number of chunks."""

    def __init__(self, encoder: Encoder) -> None:
        self.dense = [column.name for column in encoder.dense]
        self.categories = encoder.categorical
        self.categorical = [column.name for column in self.categories]
        self.first_slots = np.cumsum([0, *encoder.slots])[:-1]
        self.missing_ids = np.array([_missing_id(c) for c in self.categories], dtype=np.int64)
        self.rows = 0
        self.zero = np.zeros(len(self.dense), dtype=np.int64)
        self.id_zero = np.zeros(len(self.categorical), dtype=np.int64)
        self.id_missing = np.zeros(len(self.categorical), dtype=np.int64)
        self.missing = np.zeros(len(self.dense), dtype=np.int64)
        self.untold = np.zeros(len(self.categorical), dtype=np.int64)

    def add(self, dense: NDArray[Any], sparse: NDArray[Any], table: Chunk | None = None) -> None:
        """Count encoded rows; with their raw rows, the missing values that ids do not tell too.

        Of several values in a row the first one counts.
        """
        self.rows += len(dense)
        sparse = sparse[:, self.first_slots]
        zero = dense == 0
        self.zero += zero.sum(axis=0)
        self.id_zero += (sparse == 0).sum(axis=0)
        self.id_missing += ((sparse == self.missing_ids) & (self.missing_ids > 0)).sum(axis=0)
        if table is None:
            return
        for i, name in enumerate(self.dense):
            if zero[:, i].any():  # a missing number is always encoded as 0
                numbers, _ = parse_numbers(table.frame[name].filter(zero[:, i]))
                self.missing[i] += numbers.null_count()
        for i, column in enumerate(self.categories):
            if not self.missing_ids[i]:
                self.untold[i] += column.texts(table)[0].null_count()

    def shares(self) -> dict[str, dict[str, float | None]]:
        """Rates by column."""
        n = max(self.rows, 1)
        found: dict[str, dict[str, float | None]] = {}
        for i, name in enumerate(self.dense):
            found[name] = {"missing": self.missing[i] / n, "zero": self.zero[i] / n}
        for i, name in enumerate(self.categorical):
            missing = self.id_missing[i] + self.untold[i]
            unknown = self.id_zero[i] - self.untold[i]
            found[name] = {"missing": missing / n, "unknown": unknown / n}
        return {column: {k: float(v or 0) for k, v in r.items()} for column, r in found.items()}


def _missing_id(column: CategoricalEncoder) -> int:
    """The id of a missing value; 0 where it has none of its own."""
    if column.values is None:
        return 0
    places = column.values.is_null().arg_true()
    return int(places[0]) + 1 if len(places) else 0


def training_rates(data: PreparedData) -> dict[str, dict[str, float | None]]:
    """Rates of the training rows, by column.

    A category that is missing too rarely for an id of its own counts as unknown.
    """
    shares = split_rates(data.encoder, data.train)
    for column in data.encoder.dense:
        shares[column.name]["missing"] = data.manifest["missing"][column.name]
    return shares


def split_rates(encoder: Encoder, split: Split) -> dict[str, dict[str, float | None]]:
    """Rates of encoded rows, by column; whether a number is missing is not known of them."""
    rates = Rates(encoder)
    for batch in split.batches(_BATCH):
        rates.add(batch.dense.numpy(), batch.sparse.numpy())
    shares = rates.shares()
    for name in rates.dense:
        shares[name]["missing"] = None
    return shares


def compare(
    rates: Rates, trained: Mapping[str, Mapping[str, float | None]]
) -> tuple[ColumnDrift, ...]:
    """The rates of all columns beside those of training."""
    shares = rates.shares()
    return tuple(
        ColumnDrift(
            column,
            role,
            shares[column]["missing"] or 0.0,
            shares[column].get("unknown"),
            shares[column].get("zero"),
            dict(trained.get(column, {})),
        )
        for role, columns in (("dense", rates.dense), ("categorical", rates.categorical))
        for column in columns
    )


def drift_table(drifts: Iterable[ColumnDrift]) -> str:
    """The rates as text: now (in training), those far from training marked with `!`."""
    lines: list[Sequence[str]] = [("column", "missing", "unknown", "zero", "")]
    for drift in drifts:
        cells = []
        for name in RATES:
            now, then = getattr(drift, name), drift.trained.get(name)
            before = "-" if then is None else f"{100 * then:.1f}"
            cells.append("" if now is None else f"{100 * now:.1f} % ({before})")
        lines.append((drift.column, *cells, "!" if drift.notable else ""))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
