"""Between the passes: the encoder, learnt from the train rows of all parts.

A vocabulary is counted by ranges of the hash: as every dictionary is in order of the hash, a range
is one slice of each, and what is in memory at a time is a few million values, however many there
are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.encode import CategoricalEncoder, Encoder, fit_dense, vocabulary
from nasrec.data.hash import distinct
from nasrec.data.schema import Column
from nasrec.data.split import Codes
from nasrec.data.staging import Part, Plan, in_order
from nasrec.files import written_aside
from nasrec.native import library

RANGE = 1 << 20
"""Values counted at a time: their hashes and counts stay near the processor."""
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
            with written_aside(file) as aside:
                vocabulary(counts, column).alias("value").to_frame().write_parquet(aside)
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
    lengths = [len(part.hashes(number)) for part in parts]
    ranges = 1 << max(0, (sum(lengths) // RANGE).bit_length())
    edges = [(i << 64) // ranges for i in range(1, ranges)]
    cuts = [
        np.concatenate(
            [[0], np.searchsorted(part.hashes(number), np.array(edges, np.uint64)), [length]]
        ).astype(np.int64)
        for part, length in zip(parts, lengths, strict=True)
    ]
    seen = [
        _occurrences(part, rows, slots, length)
        for part, rows, length in zip(parts, train, lengths, strict=True)
    ]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    begins = np.concatenate([[0], np.cumsum(lengths)])
    for i in range(ranges):
        pieces = [slice(int(cut[i]), int(cut[i + 1])) for cut in cuts]
        hashes = np.concatenate([p.hashes(number)[s] for p, s in zip(parts, pieces, strict=True)])
        if not len(hashes):
            continue
        counts = np.concatenate([c[s] for c, s in zip(seen, pieces, strict=True)])
        _, numbers, first = distinct(hashes)
        total = np.bincount(numbers, counts, len(first)).astype(np.int64)  # exact below 2**53
        kept = total >= (column.min_count or 1)
        # Which value of which part has each hash; any will do, as they are the same text.
        sizes = np.array([s.stop - s.start for s in pieces])
        local = first[kept]
        of = np.searchsorted(np.cumsum(sizes), local, side="right")
        before = np.cumsum(sizes) - sizes
        starts = np.array([s.start for s in pieces])
        found.append((begins[of] + starts[of] + local - before[of], total[kept]))
    places = np.concatenate([f[0] for f in found]) if found else np.empty(0, np.int64)
    counts = np.concatenate([f[1] for f in found]) if found else np.empty(0, np.int64)
    order = np.argsort(places)
    places, counts = places[order], counts[order]
    texts = []
    for part_number, part in enumerate(parts):
        low, high = np.searchsorted(places, begins[part_number : part_number + 2])
        texts.append(part.texts(number, places[low:high] - begins[part_number]))
    return pl.DataFrame({"value": pl.concat(texts), "count": counts})


def _occurrences(
    part: Part, train: NDArray[np.bool_], slots: range, length: int
) -> NDArray[np.uint32]:
    """How often each value of a part's dictionary occurs in train."""
    # The place behind the dictionary stands for "no value".
    counts, kernels = np.zeros(length + 1, dtype=np.int64), library()
    for slot in slots:
        ids = part.column(f"id{slot}")
        if kernels is None:
            counts += np.bincount(ids[train], minlength=length + 1)
        else:
            kernels.count_ids(
                ctypes.c_long(len(ids)), ctypes.c_void_p(ids.ctypes.data),
                ctypes.c_long(ids.itemsize), ctypes.c_void_p(train.ctypes.data),
                ctypes.c_void_p(counts.ctypes.data),
            )  # fmt: skip
    return counts[:length].astype(np.uint32)
