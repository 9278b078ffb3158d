"""The first pass: a raw log, parsed once, becomes parts of plain arrays on disk.

A part holds the rows of one chunk, column by column: labels, what the split goes by, numbers, and
for each categorical column the place of each value in a dictionary of the part, and the dictionary:
the hash of every value that occurs, and its text where that does not follow from the hash. From
then on no text is looked at again: vocabularies grow from the dictionaries, and ids from the
places. A part appears whole or not at all, so a preparation that was killed goes on behind the
last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nasrec.data.encode import CategoricalEncoder, DenseEncoder, spread
from nasrec.data.formats import BadLine, Chunk, Log
from nasrec.data.formats.fields import Kind, Packed, Read
from nasrec.data.hash import MISSING, WORD, distinct, hash_texts
from nasrec.data.layout import id_type
from nasrec.data.part import Part, write_arrays
from nasrec.data.schema import Schema
from nasrec.data.split import ColumnSplit, GroupSplit, SplitSpec, TimeSplit, column_codes
from nasrec.data.times import parse_times
from nasrec.data.values import LARGEST, Rows, clicks_of, faults_of, texts_of, weights_of
from nasrec.errors import DataError

T = TypeVar("T")

PARTS = 4
"""Version of what a part holds: what another version has left is not gone on from."""
LOOKED_AT = 64
"""Numbers that nearly always tell that a column has some."""
WORDS = {"label": "0 or 1", "dense": "finite number", "weight": "number from 0 on"}
"""What a value must be, by its column's role."""


@dataclass(frozen=True)
class Plan:
    """What is taken from each row.

    Args:
        schema: what the columns are.
        split: what the split goes by; None for rows that are all of one part.
        lenient: leave out rows with a wrong value, instead of raising an error.
    """

    schema: Schema
    split: SplitSpec | None
    lenient: bool = False

    @cached_property
    def dense(self) -> tuple[DenseEncoder, ...]:
        """The dense columns, before anything is learnt."""
        return tuple(DenseEncoder(c.name, c.transform or "none") for c in self.schema.dense)

    @cached_property
    def categorical(self) -> tuple[CategoricalEncoder, ...]:
        """The categorical columns, before anything is learnt."""
        return tuple(CategoricalEncoder.of(column) for column in self.schema.categorical)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be read."""
        names = [self.schema.label, *(column.name for column in self.dense)]
        names += [column.name for column in self.categorical]
        if self.schema.weight is not None:
            names.append(self.schema.weight.name)
        if self.schema.group is not None:
            names.append(self.schema.group.name)
        if self._key is not None:
            names.append(self._key)
        return tuple(dict.fromkeys(names))

    @property
    def _key(self) -> str | None:
        """The column that the split goes by."""
        if isinstance(self.split, ColumnSplit):
            return self.split.column
        if isinstance(self.split, TimeSplit) and self.schema.timestamp is not None:
            return self.schema.timestamp.name
        if isinstance(self.split, GroupSplit) and self.schema.group is not None:
            return self.schema.group.name
        return None

    @property
    def kinds(self) -> dict[str, Kind]:
        """How the columns are read from plain text; nothing if some need a data frame anyway."""
        others = self._key, self.schema.weight, self.schema.group
        lists = any(column.multi_valued for column in self.categorical)
        if lists or self.lenient or any(other is not None for other in others):
            return {}
        numbers = {self.schema.label: Kind("number")}
        for column in self.dense:
            logarithm = column.transform == "log1p"
            numbers[column.name] = Kind("logarithm" if logarithm else "number")
        texts = {c.name: Kind(c.hash_as, c.hash_size) for c in self.categorical}
        return numbers | texts

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of a part that the split goes by, as `split_codes` calls them."""
        kinds = {"column": "codes", "group": "groups", "time": "times"}
        return () if self._key is None or self.split is None else (kinds[self.split.kind],)

    def key(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """The groups, and what else the split goes by."""
        group = self.schema.group
        found: dict[str, NDArray[Any]]
        found = {} if group is None else {"groups": hash_texts(texts_of(rows, group.name))}
        if self._key is None or isinstance(self.split, GroupSplit):
            return found
        series = rows.frame[self._key]
        if isinstance(self.split, ColumnSplit):
            return found | {"codes": column_codes(self.split, texts_of(rows, self._key))}
        times, wrong = parse_times(series)
        if times.null_count():
            row = int(times.is_null().arg_max() or 0)
            stamp = repr(series[row]) if wrong[row] else "missing"
            raise DataError(
                f"the time stamp is {stamp}",
                where=rows.place(row, self._key),
                mend="correct or remove the row, or split in another way",
            )
        return found | {"times": times.to_numpy()}

    def without_faults(self, chunk: Chunk) -> Chunk:
        """The chunk without the rows that have a wrong value; these are in its `bad`."""
        checks = [(self.schema.label, "label", np.inf)]
        checks += [(column.name, "dense", column.limit) for column in self.dense]
        if self.schema.weight is not None:
            checks.append((self.schema.weight.name, "weight", LARGEST))
        reasons: dict[int, str] = {}
        for name, role, limit in checks:
            for row in np.flatnonzero(faults_of(chunk.frame[name], role, limit)).tolist():
                value = repr(chunk.frame[name][row])[:100]
                reasons.setdefault(row, f"column {name!r}: {value} is no {WORDS[role]}")
        if isinstance(self.split, TimeSplit) and self._key is not None:
            for row in parse_times(chunk.frame[self._key])[0].is_null().arg_true().to_list():
                reasons.setdefault(row, f"column {self._key!r}: not a time stamp")
        if not reasons:
            return chunk
        bad = list(chunk.bad)
        numbers = chunk.lines
        for row, reason in sorted(reasons.items()):
            line = chunk.first_row + row + 1 if numbers is None else int(numbers[row])
            fields = ["" if value is None else str(value) for value in chunk.frame.row(row)]
            bad.append(BadLine(chunk.file, line, reason, "\t".join(fields).encode()[:1024]))
        kept = np.ones(chunk.frame.height, dtype=np.bool_)
        kept[list(reasons)] = False
        rows = np.flatnonzero(kept)
        lines = chunk.first_row + rows + 1 if numbers is None else numbers[rows]
        return Chunk(
            chunk.frame[rows], chunk.file, lines, chunk.first_row, tuple(sorted(bad)), chunk.next
        )


def stage(chunk: Chunk, plan: Plan, path: Path) -> Part:
    """Write one part.

    Raises:
        DataError: a value is not what the schema says, with its place.
    """
    if plan.lenient:
        chunk = plan.without_faults(chunk)
    plain = {} if chunk.fields is None else chunk.fields.read(plan.kinds)
    read = plain.get(plan.schema.label)
    if read is not None and ((read.values == 0) | (read.values == 1)).all():
        label = read.values
    else:
        label = clicks_of(chunk, plan.schema.label)
    columns: dict[str, NDArray[Any]] = {"label": label.astype(np.uint8)}
    if plan.schema.weight is not None:
        columns["weight"] = weights_of(chunk, plan.schema.weight.name)
    columns |= plan.key(chunk)
    present = []
    for i, number in enumerate(plan.dense):
        read = plain.get(number.name)
        numbers = number.numbers(chunk) if read is None else read.values
        # What needs no statistics is encoded at once: half the bytes. Missing stays NaN, to be
        # counted among the rows of train.
        if number.transform != "standardize" and numbers.dtype != np.float32:
            numbers = number.transformed(numbers)
        present.append(_any_there(numbers))
        columns[f"dense{i}"] = numbers
    slot, widths = 0, []
    for i, category in enumerate(plan.categorical):
        values = _values(chunk, category, plain.get(category.name))
        if category.hashed:
            ids, pad = values.ids().astype(id_type(category.size)), category.size
            present.append(bool(ids.any()))
        else:
            found = distinct(values.hashes())
            present.append(bool((found.hashes != MISSING).any()))
            pad = len(found.hashes)
            ids = found.numbers.astype(id_type(pad))
            columns[f"hashes{i}"] = found.hashes
            if not values.width:
                columns[f"texts{i}"], columns[f"ends{i}"] = values.texts(found.rows)
        widths.append(values.width)
        for row in spread(ids, values.counts, category.slots, pad).T:
            columns[f"id{slot}"] = row
            slot += 1
    arrays = write_arrays(columns, path.with_suffix(".rows"))
    height = len(columns["label"])
    part = Part(path, height, chunk.next, arrays, tuple(present), chunk.bad, tuple(widths))
    part.save()
    return part


def _any_there(numbers: NDArray[Any]) -> bool:
    """Whether any is no NaN."""
    return not (np.isnan(numbers[:LOOKED_AT]).all() and np.isnan(numbers).all())


@dataclass(frozen=True)
class _Values:
    """The values of a categorical column in a chunk; how many each row has, if not one."""

    ids: Callable[[], NDArray[Any]]
    hashes: Callable[[], NDArray[np.uint64]]
    texts: Callable[[NDArray[np.int64]], Packed]
    counts: NDArray[np.int64] | None = None
    width: int = 0
    """Bytes of each text, if the hashes tell the texts."""


def _values(chunk: Chunk, column: CategoricalEncoder, plain: Read | None) -> _Values:
    """The values, with what was read of them from plain text."""
    fields = chunk.fields
    if plain is None or fields is None:
        series, counts = column.texts(chunk)
        return _Values(
            lambda: column.hash(series),
            lambda: hash_texts(series),
            lambda rows: Packed.of(series.gather(rows)),
            counts,
        )

    values = plain.values
    packed = partial(fields.packed, column.name)
    width = plain.width if plain.width <= WORD else 0
    return _Values(lambda: values, lambda: values, packed, width=width)


def stage_log(
    log: Log,
    plan: Plan,
    folder: Path,
    *,
    chunk_bytes: int,
    threads: int,
    after_first: Callable[[Part], None] = lambda part: None,
) -> list[Part]:
    """Write all parts of a log, those that are finished excepted; they are given back in order.

    Args:
        log: the rows; its columns are those of the plan.
        plan: what is taken from each row.
        folder: where the parts are.
        chunk_bytes: of a chunk; the same as of the finished parts.
        threads: chunks worked on at once.
        after_first: is called with the first part, before the others are begun.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    while (path := folder / f"{len(parts):06d}").with_suffix(".json").is_file():
        parts.append(Part.load(path))
    if parts and parts[-1].next is None:
        return parts
    if plan.kinds:
        log = log.located()
    chunks = log.chunks(chunk_bytes=chunk_bytes, start=parts[-1].next if parts else None)
    if not parts:
        parts.append(stage(next(chunks), plan, path))
        after_first(parts[0])

    def jobs() -> Iterator[Callable[[], Part]]:
        for number, chunk in enumerate(chunks, start=len(parts)):
            path = folder / f"{number:06d}"
            # A run with several threads may have been stopped with a later part finished.
            finished = path.with_suffix(".json").is_file()
            yield partial(Part.load, path) if finished else partial(stage, chunk, plan, path)

    done = list(in_order(jobs(), threads))
    return parts + done


def in_order(jobs: Iterator[Callable[[], T]], threads: int) -> Iterator[T]:
    """The results of jobs, in order; few jobs are begun before their turn."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
