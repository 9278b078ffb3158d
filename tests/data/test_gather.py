"""The compiled kernel gives the same batches as NumPy, byte for byte, whatever a record is."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Split, gather, shuffle
from nasrec.data.layout import Layout

pytestmark = pytest.mark.skipif(
    not gather.usable(), reason="no C compiler, or NASREC_NATIVE is off"
)

SIZES = (2, 200, 256, 257, 60_000, 70_000, 2**31 - 1)


def split_of(layout: Layout, rows: int, shard: int, seed: int) -> Split:
    """Rows of random bytes in shards of a power of two of rows."""
    rng = np.random.default_rng(seed)
    split = Split.__new__(Split)
    sizes = [min(shard, rows - at) for at in range(0, rows, shard)] or [0]
    split._set("rows", layout, sizes, 0.0)
    width = layout.dtype.itemsize
    split._shards = [rng.bytes(size * width) for size in sizes]
    split._shards = [np.frombuffer(text, layout.dtype).copy() for text in split._shards]
    for i, pad in enumerate(layout.pads):
        for records in split._shards:
            if pad >= 0:  # random bytes are seldom just this
                records[f"id{i}"][rng.random(len(records)) < 0.3] = pad
    return split


def same(split: Split, read) -> None:
    """Compare what both ways give."""
    compiled = list(read(split))
    with mock.patch.object(gather, "usable", return_value=False):
        plain = list(read(split))
    assert len(compiled) == len(plain)
    for ours, theirs in zip(compiled, plain, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert (a.dtype, a.shape) == (b.dtype, b.shape)
                assert a.numpy().tobytes() == b.contiguous().numpy().tobytes()


columns = st.lists(st.tuples(st.sampled_from(SIZES), st.sampled_from((1, 1, 1, 3))), max_size=24)
layouts = st.builds(
    lambda dense, columns, weighted, grouped: Layout.of(
        dense, tuple(c[0] for c in columns), tuple(c[1] for c in columns), weighted, grouped
    ),
    st.integers(0, 40),
    columns,
    st.booleans(),
    st.booleans(),
)


@mock.patch.multiple(shuffle, RUN=4, POOL=16)
@settings(max_examples=20, deadline=None)
@given(layouts, st.integers(0, 300), st.sampled_from((16, 64, 512)), st.integers(1, 70), st.data())
def test_batches_are_those_of_numpy(layout, rows, shard, batch, data):
    split = split_of(layout, rows, shard, batch)
    ranks = data.draw(st.integers(1, 3))
    options = {
        "rank": data.draw(st.integers(0, ranks - 1)),
        "ranks": ranks,
        "start": data.draw(st.integers(0, 3)),
        "drop_last": data.draw(st.booleans()),
        "shuffle_seed": data.draw(st.sampled_from((None, 1))),
        "block": data.draw(st.sampled_from((1, 4, 12))),
        "buffer": data.draw(st.sampled_from((40, 64, 1000))),
    }
    same(split, lambda split: split.batches(batch, **options))
    low, high = sorted(data.draw(st.tuples(st.integers(0, 310), st.integers(0, 310))))
    same(split, lambda split: [split.rows(low, high)])
    if rows:
        chosen = np.random.default_rng(high).integers(0, rows, high)
        same(split, lambda split: [split.take(chosen), split.take(chosen.astype(np.uint16))])


@pytest.mark.parametrize(("size", "slots"), [(2**31 - 1, 700), (200, 3000)])
def test_records_wider_than_the_kernel_plans_for(size, slots):
    layout = Layout.of(3, (7, size), (1, slots), False)
    same(split_of(layout, 5, 8, 0), lambda split: split.batches(2))


def test_a_split_in_memory():
    rng = np.random.default_rng(0)
    split = Split(
        "rows",
        rng.random((90, 5), dtype=np.float32),
        rng.integers(-1, 2**31 - 1, (90, 19)).astype(np.int32),
        rng.integers(0, 2, 90).astype(np.float32),
        0.5,
        rng.random(90, dtype=np.float32),
    )
    same(split, lambda split: split.batches(7, shuffle_seed=3))
    same(split.chosen(np.arange(0, 90, 3)), lambda split: split.batches(7))
