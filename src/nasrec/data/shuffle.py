"""The block shuffle: an order of all rows that is nearly random and nearly sequential to read.

The rows are cut into blocks of neighbours, the blocks are put in random order, and the sequence
that this gives is cut into buffers, each of which is put in random order. A buffer is read in
pieces of a block, which disks like, and a batch gathers rows of many blocks. A split that fits one
buffer is shuffled perfectly.

The place of every row follows from the seed and the sizes alone: a pass can begin anywhere.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import ConfigError

BLOCK, BUFFER = 1 << 10, 1 << 18
"""Rows. A buffer of 2**18 rows draws on 256 blocks; of two rows of one block, which may be alike,
the chance to meet in a batch of 512 is 1 in 500."""


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

    @property
    def buffers(self) -> int:
        """How many buffers a pass has."""
        return -(-self.rows // self.buffer)

    @cached_property
    def _blocks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The blocks in their random order, and where in the sequence each begins and ends."""
        count = -(-self.rows // self.block)
        order = self._permutation(count, 0)
        sizes = np.full(count, self.block, dtype=np.int64)
        sizes[order == count - 1] = self.rows - (count - 1) * self.block
        return order, np.concatenate([[0], np.cumsum(sizes)])

    def pieces(self, buffer: int) -> list[tuple[int, int]]:
        """The rows of a buffer before they are mixed: (first, end) of runs of neighbours."""
        low, high = buffer * self.buffer, min((buffer + 1) * self.buffer, self.rows)
        if self.buffers == 1:
            return [(low, high)]
        order, begins = self._blocks
        first = int(np.searchsorted(begins, low, side="right")) - 1
        end = int(np.searchsorted(begins, high, side="left"))
        pieces = []
        for i in range(first, end):
            start = int(order[i]) * self.block - int(begins[i])
            pieces.append((start + max(low, int(begins[i])), start + min(high, int(begins[i + 1]))))
        return pieces

    def order(self, buffer: int) -> NDArray[np.int64]:
        """The order of the rows of a buffer, as places in what `pieces` gives one by one."""
        rows = min((buffer + 1) * self.buffer, self.rows) - buffer * self.buffer
        if self.buffers == 1:
            return np.random.Generator(np.random.PCG64(self.seed)).permutation(rows)
        return self._permutation(rows, 1, buffer)

    def _permutation(self, count: int, *use: int) -> NDArray[np.int64]:
        """A random order, from raw PCG64 output, which NumPy promises never to change."""
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, *use]))
        return np.argsort(bits.random_raw(count))
