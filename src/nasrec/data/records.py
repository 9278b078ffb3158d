"""The second pass: parts become records of the splits; and a look at what was written."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data.batches import Split
from nasrec.data.encode import Encoder
from nasrec.data.hash import MISSING
from nasrec.data.layout import Layout, Records, id_type
from nasrec.data.leaks import RowWatch, drift_warnings, row_factors, shift_warnings
from nasrec.data.part import Part
from nasrec.data.split import SPLITS, Codes, mixed
from nasrec.data.staging import Plan, in_order
from nasrec.data.store import ShardWriter, shards_of
from nasrec.native import library

BLOCK = 1 << 13
"""Rows encoded at a time: their records stay near the processor while columns come and go."""
LOOKED_AT = 1 << 16
"""Rows looked at at a time."""
SAMPLE = 1 << 13
"""Rows of each split, evenly from all over it, whose numbers are compared."""

Columns = dict[str, tuple[NDArray[Any], NDArray[Any] | None]]


def write_records(
    parts: Sequence[Part],
    codes: Sequence[Codes],
    plan: Plan,
    encoder: Encoder,
    layout: Layout,
    folder: Path,
    threads: int,
) -> None:
    """Write the shards of every split; those that are there are not written again."""
    rows = np.array([np.bincount(c, minlength=len(SPLITS)) for c in codes])
    writers = [
        ShardWriter(folder, name, layout, int(count))
        for name, count in zip(SPLITS, rows.sum(axis=0), strict=True)
    ]
    before, ends = np.cumsum(rows, axis=0) - rows, np.cumsum(rows, axis=1)
    todo = [
        number
        for number in range(len(parts))
        if any(writer.row < before[number, i] + rows[number, i] for i, writer in enumerate(writers))
    ]
    jobs = (partial(encode_part, parts[i], codes[i], plan, encoder, layout) for i in todo)
    try:
        for number, records in zip(todo, in_order(iter(jobs), threads), strict=True):
            for writer, there, begin, end in zip(
                writers, before[number], ends[number] - rows[number], ends[number], strict=True
            ):
                done = max(0, writer.row - int(there))
                writer.write(records[int(begin) + done : int(end)])
    finally:
        for writer in writers:
            writer.close()


def encode_part(part: Part, codes: Codes, plan: Plan, encoder: Encoder, layout: Layout) -> Records:
    """The records of all rows of a part, those of each split together."""
    to = np.empty(part.rows, np.int32)
    to[np.argsort(codes, kind="stable")] = np.arange(part.rows, dtype=np.int32)
    slots = sum(category.slots for category in encoder.categorical)
    names = ["label", *(["weight"] * layout.weighted), *(["groups"] * layout.grouped)]
    names += [f"dense{i}" for i in range(layout.n_dense)] + [f"id{i}" for i in range(slots)]
    known = [i for i, category in enumerate(encoder.categorical) if not category.hashed]
    names += [f"hashes{i}" for i in known]
    given = dict(zip(names, part.columns(names), strict=True))
    records = np.zeros(part.rows, dtype=layout.dtype)
    columns: Columns = {"label": (given["label"], None)}
    slot = 0
    for number, category in enumerate(encoder.categorical):
        table = None
        if not category.hashed:
            # The ids of the dictionary; behind it stands "no value", which is stored as `size`.
            table = np.append(category.lookup(given[f"hashes{number}"]), np.int32(category.size))
            table = table.astype(id_type(category.size))
        for _ in range(category.slots):
            columns[f"id{slot}"] = given[f"id{slot}"], table
            slot += 1
    dense = [given[f"dense{i}"] for i in range(layout.n_dense)]
    if layout.weighted:
        records["weight"][to] = given["weight"]
    if layout.grouped:
        records["group"][to] = given["groups"]
    if library() is not None:
        _fill(records, to, [_once_encoded(encoder, i, n) for i, n in enumerate(dense)], columns)
        return records
    for start in range(0, part.rows, BLOCK):
        block = to[start : start + BLOCK]
        for i, numbers in enumerate(dense):
            encoded = _once_encoded(encoder, i, numbers[start : start + BLOCK])
            records["dense"][block, i] = np.where(np.isnan(encoded), 0, encoded)
        for field, (given_values, table) in columns.items():
            values = given_values[start : start + BLOCK]
            records[field][block] = values if table is None else table.take(values)
    return records


def _once_encoded(encoder: Encoder, column: int, numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers of a part in the form of the records; NaN may stay."""
    fitted = encoder.dense[column].transform == "standardize"
    return encoder.dense[column].encode(numbers) if fitted else numbers


class _Column(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("values", "table")),
        *((name, ctypes.c_int64) for name in ("bytes", "stored", "at", "numbers")),
    ]


def _fill(
    records: Records,
    to: NDArray[np.int32],
    dense: Sequence[NDArray[np.float32]],
    columns: Columns,
) -> None:
    """Put numbers and ids into records, by the kernel.

    Args:
        records: (n,) with the other fields.
        to: (n,) which record each row becomes.
        dense: (n,) each.
        columns: of other fields, (n,) what is stored, or places in a table of it.
    """
    kernels, fields = library(), records.dtype.fields
    assert kernels is not None
    assert fields is not None
    jobs = [_Column(x.ctypes.data, None, 4, 4, 4 * i, True) for i, x in enumerate(dense)]
    # To be kept until the kernel has read them.
    tables = {
        field: None if table is None else np.ascontiguousarray(table, fields[field][0])
        for field, (_, table) in columns.items()
    }
    for field, (values, _) in columns.items():
        kind, at = fields[field][:2]
        table = tables[field]
        given = None if table is None else table.ctypes.data
        jobs.append(_Column(values.ctypes.data, given, values.itemsize, kind.itemsize, at, False))
    kernels.fill_records(
        *(ctypes.c_long(size) for size in (len(records), records.itemsize)),
        ctypes.c_void_p(to.ctypes.data), (_Column * len(jobs))(*jobs), ctypes.c_long(len(jobs)),
        ctypes.c_void_p(records.ctypes.data),
    )  # fmt: skip


def clicks_and_warnings(
    folder: Path, rows: Sequence[int], layout: Layout, encoder: Encoder, threads: int
) -> tuple[list[int], list[str]]:
    """The clicks of each split, and what in their rows is suspicious.

    Args:
        folder: has the shards.
        rows: of each split.
        layout: of the records.
        encoder: has written them.
        threads: pieces looked at at once.
    """
    clicks, watch = np.zeros(len(SPLITS), np.int64), RowWatch()
    unknown = np.zeros((len(SPLITS), len(encoder.categorical)), np.int64)
    first = np.cumsum([0, *encoder.slots])[:-1].tolist()
    known = [
        None if c.hashed else f"id{i}" for c, i in zip(encoder.categorical, first, strict=True)
    ]
    factors = row_factors(layout.dtype.itemsize // 4)
    unseen = np.zeros(1, layout.dtype)  # what is no feature
    unseen["label"] = 255
    if layout.grouped:
        unseen["group"] = MISSING

    def look(
        split: Split, start: int, chosen: slice
    ) -> tuple[int, NDArray[np.int64], NDArray[np.uint64], NDArray[np.float32]]:
        records = split.records(start, start + LOOKED_AT)
        found = int(records["label"].sum())
        missing, sums = _zeros_and_sums(records, known, ~unseen.view("<u4"), factors)
        return found, missing, sums, layout.dense(records[chosen])

    samples = []
    for code, name in enumerate(SPLITS):
        step, at, numbers = -(-rows[code] // SAMPLE), 0, [np.empty((0, layout.n_dense), "<f4")]
        for file, count in shards_of(name, rows[code], layout):
            # One shard at a time, as what is mapped into memory counts as memory used.
            shard = Split.stored(name, layout, [(folder / file, count)], 0.0)
            jobs = (
                partial(look, shard, start, slice(-(at + start) % step, None, step))
                for start in range(0, count, LOOKED_AT)
            )
            for found, missing, sums, sample in in_order(jobs, threads):
                numbers.append(sample)
                clicks[code] += found
                unknown[code] += missing
                watch.add_hashes(mixed(sums), np.full(len(sums), code, np.uint8))
            at += count
        samples.append(np.concatenate(numbers))
    unknown[:, [category.hashed for category in encoder.categorical]] = -1
    names = [category.name for category in encoder.categorical]
    drifts = drift_warnings(names, unknown, np.array(rows), clicks)
    shifts = shift_warnings([column.name for column in encoder.dense], samples)
    return clicks.tolist(), [*drifts, *shifts, *watch.warnings()]


class _Field(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("at", "bytes", "zeros")]


def _zeros_and_sums(
    records: Records,
    names: Sequence[str | None],
    masks: NDArray[np.uint32],
    factors: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """In how many rows each field is 0, 0 for None; and (n,) the sum of each record's words of 32
    bits, masked, times the factors."""
    kernels, kinds, zeros = library(), records.dtype.fields, np.zeros(len(names), np.int64)
    assert kinds is not None
    there = [(i, name) for i, name in enumerate(names) if name is not None]
    if kernels is None:
        for i, name in there:
            zeros[i] = np.count_nonzero(records[name] == 0)
        words = records.view("<u4").reshape(len(records), -1) & masks
        return zeros, words.astype(np.uint64) @ factors
    fields = [_Field(kinds[name][1], kinds[name][0].itemsize, 0) for _, name in there]
    jobs, sums = (_Field * len(fields))(*fields), np.empty(len(records), np.uint64)
    kernels.look_at_records(
        ctypes.c_long(len(records)), ctypes.c_long(len(masks)),
        *(ctypes.c_void_p(x.ctypes.data) for x in (records, masks, factors, sums)),
        jobs, ctypes.c_long(len(jobs)),
    )  # fmt: skip
    for (i, _), job in zip(there, jobs, strict=True):
        zeros[i] = job.zeros
    return zeros, sums


def codes_of_parts(parts: Sequence[Part], codes: Codes) -> Iterator[Codes]:
    """The codes of the rows of each part."""
    at = 0
    for part in parts:
        yield codes[at : at + part.rows]
        at += part.rows
