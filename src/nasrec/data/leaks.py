"""Warnings about what makes a score better than it will be: leaks, drift, repeated rows.

`find_leaks` looks at a sample of raw rows. The others follow the split over all encoded rows, in
memory that does not grow with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import Chunk
from nasrec.data.hash import MISSING, distinct, hash_texts
from nasrec.data.schema import Column, Schema
from nasrec.data.split import SPLITS, RandomSplit, SplitSpec, mixed
from nasrec.data.values import parse_numbers, texts_of

SUSPICIOUS_AUC = 0.98
"""A single honest feature does not rank clicks as well as this."""
CHANCE = 1e-6
"""How improbable "always clicked" must be under the click rate to be worth a warning."""
UNIQUE = 0.95
"""Share of distinct values from which a column identifies rows rather than describing them."""
MIN_ROWS_FOR_UNIQUE = 20
"""With fewer rows than this, distinct values do not mean an id."""
UNSEEN = 0.1
"""Excess of unknown values over train's from which a column is said to drift."""
SHIFT = 0.1
"""Distance of a number's distribution from train's (Kolmogorov and Smirnov's) that is told."""
RATE_CHANGE = 0.2
"""Relative difference of click rates that is worth a warning, if chance does not explain it."""
REPEATED = 0.02
"""Share of a part's rows that may be in train too."""


def find_leaks(sample: Chunk, schema: Schema) -> list[str]:
    """One sentence for each feature that looks as if it were made from the label, or names rows.

    Signs of a leak: a column that alone ranks the rows almost perfectly (its click rates are
    learnt on the even rows and tried on the odd ones); and a mark, that is a value of a
    two-valued column or the mere presence of a value, found only where the label is 1.

    Values that are wrong are taken for missing: whoever reads all rows says where they are.

    Args:
        sample: raw rows, as `Log.sample` gives them.
        schema: what their columns are.
    """
    numbers, _ = parse_numbers(sample.frame[schema.label])
    usable = numbers.is_in([0.0, 1.0]).fill_null(False)
    frame = sample.frame.filter(usable)
    labels = numbers.filter(usable).to_numpy().astype(np.float32)
    if not 0 < labels.sum() < len(labels):
        return []
    warnings = []
    for column in (*schema.dense, *schema.categorical):
        if column.multi_valued:
            continue
        groups = _groups(frame, column, sample.file)
        mark = _only_with_clicks(frame[column.name], groups, labels)
        advice = f"ignore it if it is known only after the click (--ignore {column.name})"
        if mark is not None:
            warnings.append(
                f"column {column.name!r} may leak the label: {mark} occurs only where "
                f"{schema.label!r} is 1; {advice}"
            )
        elif (auc := _lone_auc(groups, labels)) >= SUSPICIOUS_AUC:
            warnings.append(
                f"column {column.name!r} may leak the label: alone it predicts "
                f"{schema.label!r} with AUC {auc:.4f}; {advice}"
            )
        elif column.role == "categorical" and _names_rows(groups):
            warnings.append(
                f"column {column.name!r} names rows rather than describing them: nearly every "
                f"row has a value of its own; ignore it (--ignore {column.name})"
            )
    return warnings


def _names_rows(groups: NDArray[np.int64]) -> bool:
    counts = np.bincount(groups)[1:]
    present = int(counts.sum())
    return present >= MIN_ROWS_FOR_UNIQUE and int(np.count_nonzero(counts)) >= UNIQUE * present


def _groups(frame: pl.DataFrame, column: Column, name: str) -> NDArray[np.int64]:
    """(n,) a group number for each row: its value, or its 1-in-50 quantile; missing is 0."""
    if column.role == "categorical":
        hashes = hash_texts(texts_of(Chunk(frame, name), column.name))
        return np.where(hashes == MISSING, 0, 1 + distinct(hashes).numbers.astype(np.int64))
    parsed, _ = parse_numbers(frame[column.name])
    numbers = parsed.to_numpy().astype(np.float64)
    present = numbers[np.isfinite(numbers)]
    if not len(present):
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, 51)[1:-1]))
    # Quantiles cut at values that occur, so "right" keeps 0 and 1 of a 0/1 column apart.
    groups = np.searchsorted(edges, numbers, side="right") + 1
    groups[~np.isfinite(numbers)] = 0
    return groups.astype(np.int64)


def _only_with_clicks(
    values: pl.Series, groups: NDArray[np.int64], labels: NDArray[np.float32]
) -> str | None:
    """A name for the mark that occurs only with clicks, if there is one."""

    def always_clicked(rows: NDArray[np.bool_]) -> bool:
        count = int(rows.sum())
        improbable = count * math.log(float(labels.mean())) < math.log(CHANCE)
        return improbable and bool(labels[rows].all())

    missing = groups == 0
    if missing.any() and always_clicked(~missing):
        return "a value"
    found = 1 + np.flatnonzero(np.bincount(groups)[1:])
    if len(found) == 2:
        for value in found:
            rows = groups == value
            if always_clicked(rows):
                return f"{values[int(rows.argmax())]!r}"
    return None


def _lone_auc(groups: NDArray[np.int64], labels: NDArray[np.float32]) -> float:
    """AUC on odd rows of the click rate that each group has on even rows; 0 if not defined."""
    seen, seen_labels, new, new_labels = groups[::2], labels[::2], groups[1::2], labels[1::2]
    size = int(groups.max()) + 1
    clicks = np.bincount(seen, weights=seen_labels, minlength=size)
    rate = (clicks + seen_labels.mean()) / (np.bincount(seen, minlength=size) + 1)
    clicked = np.bincount(new, weights=new_labels, minlength=size)
    others = np.bincount(new, minlength=size) - clicked
    if not clicked.any() or not others.any():
        return 0.0
    # Groups of one rate are ties, of which half are in the right order.
    rates, ties = np.unique(rate, return_inverse=True)
    clicked, others = (np.bincount(ties, x, len(rates)) for x in (clicked, others))
    below = np.cumsum(others) - others / 2
    return float((clicked * below).sum() / (clicked.sum() * others.sum()))


def drift_warnings(
    names: Sequence[str],
    unknown: NDArray[np.int64],
    rows: NDArray[np.int64],
    clicks: NDArray[np.int64],
) -> list[str]:
    """What is different in valid and test.

    Args:
        names: (F,) the categorical columns.
        unknown: (3, F) rows of train, valid and test with the unknown id; -1 where a column has
            no vocabulary.
        rows, clicks: (3,) rows of each part, and those of them with label 1.
    """
    warnings = []
    shares = unknown / np.maximum(rows, 1)[:, None]
    rates = clicks / np.maximum(rows, 1)
    for part in (1, 2):
        # Values that train has too rarely for an id are unknown in train as well: the excess
        # counts. It is told once, for the worst part.
        for i, name in enumerate(names):
            excess = shares[part, i] - shares[0, i]
            if unknown[0, i] < 0 or excess < UNSEEN or (part == 1 and shares[2, i] > shares[1, i]):
                continue
            if part == 2 and shares[1, i] >= shares[2, i]:
                continue
            warnings.append(
                f"column {name!r} drifts: {shares[part, i]:.0%} of its values in {SPLITS[part]} "
                f"have no id from train, where it is {shares[0, i]:.0%}"
            )
        spread = math.sqrt(rates[0] * (1 - rates[0]) / max(1, int(rows[part])))
        change = abs(rates[part] - rates[0])
        if change > 5 * spread and change > RATE_CHANGE * rates[0]:
            warnings.append(
                f"the click rate drifts: {rates[0]:.4f} in train, {rates[part]:.4f} in "
                f"{SPLITS[part]}; scores of train and {SPLITS[part]} are hard to compare"
            )
    return warnings


def shift_warnings(names: Sequence[str], samples: Sequence[NDArray[np.float32]]) -> list[str]:
    """Which numbers are distributed otherwise in valid or test.

    Args:
        names: (D,) the numeric columns.
        samples: of train, valid and test, (n, D) encoded rows from all over the part.
    """
    warnings = []
    train = np.sort(samples[0], axis=0)
    for i, name in enumerate(names):
        distances = [0.0, 0.0]
        for part in (1, 2):
            other, n, m = np.sort(samples[part][:, i]), len(train), len(samples[part])
            if not n or not m:
                continue
            places = np.concatenate([train[:, i], other])
            below = np.searchsorted(train[:, i], places, side="right") / n
            distance = np.abs(below - np.searchsorted(other, places, side="right") / m).max()
            if distance > least_shift(n, m):
                distances[part - 1] = float(distance)
        if max(distances):
            worst = int(np.argmax(distances))
            warnings.append(
                f"column {name!r} drifts: its numbers in {SPLITS[1 + worst]} are distributed "
                f"otherwise than in train (Kolmogorov-Smirnov distance {distances[worst]:.2f})"
            )
    return warnings


def least_shift(n: int, m: int) -> float:
    """From which distance on two distributions of n and m numbers are told to differ: by chance it
    is larger once in a thousand times."""
    return max(SHIFT, 1.95 * math.sqrt((n + m) / max(1, n * m)))


def split_warnings(schema: Schema, spec: SplitSpec) -> list[str]:
    """What a random split hides: that rows have a time, or belong together."""
    if not isinstance(spec, RandomSplit):
        return []
    warnings = []
    if schema.timestamp:
        warnings.append(
            f"rows have a time (column {schema.timestamp.name!r}), and a random split lets models "
            "learn from the future: a split by time tells more (--split time)"
        )
    if schema.group:
        warnings.append(
            f"rows belong together (column {schema.group.name!r}), and a random split lets models "
            "learn a group by heart: a split by group tells more (--split group)"
        )
    return warnings


@dataclass
class RowWatch:
    """Finds rows of valid and test that are in train too, in bounded memory.

    Each row has a 64-bit hash of its encoded features; those below a limit are kept. The limit is
    halved whenever too many are kept, so a row and its repetitions are kept or dropped together,
    and what is found does not depend on the order of rows or the size of chunks.

    Args:
        limit: hashes to keep, of 9 bytes each (twice that while sorting).
    """

    limit: int = 1 << 20

    def __post_init__(self) -> None:
        self._bits = 64
        self._kept: list[NDArray[np.uint64]] = []
        self._parts: list[NDArray[np.uint8]] = []
        self._count = 0

    def add(
        self,
        dense: NDArray[np.float32],
        sparse: NDArray[np.integer[Any]],
        codes: NDArray[np.uint8],
    ) -> None:
        """Take note of rows: (n, n_dense) numbers, (n, n_ids) ids, (n,) parts."""
        self.add_hashes(row_hashes(dense, sparse), codes)

    def add_hashes(self, hashes: NDArray[np.uint64], codes: NDArray[np.uint8]) -> None:
        """Take note of rows by their hashes: (n,) hashes, (n,) parts."""
        kept = self._below(hashes)
        self._kept.append(hashes[kept])
        self._parts.append(codes[kept])
        self._count += int(kept.sum())
        while self._count > self.limit:
            self._bits -= 1
            hashes, codes = np.concatenate(self._kept), np.concatenate(self._parts)
            kept = self._below(hashes)
            self._kept, self._parts = [hashes[kept]], [codes[kept]]
            self._count = int(kept.sum())

    def _below(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        if self._bits == 64:
            return np.ones(len(hashes), dtype=np.bool_)
        return np.asarray(hashes < np.uint64(1 << self._bits))

    def shares(self) -> NDArray[np.float64]:
        """(3,) of each part the share of rows that train has too; of train, 0."""
        shares = np.zeros(len(SPLITS))
        if not self._kept:
            return shares
        hashes, codes = np.concatenate(self._kept), np.concatenate(self._parts)
        train = np.sort(hashes[codes == 0])
        for part in (1, 2):
            of_part = np.sort(hashes[codes == part])
            if len(of_part):
                places = np.minimum(np.searchsorted(train, of_part), len(train) - 1)
                shares[part] = (train[places] == of_part).mean() if len(train) else 0.0
        return shares

    def warnings(self) -> list[str]:
        """One sentence for each part that repeats many rows of train."""
        return [
            f"{share:.0%} of the rows of {name} are in train too, with the same id and number in "
            "every feature (rare values share an id); if these are the same events, remove them "
            "or split by group"
            for name, share in zip(SPLITS, self.shares(), strict=True)
            if share >= REPEATED
        ]


def row_factors(width: int) -> NDArray[np.uint64]:
    """(width,) odd numbers to multiply the columns of a row by, so that their sum is a hash."""
    return mixed(np.arange(1, width + 1, dtype=np.uint64)) | np.uint64(1)


def row_hashes(dense: NDArray[np.float32], sparse: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """(n,) uint64: a hash of all numbers and ids of each row, the same on every machine.

    A sum of products with one odd factor for each column, as it needs no pass over each column.
    """
    factors = row_factors(sparse.shape[1] + dense.shape[1])
    # Adding 0 makes -0.0 and 0.0 the same bytes.
    numbers = (dense + np.float32(0)).view(np.uint32).astype(np.uint64)
    sums = sparse.astype(np.uint64) @ factors[: sparse.shape[1]]
    return mixed(sums + numbers @ factors[sparse.shape[1] :])
