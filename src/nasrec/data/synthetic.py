"""A click log whose truth is known, so that the best reachable score is known too.

The log odds of a click are a sum of parts with planted sizes (standard deviations over rows):

- first order: one number for each value of each field, and one slope for each numeric column;
- pairs: inner products of hidden vectors of two fields. The vectors have the mean `aligned`:
  at 0 a model that adds up its features sees nothing of the pairs, and gradient descent has
  no first hint of them; the larger, the more of them adds up;
- triples and quads: sums of products of three and of four hidden vectors;
- gates: a numeric column whose slope depends on a categorical value, in sign too.

- drift: on request, one number for each value of each field whose sign turns while time goes by:
  what is learnt from the first rows is wrong for the last.

Ids follow a long-tailed (Zipf) law, numbers are heavy-tailed counts, some values are missing.
`probability` computes the true click probability of any rows of the log, so its log loss is the
Bayes-optimal one. `write_csv` writes logs of any size, a block at a time.

The defaults are such that 80,000 rows teach a model with products of embeddings most of the way
from the base rate to Bayes (a DLRM 88 % in three epochs of Adagrad at 0.2 and batch 128), while a
logistic regression ends at 46 % and an MLP in the same three epochs at 54 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.errors import ConfigError, DataError
from nasrec.files import written_aside

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
_CALIBRATION_ROWS = 20_000
"""Rows to measure the sizes of the parts on; fixes the truth, so it is not a setting."""
BLOCK_ROWS = 1 << 17
"""Rows drawn at once when a log is written; fixes which rows those are."""
BEGIN, SPAN = 1_700_000_000, 30 * 86_400
"""First moment of a log with drift, in seconds since 1970, and its length in seconds."""


class Written(NamedTuple):
    """What was written: `log_loss` is that of the true probabilities on the labels drawn, and
    `entropy` its expectation given the features, both a row."""

    rows: int
    clicks: int
    log_loss: float
    entropy: float


class _Truth(NamedTuple):
    """The tables that clicks are computed from, one for each column."""

    slopes: Floats
    first: list[Floats]
    hidden: list[Floats]
    gates: list[Floats]
    drift: list[Floats]


@dataclass(frozen=True)
class SyntheticLog:
    """A generator of click logs with one truth.

    Args:
        n_dense: numeric columns, `I1` and on.
        n_sparse: categorical columns, `C1` and on; 3 or more for triples to exist.
        vocabulary: number of values of each categorical column; one number is for all, and a
            shorter tuple is repeated.
        click_rate: share of clicks to come near to.
        first, pairs, triples, quads, gates, drift: size of each part of the log odds (see the
            module). With a drift the log has a column `time`, in seconds.
        aligned: mean of every hidden coordinate, whose standard deviation is 1.
        rank: width of the hidden vectors.
        zipf: exponent of the law of the ids; 0 is uniform.
        missing: share of values that are missing, in every column.
        seed: fixes the truth; rows also depend on `stream` of `generate`.
    """

    n_dense: int = 4
    n_sparse: int = 6
    vocabulary: int | tuple[int, ...] = (30, 40, 50, 60, 80, 100)
    click_rate: float = 0.25
    first: float = 0.5
    pairs: float = 2.2
    triples: float = 0.2
    gates: float = 0.4
    aligned: float = 0.3
    rank: int = 4
    zipf: float = 0.8
    missing: float = 0.03
    seed: int = 0
    quads: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.vocabulary,) if isinstance(self.vocabulary, int) else self.vocabulary
        if self.n_dense < 0 or self.n_sparse < 0 or self.n_dense + self.n_sparse == 0:
            raise ConfigError("a synthetic log needs at least one column")
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"vocabulary {self.vocabulary!r}: sizes must be 1 or more")
        if not 0 < self.click_rate < 1 or not 0 <= self.missing < 1:
            raise ConfigError("click_rate must be between 0 and 1, missing from 0 to below 1")

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of values of each categorical column."""
        sizes = (self.vocabulary,) if isinstance(self.vocabulary, int) else self.vocabulary
        return tuple(sizes[i % len(sizes)] for i in range(self.n_sparse))

    def generate(self, rows: int, *, stream: int = 0) -> pl.DataFrame:
        """Draw rows: `label` (0/1), `I1`.. (integers), `C1`.. (texts), nulls where missing.

        Different streams are independent draws from the same truth: say, train and test.
        """
        return self._block(rows, [stream], self._times(0, rows, rows))[0]

    def probability(self, frame: pl.DataFrame) -> Floats:
        """(n,) the true click probability of rows, from their features alone.

        Raises:
            DataError: a column is not there, or holds a value this log does not have.
        """
        numbers = np.empty((frame.height, self.n_dense))
        ids = np.empty((frame.height, self.n_sparse), dtype=np.int64)
        times = np.zeros(frame.height)
        try:
            for i in range(self.n_dense):
                numbers[:, i] = frame[f"I{i + 1}"].cast(pl.Float64).fill_null(float("nan"))
            for i, size in enumerate(self.vocabulary_sizes):
                column = frame[f"C{i + 1}"].cast(pl.String).str.strip_prefix(f"c{i + 1}_")
                values = column.cast(pl.Int64).fill_null(size).to_numpy()
                if len(values) and not 0 <= values.min() <= values.max() <= size:
                    raise DataError(f"a value of 'C{i + 1}' is not from this synthetic log")
                ids[:, i] = values
            if self.drift:
                times = frame["time"].cast(pl.Float64).to_numpy()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"not rows of this synthetic log: {error}") from error
        return self._probability(numbers, ids, times)

    def write_csv(self, path: str | Path, rows: int, *, stream: int = 0) -> Written:
        """Write rows as CSV, a block at a time.

        The first block has the rows that `generate` gives; memory does not grow with `rows`.
        """
        clicks, losses, entropies = 0, 0.0, 0.0
        with written_aside(Path(path)) as aside, aside.open("wb") as file:
            for block, first in enumerate(range(0, max(rows, 1), BLOCK_ROWS)):
                count = min(BLOCK_ROWS, rows - first)
                key = [stream] if block == 0 else [stream, 0, block]
                frame, p = self._block(count, key, self._times(first, count, rows))
                frame.write_csv(file, include_header=block == 0)
                labels = frame["label"].to_numpy()
                p = np.clip(p, 1e-15, 1 - 1e-15)
                clicks += int(labels.sum())
                losses -= float(np.log(np.where(labels == 1, p, 1 - p)).sum())
                entropies -= float((p * np.log(p) + (1 - p) * np.log1p(-p)).sum())
        return Written(rows, clicks, losses / max(rows, 1), entropies / max(rows, 1))

    def _times(self, first: int, count: int, total: int) -> Floats:
        """Whole seconds, evenly spaced over the rows of a log."""
        place = np.arange(first, first + count) / max(total, 1)
        return BEGIN + np.floor(SPAN * place)

    def _block(self, rows: int, key: list[int], times: Floats) -> tuple[pl.DataFrame, Floats]:
        numbers, ids = self._features(rows, key)
        probability = self._probability(numbers, ids, times)
        draw = np.random.default_rng([self.seed, key[0], 1, *key[2:]]).random(rows)
        columns: dict[str, Any] = {"label": (draw < probability).astype(np.int8)}
        if self.drift:
            columns["time"] = times.astype(np.int64)
        for i in range(self.n_dense):
            counts = pl.Series(numbers[:, i]).fill_nan(None)
            columns[f"I{i + 1}"] = counts.cast(pl.Int64)
        for i, size in enumerate(self.vocabulary_sizes):
            values = pl.Series(ids[:, i])
            names = pl.concat_str(pl.lit(f"c{i + 1}_"), values.cast(pl.String))
            columns[f"C{i + 1}"] = pl.select(pl.when(values < size).then(names)).to_series()
        return pl.DataFrame(columns), probability

    def _features(self, rows: int, key: list[int]) -> tuple[Floats, Ids]:
        """Counts (rows, n_dense), NaN where missing, and ids (rows, n_sparse), missing last."""
        rng = np.random.default_rng([self.seed, *key])
        numbers = np.floor(np.exp(rng.normal(2.0, 1.5, (rows, self.n_dense))))
        numbers[rng.random(numbers.shape) < self.missing] = np.nan
        ids = np.empty((rows, self.n_sparse), dtype=np.int64)
        for i, size in enumerate(self.vocabulary_sizes):
            ids[:, i] = np.minimum(np.searchsorted(self._ends[i], rng.random(rows)), size - 1)
            ids[rng.random(rows) < self.missing, i] = size
        return numbers, ids

    @cached_property
    def _ends(self) -> list[Floats]:
        """For each categorical column the probability of its values up to each one."""
        ends = []
        for size in self.vocabulary_sizes:
            weights = np.arange(1, size + 1) ** -self.zipf
            ends.append(np.cumsum(weights / weights.sum()))
        return ends

    @cached_property
    def _truth(self) -> _Truth:
        rng = np.random.default_rng([self.seed, 2**20])
        truth = _Truth(rng.normal(size=self.n_dense), [], [], [], [])
        for size in self.vocabulary_sizes:
            truth.first.append(rng.normal(size=size + 1))
            hidden = rng.normal(size=(size + 1, self.rank))
            weights = np.append(np.arange(1, size + 1) ** -self.zipf, 0.0)
            hidden -= (weights / weights.sum()) @ hidden
            hidden += self.aligned
            truth.hidden.append(hidden)
            if self.n_dense:
                truth.gates.append(rng.normal(size=size + 1))
        if self.drift:
            turning = np.random.default_rng([self.seed, 2**20, 1])
            truth.drift.extend(turning.normal(size=size + 1) for size in self.vocabulary_sizes)
        return truth

    def _parts(self, numbers: Floats, ids: Ids, times: Floats) -> list[Floats]:
        """The unscaled parts of the log odds, (n,) each, in the order of `_sizes`."""
        truth, n = self._truth, len(numbers)
        first, gates = np.zeros(n), np.zeros(n)
        # log1p of the counts, standardised by the known law; missing is average.
        scaled = np.nan_to_num((np.log1p(np.nan_to_num(numbers, nan=np.e**2)) - 2.2) / 1.3)
        first += scaled @ truth.slopes
        vectors = []
        for i in range(self.n_sparse):
            first += truth.first[i][ids[:, i]]
            vectors.append(truth.hidden[i][ids[:, i]])
            if self.n_dense:
                gates += truth.gates[i][ids[:, i]] * scaled[:, i % self.n_dense]
        pairs, triples, quads = np.zeros(n), np.zeros(n), np.zeros(n)
        for a, b in combinations(range(self.n_sparse), 2):
            pairs += (vectors[a] * vectors[b]).sum(axis=1)
        for a in range(self.n_sparse - 2):
            triples += (vectors[a] * vectors[a + 1] * vectors[a + 2]).sum(axis=1)
        parts = [first, pairs, triples, gates]
        if self.quads:
            for a in range(self.n_sparse - 3):
                quads += np.prod(vectors[a : a + 4], axis=0).sum(axis=1)
            parts.append(quads)
        if self.drift:
            turning = np.zeros(n)
            for i, table in enumerate(truth.drift):
                turning += table[ids[:, i]]
            # From 1 at the beginning to -1 at the end.
            parts.append(turning * (1 - 2 * (times - BEGIN) / SPAN))
        return parts

    @property
    def _sizes(self) -> list[float]:
        """The wanted sizes of the parts; those that are not wanted cost nothing."""
        sizes = [self.first, self.pairs, self.triples, self.gates]
        return sizes + [size for size in (self.quads, self.drift) if size]

    @cached_property
    def _scales(self) -> tuple[list[float], float]:
        """The factor of each part and the bias, measured on rows of their own."""
        times = self._times(0, _CALIBRATION_ROWS, _CALIBRATION_ROWS)
        parts = self._parts(*self._features(_CALIBRATION_ROWS, [2**20]), times)
        factors = [
            size / float(part.std()) if part.std() > 0 else 0.0
            for size, part in zip(self._sizes, parts, strict=True)
        ]
        logit = sum((f * part for f, part in zip(factors, parts, strict=True)), np.zeros(1))
        low, high = -30.0, 30.0
        for _ in range(60):
            bias = (low + high) / 2
            if _sigmoid(logit + bias).mean() < self.click_rate:
                low = bias
            else:
                high = bias
        return factors, bias

    def _probability(self, numbers: Floats, ids: Ids, times: Floats) -> Floats:
        factors, bias = self._scales
        logit = np.full(len(numbers), bias)
        for factor, part in zip(factors, self._parts(numbers, ids, times), strict=True):
            logit += factor * part
        return _sigmoid(logit)


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
