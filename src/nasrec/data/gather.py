"""Rows of records as the tensors of a batch, in one pass, by the compiled kernel.

Where there is none, records are moved and their fields converted by NumPy (`Layout.batch`); the
tensors have the same values.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nasrec.data.layout import Batch, Layout, Records
from nasrec.native import library

AHEAD = 12
"""Rows: what memory takes to answer, over what a row takes."""


class Shards(NamedTuple):
    """Records in memory: where each shard begins, (S,) int64, and the logarithm of the rows of
    all but the last."""

    addresses: NDArray[np.int64]
    shift: int

    @classmethod
    def of(cls, shards: Sequence[Records]) -> Shards:
        """All but the last of a power of two of rows."""
        shift = len(shards[0]).bit_length() - 1 if len(shards) > 1 else 62
        return cls(np.array([shard.ctypes.data for shard in shards], dtype=np.int64), shift)


class Places(NamedTuple):
    """Rows of shards.

    shards: where they are.
    rows: how many.
    first: the first of them.
    order: (n,) int64 which they are; None: neighbours.
    far: whether they lie where memory is slow.
    """

    shards: Shards
    rows: int
    first: int = 0
    order: NDArray[np.int64] | None = None
    far: bool = False


class _Layout(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("bytes", "dense", "weight", "label", "wide_label")),
        ("slots", ctypes.c_int64),
        ("ids", ctypes.c_void_p),
    ]


@cache
def _described(layout: Layout) -> tuple[_Layout, NDArray[np.int32]]:
    """The layout as the kernel takes it, and the memory that it points into."""
    fields = layout.dtype.fields
    assert fields is not None
    ids = np.array(
        [
            (fields[f"id{i}"][1], np.dtype(kind).itemsize, pad)
            for i, (kind, pad) in enumerate(zip(layout.ids, layout.pads, strict=True))
        ],
        dtype=np.int32,
    )
    weight = fields["weight"][1] if layout.weighted else 0
    wide = int(layout.label == "<f4")
    places = layout.dtype.itemsize, layout.n_dense, weight, fields["label"][1], wide
    return _Layout(*places, len(layout.ids), ids.ctypes.data), ids


def usable() -> bool:
    """Whether there is a kernel."""
    return library() is not None


def room(layout: Layout, rows: int) -> Batch:
    """A batch that is to be filled."""
    return Batch(
        torch.empty(rows, layout.n_dense),
        torch.empty(rows, len(layout.ids), dtype=torch.int32),
        torch.empty(rows),
        torch.empty(rows) if layout.weighted else None,
    )


def fill(layout: Layout, places: Places, batch: Batch, at: int) -> None:
    """Write rows, which are there, to a batch, from its row `at` on."""
    kernels = library()
    assert kernels is not None
    assert at + places.rows <= len(batch.labels)
    targets = (
        None if t is None else ctypes.c_void_p(t.data_ptr() + at * t.stride(0) * t.element_size())
        for t in batch
    )
    order = places.order
    assert order is None or (order.dtype == np.int64 and order.flags.c_contiguous)
    kernels.nasrec_rows(
        ctypes.byref(_described(layout)[0]),
        ctypes.c_void_p(places.shards.addresses.ctypes.data),
        places.shards.shift,
        ctypes.c_long(places.rows),
        ctypes.c_long(places.first),
        None if order is None else ctypes.c_void_p(order.ctypes.data),
        AHEAD if places.far else 0,
        *targets,
    )
