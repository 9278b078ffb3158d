"""The block shuffle: every row once, anywhere resumable, evenly over ranks."""

from __future__ import annotations

from itertools import chain
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Split, shuffle
from nasrec.data.shuffle import BLOCK, BUFFER, POOL, RUN, BlockShuffle
from nasrec.errors import ConfigError


def numbered(rows: int) -> Split:
    """A split whose only id is the number of the row."""
    ids = np.arange(rows, dtype=np.int32)[:, None]
    return Split("rows", np.empty((rows, 0), np.float32), ids, np.zeros(rows, np.float32), 0.0)


def ids_of(batches) -> list[list[int]]:
    return [batch.sparse[:, 0].tolist() for batch in batches]


sizes = st.tuples(st.integers(0, 200), st.integers(1, 12), st.integers(1, 5))


def pools(run: int, rows: int):
    """Smaller pools, so that a small buffer has several."""
    return mock.patch.multiple(shuffle, RUN=run, POOL=rows)


@pools(4, 8)
@settings(max_examples=80, deadline=None)
@given(sizes, st.integers(1, 40), st.integers(0, 3), st.integers(1, 4), st.booleans())
def test_all_ranks_together_are_one_pass(size, batch, seed, ranks, drop_last):
    rows, block, times = size
    split = numbered(rows)
    options = {"block": block, "buffer": block * times, "shuffle_seed": seed}
    options["drop_last"] = drop_last
    whole = ids_of(split.batches(batch * ranks, **options))
    parts = [
        ids_of(split.batches(batch, rank=rank, ranks=ranks, **options)) for rank in range(ranks)
    ]
    assert {len(part) for part in parts} == {split.n_batches(batch, drop_last, ranks)}
    joined = [list(chain(*pieces)) for pieces in zip(*parts, strict=True)]
    assert joined == whole
    if whole:
        last = [len(part[-1]) for part in parts]
        assert max(last) - min(last) <= 1
    if not drop_last:
        assert sorted(chain(*whole)) == list(range(rows))


@pools(4, 8)
@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 40), st.integers(0, 3), st.floats(0, 1))
def test_a_pass_goes_on_anywhere(size, batch, seed, share):
    rows, block, times = size
    split = numbered(rows)
    options = {"block": block, "buffer": block * times, "shuffle_seed": seed}
    whole = ids_of(split.batches(batch, **options))
    start = int(share * len(whole))
    assert ids_of(split.batches(batch, start=start, **options)) == whole[start:]


@pools(8, 512)
def test_neighbours_are_pulled_apart():
    rows, block, buffer = 20_000, 50, 2000
    shuffle = {"block": block, "buffer": buffer}
    (order,) = ids_of(numbered(rows).batches(rows, shuffle_seed=1, **shuffle))
    order = np.array(order)
    assert abs(np.corrcoef(order, np.arange(rows))[0, 1]) < 0.1
    assert (np.abs(np.diff(order)) < block).mean() < 0.06, "by chance 1 in 40 are of one block"
    for start in range(0, rows, buffer):
        spread = np.unique(order[start : start + buffer] // block)
        assert len(spread) <= buffer // block + 1, "a buffer is read in whole blocks"
    (other,) = ids_of(numbered(rows).batches(rows, shuffle_seed=2, **shuffle))
    assert (order == np.array(other)).mean() < 0.01


def test_a_pass_over_several_buffers_of_the_usual_size():
    rows = 2 * BUFFER + 3 * POOL + 17
    (order,) = ids_of(numbered(rows).batches(rows, shuffle_seed=1))
    order = np.array(order)
    assert np.array_equal(np.sort(order), np.arange(rows))
    assert len(np.unique(order[:POOL] // RUN)) == POOL // RUN, "a pool is read in whole runs"
    assert len(np.unique(order[:POOL] // BLOCK)) > 100, "from all over the buffer"
    apart = np.abs(np.diff(order))
    assert (apart < RUN).mean() < 2 * RUN / POOL


def test_a_split_that_fits_the_buffer_is_a_permutation():
    (order,) = ids_of(numbered(1000).batches(1000, shuffle_seed=5))
    expected = np.random.Generator(np.random.PCG64(5)).permutation(1000)
    assert order == expected.tolist()


def test_a_seed_means_this_order():
    (order,) = ids_of(numbered(12).batches(12, shuffle_seed=3, block=2, buffer=4))
    assert order == [0, 9, 1, 8, 2, 3, 10, 11, 6, 5, 4, 7]


@pytest.mark.parametrize("options", [{"rank": 2, "ranks": 2}, {"rank": -1}, {"ranks": 0}])
def test_ranks_out_of_range(options):
    with pytest.raises(ConfigError, match="rank"):
        next(numbered(5).batches(2, **options))


@pytest.mark.parametrize(("block", "buffer"), [(0, 5), (6, 5)])
def test_sizes_out_of_range(block, buffer):
    with pytest.raises(ConfigError, match="blocks"):
        BlockShuffle(10, 0, block, buffer)
