"""Between the passes: the encoder, learnt from the train rows of all parts."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.counting import frequent
from nasrec.data.encode import CategoricalEncoder, Encoder, fit_dense, vocabulary
from nasrec.data.hash import texts_of_width
from nasrec.data.part import Part
from nasrec.data.schema import Column
from nasrec.data.split import Codes
from nasrec.data.staging import Plan, in_order
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

    columns = plan.schema.categorical
    slots = np.cumsum([0, *(column.slots for column in columns)]).tolist()
    # The largest first: none is then left to be learnt alone at the end.
    order = sorted(range(len(columns)), key=lambda i: -sum(part.entries(i) for part in parts))
    with ThreadPoolExecutor(threads) as pool:
        learnt = list(pool.map(lambda i: learn(i, columns[i], slots[i]), order))
    return Encoder(dense, [learnt[order.index(i)] for i in range(len(columns))])


def missing_numbers(
    parts: Sequence[Part], codes: Sequence[Codes], plan: Plan, threads: int
) -> dict[str, float]:
    """Share of the train rows without a value, by numeric column; encoded, it looks like 0."""

    def missing(part: Part, part_codes: Codes) -> list[int]:
        train = part_codes == TRAIN
        numbers = part.columns([f"dense{i}" for i in range(len(plan.dense))])
        return [int(train.sum()), *(int((np.isnan(x) & train).sum()) for x in numbers)]

    jobs = (partial(missing, part, c) for part, c in zip(parts, codes, strict=True))
    rows, *counts = map(sum, zip(*in_order(jobs, threads), strict=True))
    return {n.name: count / max(1, rows) for n, count in zip(plan.dense, counts, strict=True)}


def _counts(
    parts: Sequence[Part],
    train: Sequence[NDArray[np.bool_]],
    number: int,
    slots: range,
    column: Column,
) -> pl.DataFrame:
    """`value` and `count` of the values of a column that occur often enough in train."""
    names = [f"hashes{number}", *(f"id{slot}" for slot in slots)]
    hashes, seen = [], []
    for part, rows in zip(parts, train, strict=True):
        known, *ids = part.columns(names)
        hashes.append(known)
        seen.append(_occurrences(ids, rows, len(known)))
    found = frequent(hashes, seen, column.min_count or 1)
    widths = {part.widths[number] for part in parts}
    if len(widths) == 1 and (width := widths.pop()):
        values = texts_of_width(found.hashes, width)
    else:
        begins = np.concatenate([[0], np.cumsum([len(known) for known in hashes])])
        cuts = np.searchsorted(found.places, begins)
        texts = [
            part.texts(number, found.places[low:high] - begin)
            for part, begin, (low, high) in zip(parts, begins, pairwise(cuts), strict=False)
        ]
        values = pl.concat(texts)
    return pl.DataFrame({"value": values, "count": found.counts})


def _occurrences(
    ids: Sequence[NDArray[Any]], train: NDArray[np.bool_], length: int
) -> NDArray[np.uint32]:
    """How often each value of a part's dictionary occurs in train; `ids` of each slot."""
    # The place behind the dictionary stands for "no value".
    counts, kernels = np.zeros(length + 1, dtype=np.uint32), library()
    for slot in ids:
        if kernels is None:
            counts += np.bincount(slot[train], minlength=length + 1).astype(np.uint32)
        else:
            kernels.count_ids(
                ctypes.c_long(len(slot)), ctypes.c_void_p(slot.ctypes.data),
                ctypes.c_long(slot.itemsize), ctypes.c_void_p(train.ctypes.data),
                ctypes.c_void_p(counts.ctypes.data),
            )  # fmt: skip
    return counts[:length]
