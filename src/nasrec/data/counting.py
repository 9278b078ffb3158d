"""Which values of a column occur often, counted over dictionaries that do not fit into memory.

Most values of a long tail are rare and get no id. So counts are first added to sums of one byte
that several values may share, as in a count-min sketch (Cormode and Muthukrishnan, 2005): a value
whose sum stays below the least count cannot reach it. Those that are left are counted in a table,
each for itself; if they are many, a range of their hashes at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasrec.native import library

RANGE = 1 << 21
"""Values counted at a time, about: their table has at most four places of 24 bytes for each."""
SUMS = 10, 28
"""Bounds of the logarithm of the number of sums. There are one or two for each entry of the
dictionaries, up to a quarter of a gigabyte."""
FULL = 255
"""A sum that nothing is added to any more."""

Hashes = Sequence[NDArray[np.uint64]]
Counts = Sequence[NDArray[np.uint32]]


class Frequent(NamedTuple):
    """Values in order of their places: (n,) their hashes, where each is, with the dictionaries one
    after the other, and their counts."""

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]


def frequent(hashes: Hashes, counts: Counts, least: int) -> Frequent:
    """The values that occur at least so often in all.

    Args:
        hashes: of each dictionary; best mapped from a file.
        counts: how often each of them occurs there.
        least: 1 or more.
    """
    found = list((_counted if library() is not None else _sorted)(hashes, counts, least))
    order = np.argsort(np.concatenate([values.places for values in found]))
    return Frequent(
        np.concatenate([values.hashes for values in found])[order],
        np.concatenate([values.places for values in found])[order],
        np.concatenate([values.counts for values in found])[order],
    )


def _counted(hashes: Hashes, counts: Counts, least: int) -> Iterator[Frequent]:
    """What `frequent` gives, by ranges of the hash and in no order; by the kernels."""
    kernels, entries = library(), sum(map(len, counts))
    assert kernels is not None
    kernels.count_values.restype = ctypes.c_long
    sums = np.zeros(1 << int(np.clip(entries.bit_length(), *SUMS)), np.uint8)
    reached = min(least, FULL)
    shared = ctypes.c_uint64(len(sums) - 1), *_pointers(sums)
    for values, seen in zip(hashes, counts, strict=True):
        kernels.add_counts(ctypes.c_long(len(values)), *_pointers(values, seen), *shared)
    bits = _bits(int(np.count_nonzero(sums >= reached)))
    for number in range(1 << bits):
        chosen = *shared, *map(ctypes.c_long, (reached, bits)), ctypes.c_uint64(number)
        table, used, begin = np.zeros((1 << 10, 3), np.int64), np.zeros(1, np.int64), 0
        for values, seen in zip(hashes, counts, strict=True):
            done = 0
            while True:
                done += kernels.count_values(
                    ctypes.c_long(len(values) - done), *_pointers(values[done:], seen[done:]),
                    ctypes.c_int64(begin + done), *chosen, *_sized(table), *_pointers(used),
                )  # fmt: skip
                if done == len(values):
                    break
                larger = np.zeros((2 * len(table), 3), np.int64)
                kernels.move_values(*_sized(table), *_sized(larger))
                table = larger
            begin += len(values)
        totals = table[:, 1]
        kept = totals >= least
        yield Frequent(table[kept, 0].view(np.uint64), table[kept, 2], totals[kept])


def _sorted(hashes: Hashes, counts: Counts, least: int) -> Iterator[Frequent]:
    """What `frequent` gives, by ranges of the hash and in no order; by sorting."""
    bits = _bits(sum(map(len, counts)))
    for number in range(1 << bits):
        begin, pieces = 0, []
        for values, seen in zip(hashes, counts, strict=True):
            chosen = seen > 0
            if bits:
                chosen &= values >> np.uint64(64 - bits) == number
            here = np.flatnonzero(chosen)
            pieces.append((values[here], seen[here], begin + here))
            begin += len(values)
        drawn, seen, places = (np.concatenate(each) for each in zip(*pieces, strict=True))
        found, first, numbers = np.unique(drawn, return_index=True, return_inverse=True)
        totals = np.bincount(numbers, seen, len(first)).astype(np.int64)  # exact below 2**53
        kept = totals >= least
        yield Frequent(found[kept], places[first[kept]], totals[kept])


def _bits(values: int) -> int:
    """How many bits of the hash tell ranges of so many values apart."""
    return (values // RANGE).bit_length()


def _pointers(*arrays: NDArray[Any]) -> tuple[ctypes.c_void_p, ...]:
    return tuple(ctypes.c_void_p(x.ctypes.data) for x in arrays)


def _sized(table: NDArray[np.int64]) -> tuple[Any, ...]:
    return ctypes.c_uint64(len(table)), *_pointers(table)
