"""A split: rows on disk or in memory, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import gather
from nasrec.data.gather import Places, Shards
from nasrec.data.layout import Batch, Layout, Records, joined
from nasrec.data.shuffle import BLOCK, BUFFER, BlockShuffle
from nasrec.errors import ConfigError, DataError

PORTION = 1 << 13
"""Rows that are made tensors at a time, if batches are smaller; they lie in a cache of 2 MB."""


class Split:
    """One part of a data set; `len()` is its number of rows. Made here, of arrays in memory.

    Args:
        name: what to call it; `train`, `valid` or `test` for those of a prepared data set.
        dense: (n, n_dense) float32.
        sparse: (n, slots) int32, -1 in slots without value.
        labels: (n,) float32.
        click_rate: share of rows with label 1.
        weights: (n,) float32, how much each row counts; None where all count the same.
        groups: (n,) uint64, the group of each row, 2**64 - 1 for none; None without groups.
    """

    def __init__(
        self,
        name: str,
        dense: NDArray[np.float32],
        sparse: NDArray[np.integer[Any]],
        labels: NDArray[np.float32],
        click_rate: float,
        weights: NDArray[np.float32] | None = None,
        groups: NDArray[np.uint64] | None = None,
    ) -> None:
        slots = sparse.shape[1]
        layout = Layout(
            dense.shape[1],
            ("<i4",) * slots,
            (-1,) * slots,
            weights is not None,
            "<f4",
            groups is not None,
        )
        records = np.zeros(len(labels), dtype=layout.dtype)
        if dense.shape[1]:
            records["dense"] = dense
        for i in range(slots):
            records[f"id{i}"] = sparse[:, i]
        records["label"] = labels
        if weights is not None:
            records["weight"] = weights
        if groups is not None:
            records["group"] = groups
        self._set(name, layout, [len(labels)], click_rate)
        self._shards = [records]

    @classmethod
    def stored(
        cls, name: str, layout: Layout, shards: Sequence[tuple[Path, int]], click_rate: float
    ) -> Split:
        """A split on disk: NumPy files of records, with the number of rows of each."""
        split = cls.__new__(cls)
        split._set(name, layout, [rows for _, rows in shards], click_rate)
        split._files = [path for path, _ in shards]
        return split

    def _set(self, name: str, layout: Layout, rows: list[int], click_rate: float) -> None:
        self.name, self.layout, self.click_rate = name, layout, click_rate
        self._begins = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self._files: list[Path] = []

    @cached_property
    def _shards(self) -> list[Records]:
        """The records, mapped into memory when first asked for."""
        return [
            _mapped(path, self.layout, int(rows))
            for path, rows in zip(self._files, np.diff(self._begins), strict=True)
        ]

    def __len__(self) -> int:
        return int(self._begins[-1])

    def records(self, start: int, stop: int) -> Records:
        """Rows `start` to `stop` (excluded, cut at the end) as records; not to be written to."""
        stop = min(stop, len(self))
        first = int(np.searchsorted(self._begins, start, side="right")) - 1
        pieces = []
        while start < stop:
            begin, end = int(self._begins[first]), int(self._begins[first + 1])
            pieces.append(self._shards[first][start - begin : min(stop, end) - begin])
            start, first = min(stop, end), first + 1
        if len(pieces) == 1:
            return pieces[0]
        return joined(pieces, np.empty(sum(map(len, pieces)), dtype=self.layout.dtype))

    def chosen(self, numbers: NDArray[np.integer[Any]]) -> Split:
        """The rows with these numbers, in rising order, as a split in memory."""
        records = np.empty(len(numbers), dtype=self.layout.dtype)
        self.gather(np.sort(numbers), 1, records)
        split = Split.__new__(Split)
        rate = float(records["label"].mean(dtype=np.float64)) if len(records) else 0.0
        split._set(self.name, self.layout, [len(records)], rate)
        split._shards = [records]
        return split

    def rows(self, start: int, stop: int) -> Batch:
        """Rows `start` to `stop` (excluded, cut at the end) in the order of the file."""
        return self._batch(_Ordered(self), [(start, max(start, min(stop, len(self))))])

    def take(self, indices: NDArray[np.integer[Any]]) -> Batch:
        """The rows with these numbers, in this order, repeats allowed."""
        indices = np.asarray(indices)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {len(self)}")
        if gather.usable():
            batch, order = gather.room(self.layout, len(indices)), indices.astype(np.int64)
            places = Places(self._memory, len(order), order=order, far=True)
            gather.fill(self.layout, places, batch, 0)
            return batch
        numbers, places = np.unique(indices, return_inverse=True)
        room = np.empty(len(numbers), dtype=self.layout.dtype)
        self.gather(numbers, 1, room)
        return self.layout.batch(room[places])

    @cached_property
    def _memory(self) -> Shards:
        return Shards.of(self._shards)

    def gather(self, numbers: NDArray[np.integer[Any]], run: int, room: Records) -> None:
        """Copy runs of rows into the front of `room`.

        Args:
            numbers: which runs, rising: run i has the rows from `i * run` on.
            run: rows a run; a power of two.
            room: as many rows or more.
        """
        kind = np.dtype((np.void, run * self.layout.dtype.itemsize))
        target = room[: len(numbers) * run].view(kind)
        # All shards but the last have a power of two of rows.
        begins = self._begins[:-1] // run
        cuts = [*np.searchsorted(numbers, begins).tolist(), len(numbers)]
        for shard, begin, low, high in zip(self._shards, begins, cuts, cuts[1:], strict=False):
            if low < high:
                whole = shard[: len(shard) // run * run].view(kind)
                whole.take(numbers[low:high] - begin, out=target[low:high], mode="clip")

    @cached_property
    def dense(self) -> NDArray[np.float32]:
        """(n, n_dense) all dense features, copied into memory."""
        return self.layout.dense(self.records(0, len(self)))

    @cached_property
    def sparse(self) -> NDArray[np.int32]:
        """(n, slots) all ids, copied into memory; -1 in slots without value."""
        parts = [
            self.layout.sparse(self.records(start, start + BUFFER))
            for start in range(0, max(1, len(self)), BUFFER)
        ]
        return np.concatenate(parts)

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """(n,) all labels, copied into memory."""
        return self.layout.labels(self.records(0, len(self)))

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """(n,) all weights, copied into memory; None where rows have none."""
        return self.layout.weights(self.records(0, len(self)))

    @cached_property
    def groups(self) -> NDArray[np.uint64] | None:
        """(n,) the hash of the group of each row, copied into memory; 2**64 - 1 where it has none.

        None where the schema has no group.
        """
        return self.layout.groups(self.records(0, len(self)))

    def n_batches(self, batch_size: int, drop_last: bool = False, ranks: int = 1) -> int:
        """How many batches one pass has, the same for every rank."""
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size} is below 1", mend="choose 1 or more")
        together = batch_size * ranks
        return len(self) // together if drop_last else -(-len(self) // together)

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        block: int = BLOCK,
        buffer: int = BUFFER,
    ) -> Iterator[Batch]:
        """One pass over the rows.

        Args:
            batch_size: rows a batch; the last one may have fewer.
            shuffle_seed: None keeps the order of the file; a seed gives a random order of all
                rows, always the same one for the same seed, block and buffer (see shuffle.py).
            drop_last: leave out a last batch that is not full.
            start: the batch to begin at. The rest is exactly what a pass from 0 would give.
            rank, ranks: give one of `ranks` processes its share. The batches of all ranks
                together are those that one process has with `ranks` times the batch size; the last
                ones differ by a row at most, and may be empty.
            block, buffer: rows a block and a buffer of the shuffle.

        Raises:
            ConfigError: a size or a rank out of range.
        """
        if not 0 <= rank < ranks:
            raise ConfigError(f"rank {rank} of {ranks}", mend="ranks count from 0")
        count = self.n_batches(batch_size, drop_last, ranks)
        reader: _Ordered | _Shuffled = _Ordered(self)
        if shuffle_seed is not None:
            reader = _Shuffled(self, BlockShuffle(len(self), shuffle_seed, block, buffer))
        together = max(1, PORTION // batch_size)
        for begin in range(start, count, together):
            pieces = []
            for i in range(begin, min(begin + together, count)):
                low = i * batch_size * ranks
                size = min(batch_size * ranks, len(self) - low)
                pieces.append((low + size * rank // ranks, low + size * (rank + 1) // ranks))
            sizes = [end - first for first, end in pieces]
            if ranks == 1:
                pieces = [(pieces[0][0], pieces[-1][1])]
            yield from self._batch(reader, pieces).split(sizes)

    def _batch(self, reader: _Ordered | _Shuffled, pieces: list[tuple[int, int]]) -> Batch:
        """The rows from one place of an order to another, several times, one after the other."""
        count, at = sum(end - first for first, end in pieces), 0
        if gather.usable():
            batch = gather.room(self.layout, count)
            for first, end in pieces:
                for places in reader.places(first, end):
                    gather.fill(self.layout, places, batch, at)
                    at += places.rows
            return batch
        records = np.empty(count, self.layout.dtype)
        for first, end in pieces:
            reader.read(first, records[at : at + end - first])
            at += end - first
        return self.layout.batch(records)


class _Ordered:
    """The rows of a split in the order of the file."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def read(self, first: int, out: Records) -> None:
        """Copy the rows from `first` on into `out`."""
        joined([self.split.records(first, first + len(out))], out)

    def places(self, first: int, end: int) -> Iterator[Places]:
        """Where these rows are."""
        yield Places(self.split._memory, end - first, first)


class _Shuffled:
    """The rows of a split in shuffled order."""

    def __init__(self, split: Split, shuffle: BlockShuffle) -> None:
        self.split, self.shuffle = split, shuffle
        self.begin = self.end = 0
        """The pool that is read."""
        self._order = np.empty(0, dtype=np.int64)
        self._pool = np.empty(0, split.layout.dtype)

    def read(self, first: int, out: Records) -> None:
        """Copy the rows from this place of the shuffled order on into `out`."""
        for at, order in self._orders(first, first + len(out)):
            self._pool.take(order, out=out[at - first : at - first + len(order)], mode="clip")

    def places(self, first: int, end: int) -> Iterator[Places]:
        """Where the rows from one place of the shuffled order to another are."""
        for _, order in self._orders(first, end):
            shards = Shards.of([self._pool])
            yield Places(shards, len(order), order=order, far=self.shuffle.perfect)

    def _orders(self, first: int, end: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """For each pool that has some of these places: the first of them, and the rows of the pool
        that are there."""
        at = first
        while at < end:
            if not self.begin <= at < self.end:
                self._read_pool(at)
            stop = min(end, self.end)
            yield at, self._order[at - self.begin : stop - self.begin]
            at = stop

    def _read_pool(self, place: int) -> None:
        """Read the pool that has this place."""
        shuffle = self.shuffle
        self.begin, self.end = shuffle.pool(place)
        self._order = shuffle.order(self.begin, self.end)
        if shuffle.perfect:
            self._pool = self.split.records(0, len(self.split))
            return
        runs, rows = shuffle.runs_of(self.begin, self.end), self.end - self.begin
        if len(self._pool) < rows:
            self._pool = np.empty(rows, self._pool.dtype)
        self.split.gather(runs, shuffle.run, self._pool)
        whole = len(runs) * shuffle.run
        rest = self.split.records(shuffle.whole, shuffle.whole + rows - whole)
        joined([rest], self._pool[whole:rows])


def _mapped(path: Path, layout: Layout, rows: int) -> Records:
    """The records of a file, mapped into memory."""
    from nasrec.data.store import AGAIN

    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError("not a NumPy file", where=str(path), mend=AGAIN) from error
    if records.shape != (rows,) or records.dtype != layout.dtype:
        raise DataError(
            f"the array is {records.dtype} {records.shape} and should be {layout.dtype} ({rows},)",
            where=str(path),
            mend=AGAIN,
        )
    return np.asarray(records)
