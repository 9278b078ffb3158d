"""Which rows are train, valid and test: pure functions from whole-log vectors to codes.

Every function gives (n,) uint8: the index into `SPLITS`. They need few bytes a row, so that logs
of hundreds of millions of rows can be split in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from nasrec.errors import ConfigError, DataError

SPLITS = ("train", "valid", "test")
Codes = NDArray[np.uint8]
Vector = TypeVar("Vector", bound=NDArray[Any])
Fractions = tuple[float, float, float]
DEFAULT_FRACTIONS: Fractions = (0.8, 0.1, 0.1)
BLOCK = 1 << 20
"""Rows handled at once, to need no memory beyond the codes."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Fractional(_Spec):
    fractions: Fractions = DEFAULT_FRACTIONS

    @model_validator(mode="after")
    def _sum_is_one(self) -> Self:
        check_fractions(self.fractions)
        return self


class RandomSplit(_Fractional):
    """Rows at random, each part with its fraction of clicks and of non-clicks.

    Args:
        fractions: of train, valid and test.
        seed: which of the random splits.
    """

    kind: Literal["random"] = "random"
    seed: int = Field(default=0, ge=0)


class TimeSplit(_Fractional):
    """The oldest rows train, the latest test; rows of one time stay together.

    Args:
        fractions: of the rows, as near as the time stamps allow.
    """

    kind: Literal["time"] = "time"


class GroupSplit(_Fractional):
    """All rows of a group (a user, a session) in one part, groups at random.

    Args:
        fractions: of the groups, and so about of the rows.
        seed: which of the random splits.
    """

    kind: Literal["group"] = "group"
    seed: int = Field(default=0, ge=0)


class ColumnSplit(_Spec):
    """By the values of a column: those named are valid and test, all others train.

    Args:
        column: its name.
        valid, test: the values, as text.
    """

    kind: Literal["column"] = "column"
    column: str
    valid: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted(set(self.valid) & set(self.test)):
            raise ValueError(f"{', '.join(both)} cannot be both valid and test")
        return self


class FoldSplit(_Spec):
    """Stratified folds, shuffled: the protocol of the published CTR benchmarks.

    The folds are those of scikit-learn's `StratifiedKFold(folds, shuffle=True,
    random_state=seed)`; the last but one is valid, the last test.

    Args:
        folds: how many.
        seed: of the shuffle.
    """

    kind: Literal["folds"] = "folds"
    folds: int = Field(default=10, ge=3, le=255)
    seed: int = Field(default=2018, ge=0, lt=2**32)


SplitSpec = Annotated[
    RandomSplit | TimeSplit | GroupSplit | ColumnSplit | FoldSplit, Field(discriminator="kind")
]
"""How to split a log. Files given separately need no spec: see `parts` of `split_codes`."""

_ADAPTER: TypeAdapter[RandomSplit | TimeSplit | GroupSplit | ColumnSplit | FoldSplit] = TypeAdapter(
    SplitSpec
)
EXAMPLES = "random, time, group, folds, random:0.7,0.2,0.1 or column:day:6:7|8"


def parse_split(text: str, seed: int = 0) -> SplitSpec:
    """A split written in one word, as on the command line.

    `random`, `time` and `group` may name fractions (`time:0.7,0.2,0.1`), `folds` their number
    (`folds:5`); `column:NAME:VALID:TEST` names values, several with `|` between them.

    Args:
        text: the word.
        seed: of random and group splits; folds keep the seed of their protocol.

    Raises:
        ConfigError: not such a word, or values out of range.
    """
    kind, *rest = text.split(":")
    content: dict[str, object] = {"kind": kind}
    if kind in ("random", "group"):
        content["seed"] = seed
    try:
        if kind == "column":
            name, valid, test = rest
            content |= {"column": name, "valid": valid.split("|"), "test": test.split("|")}
        elif kind == "folds" and rest:
            (content["folds"],) = rest
        elif rest:
            (fractions,) = rest
            content["fractions"] = tuple(float(part) for part in fractions.split(","))
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors())
        raise ConfigError(f"not a split: {text!r} ({faults})", mend=f"say {EXAMPLES}") from error
    except ValueError as error:
        raise ConfigError(f"not a split: {text!r}", mend=f"say {EXAMPLES}") from error


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise a `ConfigError` unless all are above 0 and their sum is 1."""
    if any(not fraction > 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"split fractions {tuple(fractions)} are not all above 0 with sum 1",
            mend="for instance 0.8 0.1 0.1",
        )


def split_codes(
    spec: SplitSpec,
    labels: NDArray[np.uint8],
    *,
    times: NDArray[np.int64] | None = None,
    groups: NDArray[np.uint64] | None = None,
    codes: Codes | None = None,
    parts: Sequence[int] = (0, 1, 2),
) -> Codes:
    """The part of every row.

    Args:
        spec: how to split.
        labels: (n,) 0 or 1.
        times: (n,) time stamps, for a split by time.
        groups: (n,) hashes of the groups, for a split by group.
        codes: (n,) what `column_codes` gave, for a split by a column.
        parts: which parts to make from these rows; the others come from files of their own, and
            the fractions of those that are made keep their proportion.

    Raises:
        ConfigError: a spec that goes with other parts than all three, or lacks its column.
        DataError: a part that would be empty.
    """
    rows = len(labels)
    if tuple(parts) == (0,):
        return np.zeros(rows, dtype=np.uint8)
    if isinstance(spec, ColumnSplit | FoldSplit):
        if tuple(parts) != (0, 1, 2):
            raise ConfigError(
                f"a split by {spec.kind} makes train, valid and test",
                mend="give no separate files with it, or split at random, by time or by group",
            )
        if isinstance(spec, FoldSplit):
            found = _by_folds(labels, spec)
        else:
            found = _present(codes, "column")
    else:
        shares = np.array([spec.fractions[part] for part in parts])
        if len(parts) < len(SPLITS):
            shares /= sum(shares.tolist())
        ends = np.cumsum(shares)[:-1]
        if isinstance(spec, RandomSplit):
            found = _at_random(labels, ends, spec.seed)
        elif isinstance(spec, TimeSplit):
            found = _by_time(_present(times, "timestamp"), ends)
        else:
            found = _by_group(_present(groups, "group"), ends, spec.seed)
        found = np.asarray(parts, dtype=np.uint8)[found]
    counts = np.bincount(found, minlength=len(SPLITS))
    for part in parts:
        if not counts[part]:
            raise DataError(
                f"the {SPLITS[part]} part would have no rows",
                where=f"split by {spec.kind} of {rows} rows",
                mend="choose other fractions or values, or another kind of split",
            )
    return found


def column_codes(spec: ColumnSplit, values: pl.Series) -> Codes:
    """The part of each row of a chunk by the text of a column; missing values are train."""
    texts = values.cast(pl.String)
    codes = np.zeros(len(texts), dtype=np.uint8)
    for code, names in ((1, spec.valid), (2, spec.test)):
        codes[texts.is_in(names).fill_null(False).to_numpy()] = code
    return codes


def _present(values: Vector | None, role: str) -> Vector:
    if values is None:
        raise ConfigError(
            f"there is no {role} to split by",
            mend=f"give a column the role {role!r} in the schema, or split in another way",
        )
    return values


def _at_random(labels: NDArray[np.uint8], ends: NDArray[np.float64], seed: int) -> Codes:
    """Each row has a key, raw PCG64 output (which numpy promises never to change), and each class
    is cut where the ranks of the keys say. The keys are drawn again for each pass, not kept."""
    codes = np.zeros(len(labels), dtype=np.uint8)
    top = np.zeros((2, 1 << 16), dtype=np.int64)
    for rows, keys in _keys(len(labels), seed):
        for label in (0, 1):
            of_class = keys[labels[rows] == label]
            top[label] += np.bincount(of_class >> np.uint64(48), minlength=1 << 16)
    cuts: list[list[np.uint64]] = [[], []]
    for label in (0, 1):
        below = np.cumsum(top[label])
        count = int(below[-1])
        for rank in np.round(ends * count).astype(np.int64).tolist():
            if rank >= count:
                continue
            # The key of this rank is in the bin where the count passes it: find it exactly.
            bin_ = int(np.searchsorted(below, rank, side="right"))
            inside = [
                keys[(labels[rows] == label) & (keys >> np.uint64(48) == bin_)]
                for rows, keys in _keys(len(labels), seed)
            ]
            place = rank - (int(below[bin_ - 1]) if bin_ else 0)
            cuts[label].append(np.sort(np.concatenate(inside))[place])
    for rows, keys in _keys(len(labels), seed):
        for label in (0, 1):
            for cut in cuts[label]:
                codes[rows] += (labels[rows] == label) & (keys >= cut)
    return codes


def _keys(rows: int, seed: int) -> Iterator[tuple[slice, NDArray[np.uint64]]]:
    generator = np.random.PCG64(seed)
    for low in range(0, rows, BLOCK):
        high = min(low + BLOCK, rows)
        yield slice(low, high), generator.random_raw(high - low)


def _by_time(times: NDArray[np.int64], ends: NDArray[np.float64]) -> Codes:
    ranks = np.minimum(np.round(ends * len(times)).astype(np.int64), len(times) - 1)
    cuts = np.partition(times, ranks)[ranks]
    codes = np.zeros(len(times), dtype=np.uint8)
    for cut in cuts:
        codes += times >= cut
    return codes


def _by_group(groups: NDArray[np.uint64], ends: NDArray[np.float64], seed: int) -> Codes:
    codes = np.zeros(len(groups), dtype=np.uint8)
    salt = np.random.PCG64(seed).random_raw()
    for low in range(0, len(groups), BLOCK):
        part = slice(low, low + BLOCK)
        uniform = mixed(groups[part] ^ np.uint64(salt)) >> np.uint64(11)
        for end in ends:
            codes[part] += uniform >= np.uint64(end * 2.0**53)
    return codes


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit numbers evenly, one to one: the finaliser of SplitMix64 (Steele, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _by_folds(labels: NDArray[np.uint8], spec: FoldSplit) -> Codes:
    codes = np.zeros(len(labels), dtype=np.uint8)
    of_fold = np.maximum(np.arange(spec.folds) - (spec.folds - 3), 0).astype(np.uint8)
    generator = np.random.RandomState(spec.seed)
    first = int(labels[0]) if len(labels) else 0
    # Classes in the order in which they first appear. Each fold gets as many rows of a class as
    # every `folds`-th place of the sorted labels holds, which keeps the folds equally large.
    begin = 0
    for label in (first, 1 - first):
        rows = np.flatnonzero(labels == label)
        places = np.arange(begin, begin + spec.folds)
        # How many of the places begin .. begin + rows - 1 are fold i modulo the number of folds.
        counts = np.zeros(spec.folds, dtype=np.int64)
        counts[places % spec.folds] = -(-(len(rows) - np.arange(spec.folds)) // spec.folds)
        of_class = np.repeat(np.arange(spec.folds, dtype=np.uint8), np.maximum(counts, 0))
        generator.shuffle(of_class)
        codes[rows] = of_fold.take(of_class)
        begin += len(rows)
    return codes
