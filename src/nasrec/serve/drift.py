"""How rows to score differ from the training rows, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import Encoder, PreparedData, Split
from nasrec.data.encode import CategoricalEncoder
from nasrec.data.formats import Chunk
from nasrec.data.leaks import least_shift
from nasrec.data.values import parse_numbers

#: Rates that differ by more than this share of the rows are marked.
NOTABLE = 0.05
_BATCH = 65_536


@dataclass(frozen=True)
class ColumnDrift:
    """One column of the rows that were scored, beside that of the training rows.

    Attributes:
        column: its name.
        role: `dense` or `categorical`.
        missing: share of the rows without a value.
        unknown: share with a value that training did not know; None for numbers.
        zero: share encoded as 0: a missing number, or one that the transform makes 0; None for
            categories.
        trained: the same rates of the training rows; None where they were not kept.
        shift: how far numbers are distributed otherwise than in training: the largest difference,
            at training's quantiles, between the shares of rows up to there (Kolmogorov and
            Smirnov's distance, encoded, missing as 0). None for categories, and where the model's
            folder does not keep it.
        shift_limit: what `shift` passes by chance once in a thousand times, 0.1 at least.
    """

    column: str
    role: str
    missing: float
    unknown: float | None
    zero: float | None
    trained: Mapping[str, float | None]
    shift: float | None = None
    shift_limit: float | None = None

    @property
    def notable(self) -> bool:
        """Whether some rate, or the distribution, is far from that of training."""
        if self.shift is not None and self.shift > (self.shift_limit or 0):
            return True
        pairs = [(getattr(self, name), self.trained.get(name)) for name in RATES]
        return any(
            now is not None and then is not None and abs(now - then) > NOTABLE
            for now, then in pairs
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "notable": self.notable}


RATES = ("missing", "unknown", "zero")


@dataclass(frozen=True)
class Trained:
    """What a model's folder keeps of its training rows.

    Attributes:
        rates: missing, unknown and zero values, by column.
        rows: how many there were; 0 where that was not kept.
        shares: by numeric column the share of rows up to each of `Inputs.quantiles`; {} where that
            was not kept.
    """

    rates: Mapping[str, Mapping[str, float | None]]
    rows: int = 0
    shares: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Rates:
    """Counts of missing, unknown and zero values over any number of chunks, and of numbers up to
    the quantiles of training, see `Inputs.quantiles`."""

    def __init__(self, encoder: Encoder, quantiles: Sequence[Sequence[float]] = ()) -> None:
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
        self.quantiles = [np.array(values, dtype=np.float32) for values in quantiles]
        self.up_to = [np.zeros(len(values), dtype=np.int64) for values in quantiles]

    def add(self, dense: NDArray[Any], sparse: NDArray[Any], table: Chunk | None = None) -> None:
        """Count encoded rows; with their raw rows, the missing values that ids do not tell too.

        Of several values in a row the first one counts.
        """
        self.rows += len(dense)
        sparse = sparse[:, self.first_slots]
        zero = dense == 0
        self.zero += zero.sum(axis=0)
        for i, (values, counts) in enumerate(zip(self.quantiles, self.up_to, strict=True)):
            counts += (dense[:, i, None] <= values).sum(axis=0)
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

    def shares_up_to(self) -> dict[str, list[float]]:
        """By numeric column the share of rows up to each quantile."""
        n = max(self.rows, 1)
        return {
            name: (counts / n).tolist()
            for name, counts in zip(self.dense, self.up_to, strict=False)
        }


def _missing_id(column: CategoricalEncoder) -> int:
    """The id of a missing value; 0 where it has none of its own."""
    if column.values is None:
        return 0
    places = column.values.is_null().arg_true()
    return int(places[0]) + 1 if len(places) else 0


def training(data: PreparedData, quantiles: Sequence[Sequence[float]] = ()) -> Trained:
    """What is kept of the training rows.

    A category that is missing too rarely for an id of its own counts as unknown.
    """
    counts = _counted(data.encoder, data.train, quantiles)
    rates = _without_missing_numbers(counts)
    for column in data.encoder.dense:
        rates[column.name]["missing"] = data.manifest["missing"][column.name]
    return Trained(rates, counts.rows, counts.shares_up_to())


def split_rates(encoder: Encoder, split: Split) -> dict[str, dict[str, float | None]]:
    """Rates of encoded rows, by column; whether a number is missing is not known of them."""
    return _without_missing_numbers(_counted(encoder, split))


def _counted(encoder: Encoder, split: Split, quantiles: Sequence[Sequence[float]] = ()) -> Rates:
    rates = Rates(encoder, quantiles)
    for batch in split.batches(_BATCH):
        rates.add(batch.dense.numpy(), batch.sparse.numpy())
    return rates


def _without_missing_numbers(rates: Rates) -> dict[str, dict[str, float | None]]:
    shares = rates.shares()
    for name in rates.dense:
        shares[name]["missing"] = None
    return shares


def compare(rates: Rates, trained: Trained) -> tuple[ColumnDrift, ...]:
    """The rates and shares of all columns beside those of training."""
    shares, up_to = rates.shares(), rates.shares_up_to()
    limit = least_shift(rates.rows, trained.rows)

    def shift(column: str) -> float | None:
        now, then = up_to.get(column), trained.shares.get(column)
        if not rates.rows or not now or not then or len(now) != len(then):
            return None
        return max(abs(a - b) for a, b in zip(now, then, strict=True))

    return tuple(
        ColumnDrift(
            column,
            role,
            shares[column]["missing"] or 0.0,
            shares[column].get("unknown"),
            shares[column].get("zero"),
            dict(trained.rates.get(column, {})),
            moved := shift(column),
            None if moved is None else limit,
        )
        for role, columns in (("dense", rates.dense), ("categorical", rates.categorical))
        for column in columns
    )


def drift_table(drifts: Iterable[ColumnDrift]) -> str:
    """Rates, now (in training), and shifts as text; columns far from training marked with `!`."""
    lines: list[Sequence[str]] = [("column", "missing", "unknown", "zero", "shift", "")]
    for drift in drifts:
        cells = []
        for name in RATES:
            now, then = getattr(drift, name), drift.trained.get(name)
            before = "-" if then is None else f"{100 * then:.1f}"
            cells.append("" if now is None else f"{100 * now:.1f} % ({before})")
        cells.append("" if drift.shift is None else f"{drift.shift:.2f}")
        lines.append((drift.column, *cells, "!" if drift.notable else ""))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
