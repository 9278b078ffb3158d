"""Between the passes: the encoder, learnt from the train rows of all parts."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.counting import frequent
from nasrec.data.encode import CategoricalEncoder, Encoder, fit_dense, vocabulary
from nasrec.data.schema import Column
from nasrec.data.split import Codes
from nasrec.data.staging import Part, Plan, in_order
from nasrec.files import written_aside
from nasrec.native import library

TRAIN = 0


def fit(
    parts: Sequence[Part], codes: Sequence[Codes], plan: Plan, folder: Path, threads: int
) -> Encoder:
    """Learn the encoder.

    Args:
        parts: all of the log.
        codes: the split of the rows of each.
        plan: what is in them.
        folder: vocabularies that are there from an earlier run are used again; new ones are kept.
        threads: columns worked on at once.
    """
    train = [part_codes == TRAIN for part_codes in codes]

    def numbers(column: int) -> Iterator[NDArray[np.float64]]:
        for part, rows in zip(parts, train, strict=True):
            yield part.column(f"dense{column}")[rows]

    dense = [fit_dense(number, partial(numbers, i)) for i, number in enumerate(plan.dense)]
    folder.mkdir(exist_ok=True)

    def learn(number: int, column: Column, slot: int) -> CategoricalEncoder:
        if column.hash_size is not None:
            return CategoricalEncoder.of(column)
        file = folder / f"{number}.parquet"
        if not file.is_file():
            counts = _counts(parts, train, number, range(slot, slot + column.slots), column)
            learnt = vocabulary(counts, column).alias("value").to_frame()
            with written_aside(file) as aside:
                learnt.write_parquet(aside, compression="uncompressed")
        return CategoricalEncoder.of(column, pl.read_parquet(file, glob=False)["value"])

    slots = np.cumsum([0, *(column.slots for column in plan.schema.categorical)]).tolist()
    jobs = (
        partial(learn, i, c, s)
        for i, (c, s) in enumerate(zip(plan.schema.categorical, slots, strict=False))
    )
    return Encoder(dense, list(in_order(jobs, threads)))


def missing_numbers(parts: Sequence[Part], codes: Sequence[Codes], plan: Plan) -> dict[str, float]:
    """Share of the train rows without a value, by numeric column; encoded, it looks like 0."""
    rows = max(1, sum(int((part_codes == TRAIN).sum()) for part_codes in codes))
    return {
        number.name: sum(
            np.count_nonzero(np.isnan(part.column(f"dense{i}")) & (part_codes == TRAIN))
            for part, part_codes in zip(parts, codes, strict=True)
        )
        / rows
        for i, number in enumerate(plan.dense)
    }


def _counts(
    parts: Sequence[Part],
    train: Sequence[NDArray[np.bool_]],
    number: int,
    slots: range,
    column: Column,
) -> pl.DataFrame:
    """`value` and `count` of the values of a column that occur often enough in train."""
    seen = [
        _occurrences(part, rows, slots, part.arrays[f"hashes{number}"][2])
        for part, rows in zip(parts, train, strict=True)
    ]
    hashes = partial(map, lambda part: part.hashes(number), parts)
    places, counts = frequent(hashes, seen, column.min_count or 1)
    begins = np.concatenate([[0], np.cumsum([len(counts) for counts in seen])])
    cuts = np.searchsorted(places, begins)
    texts = [
        part.texts(number, places[low:high] - begin)
        for part, begin, (low, high) in zip(parts, begins, pairwise(cuts), strict=False)
        if low < high
    ]
    values = pl.concat(texts) if texts else pl.Series([], dtype=pl.String)
    return pl.DataFrame({"value": values, "count": counts})


def _occurrences(
    part: Part, train: NDArray[np.bool_], slots: range, length: int
) -> NDArray[np.uint32]:
    """How often each value of a part's dictionary occurs in train."""
    # The place behind the dictionary stands for "no value".
    counts, kernels = np.zeros(length + 1, dtype=np.uint32), library()
    for slot in slots:
        ids = part.column(f"id{slot}")
        if kernels is None:
            counts += np.bincount(ids[train], minlength=length + 1).astype(np.uint32)
        else:
            kernels.count_ids(
                ctypes.c_long(len(ids)), ctypes.c_void_p(ids.ctypes.data),
                ctypes.c_long(ids.itemsize), ctypes.c_void_p(train.ctypes.data),
                ctypes.c_void_p(counts.ctypes.data),
            )  # fmt: skip
    return counts[:length]
