"""The block shuffle: an order of all rows that is nearly random and nearly sequential to read.

The rows are cut into blocks of neighbours, the blocks are put in random order, and the sequence
that this gives is cut into buffers, each of which is mixed. So a buffer is read in pieces of a
block, which disks like, and its rows come from many blocks. A split that fits one buffer is
shuffled perfectly.

A buffer is larger than a processor's cache, where reading rows in random order costs ten times as
much. So it is mixed in the same way once more: its blocks are cut into runs, the runs are put in
random order, and the sequence that this gives is cut into pools, each of which is shuffled
perfectly.

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
"""Rows. A pool draws on 256 runs, all over the buffer, and lies in a cache of 2 MB."""


class Runs(NamedTuple):
    """Runs of neighbouring rows, one after the other: their first rows, and where in the sequence
    each begins and, one more number, where the last ends."""

    first: NDArray[np.int64]
    edges: NDArray[np.int64]

    def part(self, low: int, high: int) -> Runs:
        """The places `low` to `high` (excluded) of the sequence."""
        begin = int(np.searchsorted(self.edges, low, side="right")) - 1
        end = int(np.searchsorted(self.edges, high, side="left"))
        edges = self.edges[begin : end + 1].clip(low, high)
        return Runs(self.first[begin:end] + edges[:-1] - self.edges[begin:end], edges - low)

    def cut(self, size: int) -> Runs:
        """The same sequence in runs of at most `size` rows."""
        lengths = np.diff(self.edges)
        counts = -(-lengths // size)
        ends = np.repeat(self.first + lengths, counts)
        before = np.cumsum(counts) - counts
        first = np.repeat(self.first, counts)
        first += size * (np.arange(len(first)) - np.repeat(before, counts))
        return Runs.of(first, np.minimum(size, ends - first))

    @classmethod
    def of(cls, first: NDArray[np.int64], lengths: NDArray[np.int64]) -> Runs:
        """Runs by their lengths."""
        return cls(first, np.concatenate([[0], np.cumsum(lengths)]))

    def ordered(self, order: NDArray[np.int64]) -> Runs:
        """The runs in another order."""
        return Runs.of(self.first[order], np.diff(self.edges)[order])

    def rows(self) -> NDArray[np.int64]:
        """The number of every row of the sequence."""
        return np.repeat(self.first - self.edges[:-1], np.diff(self.edges)) + np.arange(
            self.edges[-1]
        )


class BlockShuffle:
    """One shuffled pass over rows.

    Args:
        rows: how many there are.
        seed: which order.
        block: rows a block.
        buffer: rows a buffer.

    Raises:
        ConfigError: sizes out of range.
    """

    def __init__(self, rows: int, seed: int, block: int = BLOCK, buffer: int = BUFFER) -> None:
        if block < 1 or buffer < block:
            raise ConfigError(
                f"a shuffle with blocks of {block} rows and buffers of {buffer}",
                mend="choose 1 or more rows a block, and no fewer a buffer",
            )
        self.rows, self.seed, self.block, self.buffer = rows, seed, block, buffer
        self._mixed = -1, Runs.of(np.empty(0, np.int64), np.empty(0, np.int64))

    @property
    def perfect(self) -> bool:
        """Whether all rows fit one buffer."""
        return self.rows <= self.buffer

    def pool(self, place: int) -> tuple[int, int]:
        """Where in the pass the pool begins and ends that has this place of it."""
        if self.perfect:
            return 0, self.rows
        low = place // self.buffer * self.buffer
        begin = low + (place - low) // POOL * POOL
        return begin, min(begin + POOL, low + self.buffer, self.rows)

    def rows_of(self, begin: int, end: int) -> NDArray[np.int64]:
        """The numbers of the rows of a pool, rising; where one buffer does not hold all."""
        buffer, low = begin // self.buffer, begin // self.buffer * self.buffer
        if self._mixed[0] != buffer:
            runs = self._blocks.part(low, min(low + self.buffer, self.rows)).cut(RUN)
            self._mixed = buffer, runs.ordered(self._permutation(len(runs.first), 1, buffer))
        runs = self._mixed[1].part(begin - low, end - low)
        return runs.ordered(np.argsort(runs.first)).rows()

    def order(self, begin: int, end: int) -> NDArray[np.int64]:
        """How a pool is shuffled: places in what `rows_of` gives."""
        if self.perfect:
            return np.random.Generator(np.random.PCG64(self.seed)).permutation(self.rows)
        return self._permutation(end - begin, 2, begin)

    @cached_property
    def _blocks(self) -> Runs:
        """All blocks in their random order."""
        first = np.arange(0, self.rows, self.block)
        blocks = Runs.of(first, np.minimum(self.block, self.rows - first))
        return blocks.ordered(self._permutation(len(first), 0))

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
