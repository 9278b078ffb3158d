"""The block shuffle: an order of all rows that is nearly random and nearly sequential to read.

The rows are cut into blocks of neighbours, the blocks are put in random order, and the sequence
that this gives is cut into buffers, each of which is mixed. So a buffer is read in pieces of a
block, which disks like, and its rows come from many blocks. A split that fits one buffer is
shuffled perfectly.

A buffer is larger than a processor's cache, where reading rows in random order costs ten times as
much. So it is mixed in the same way once more: its blocks are cut into runs, the runs are put in
random order, and the sequence that this gives is cut into pools, each of which is shuffled
perfectly, all full pools of a buffer alike. Runs begin at multiples of their size, so a run is read
as one piece of memory. The last rows of a split, if they fill no run, come in the last pool.

The place of every row follows from the seed and the sizes alone: a pass can begin anywhere.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import ConfigError

BLOCK, BUFFER = 1 << 10, 1 << 18
"""Rows. A buffer of 2**18 rows draws on 256 blocks; of two rows of one block, which may be alike,
the chance to meet in a batch of 512 is 1 in 500."""
RUN, POOL = 1 << 5, 1 << 13
"""Rows, powers of two. A pool draws on 256 runs, all over the buffer, and lies in a cache of 2 MB.
Runs are shorter where blocks are no multiple of `RUN`."""


class Runs(NamedTuple):
    """Neighbouring numbers, one run after the other: the first of each run, and where in the
    sequence it begins and, one more number, where the last ends."""

    first: NDArray[np.int64]
    edges: NDArray[np.int64]

    @classmethod
    def of(cls, first: NDArray[np.int64], lengths: NDArray[np.int64]) -> Runs:
        """Runs by their lengths."""
        return cls(first, np.concatenate([[0], np.cumsum(lengths)]))

    def part(self, low: int, high: int) -> NDArray[np.int64]:
        """The numbers at the places `low` to `high` (excluded) of the sequence."""
        begin = int(np.searchsorted(self.edges, low, side="right")) - 1
        end = int(np.searchsorted(self.edges, high, side="left"))
        edges = self.edges[begin : end + 1].clip(low, high)
        offsets = self.first[begin:end] - self.edges[begin:end]
        return np.repeat(offsets, np.diff(edges)) + np.arange(low, high)


class BlockShuffle:
    """One shuffled pass over rows.

    Args:
        rows: how many there are.
        seed: which order.
        block: rows a block.
        buffer: rows a buffer.

    Attributes:
        run: rows a run.

    Raises:
        ConfigError: sizes out of range.
    """

    def __init__(self, rows: int, seed: int, block: int = BLOCK, buffer: int = BUFFER) -> None:
        if block < 1 or buffer < block:
            raise ConfigError(
                f"a shuffle with blocks of {block} rows and buffers of {buffer}",
                mend="choose 1 or more rows a block, and no fewer a buffer",
            )
        self.run = min(RUN, block & -block)
        self.rows, self.seed, self.block = rows, seed, block
        self.buffer = buffer // self.run * self.run
        self.whole = rows // self.run * self.run
        """Rows in whole runs."""
        self.perfect = rows <= buffer
        """Whether all rows fit one buffer."""
        self._mixed = -1, np.empty(0, np.int64), np.empty(0, np.int64)

    def pool(self, place: int) -> tuple[int, int]:
        """Where in the pass the pool begins and ends that has this place of it."""
        if self.perfect:
            return 0, self.rows
        place = min(place, self.whole - 1)
        low = place // self.buffer * self.buffer
        begin = low + (place - low) // POOL * POOL
        end = min(begin + POOL, low + self.buffer, self.whole)
        return begin, self.rows if end == self.whole else end

    def runs_of(self, begin: int, end: int) -> NDArray[np.int64]:
        """The numbers of the whole runs of a pool, rising; where one buffer does not hold all."""
        low = begin // self.buffer * self.buffer
        return self._buffer(begin)[0][(begin - low) // self.run : (end - low) // self.run]

    def order(self, begin: int, end: int) -> NDArray[np.int64]:
        """How a pool is shuffled: places among its rows, which are those of `runs_of` and, in the
        last pool, those behind the last whole run."""
        if self.perfect:
            return np.random.Generator(np.random.PCG64(self.seed)).permutation(self.rows)
        if end - begin == POOL:
            return self._buffer(begin)[1]
        return self._permutation(end - begin, 3, begin)

    def _buffer(self, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the buffer that has this place of the pass: its runs, mixed, those of a pool rising;
        and the order of every full pool."""
        number, size = place // self.buffer, self.buffer // self.run
        if self._mixed[0] != number:
            last = min((number + 1) * size, self.whole // self.run)
            runs = self._blocks.part(number * size, last)
            mixed = runs[self._permutation(len(runs), 1, number)]
            full = len(mixed) * self.run // POOL * POOL // self.run
            mixed[:full].reshape(-1, POOL // self.run).sort(axis=1)
            mixed[full:].sort()
            self._mixed = number, mixed, self._permutation(POOL, 2, number)
        return self._mixed[1:]

    @cached_property
    def _blocks(self) -> Runs:
        """All blocks in their random order, counted in runs."""
        count, size = self.whole // self.run, self.block // self.run
        first = np.arange(0, count, size)
        order = self._permutation(len(first), 0)
        return Runs.of(first[order], np.minimum(size, count - first)[order])

    def _permutation(self, count: int, *use: int) -> NDArray[np.int64]:
        """A random order, from raw PCG64 output, which NumPy promises never to change.

        Random numbers with the places in their lowest bits: sorted, they tell the order, in half
        the time of an `argsort`.
        """
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, *use]))
        mask = np.uint64((1 << count.bit_length()) - 1)
        keys = bits.random_raw(count)
        keys &= ~mask
        keys |= np.arange(count, dtype=np.uint64)
        keys.sort()
        return (keys & mask).astype(np.int64)
