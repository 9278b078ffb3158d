"""The record: one row of a prepared data set as fixed-width bytes, and batches out of records.

A record holds, side by side and in this order: the dense features (float32), the weight (float32,
if rows have one), the hash of the group (uint64, likewise), the ids (each slot in the smallest
unsigned integer that holds its column's ids, the widest first), the label (uint8), and zero bytes
up to a multiple of four. Side by side, because shuffled reading then touches one place in memory a
row, not one a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Records = NDArray[np.void]
CAST = 1 << 13
"""Rows whose ids are widened at a time: they lie in a cache of 2 MB."""


class Batch(NamedTuple):
    """Rows for a model.

    dense: (B, n_dense) float32; sparse: (B, slots) int32, -1 in slots without value; labels: (B,)
    float32; weights: (B,) float32, or None where rows have no weight.
    """

    dense: Tensor
    sparse: Tensor
    labels: Tensor
    weights: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of its tensors changed."""
        weights = None if self.weights is None else change(self.weights)
        return Batch(change(self.dense), change(self.sparse), change(self.labels), weights)

    def split(self, sizes: list[int]) -> Iterator[Batch]:
        """The batch in pieces of so many rows; they share its memory."""
        if len(sizes) == 1:
            return iter((self,))
        # "Unsafe" would be to change one piece and take gradients through another; in half the
        # time of `split`.
        parts = [
            torch.unsafe_split_with_sizes(tensor, sizes) for tensor in self if tensor is not None
        ]
        return map(Batch, *parts)


def joined(pieces: Sequence[Records], out: Records) -> Records:
    """The pieces one after the other in the front of `out`, copied as bytes: NumPy joins arrays
    of records field by field, which takes ten times as long."""
    width, at = out.dtype.itemsize, 0
    whole = out.view(np.uint8)
    for piece in pieces:
        whole[at * width : (at + len(piece)) * width] = piece.view(np.uint8)
        at += len(piece)
    return out[:at]


def id_type(largest: int) -> np.dtype[Any]:
    """The smallest unsigned integer that holds ids up to `largest`."""
    return np.dtype(np.min_scalar_type(largest)).newbyteorder("<")


@dataclass(frozen=True)
class Layout:
    """Where everything is in a record.

    Args:
        n_dense: dense features.
        ids: the type of each slot, in the order in which models see them.
        pads: the stored value that means "no value" of each slot; -1 where there is none.
        weighted: whether rows have a weight.
        label: the type of the label.
        grouped: whether rows belong to groups.
    """

    n_dense: int
    ids: tuple[str, ...]
    pads: tuple[int, ...]
    weighted: bool = False
    label: str = "|u1"
    grouped: bool = False

    @classmethod
    def of(
        cls,
        n_dense: int,
        sizes: tuple[int, ...],
        slots: tuple[int, ...],
        weighted: bool,
        grouped: bool = False,
    ) -> Layout:
        """The layout of prepared data on disk.

        Args:
            n_dense: dense features.
            sizes: number of ids of each categorical feature.
            slots: ids a row of each. A slot without value holds the number of ids.
            weighted: whether rows have a weight.
            grouped: whether rows belong to groups.
        """
        ids: list[str] = []
        pads: list[int] = []
        for size, count in zip(sizes, slots, strict=True):
            pad = size if count > 1 else -1
            ids += [id_type(max(size - 1, pad)).str] * count
            pads += [pad] * count
        return cls(n_dense, tuple(ids), tuple(pads), weighted, grouped=grouped)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The record as a NumPy type: fields `dense`, `weight`, `group`, `id0` ..., `label`."""
        fields: list[tuple[Any, ...]] = []
        if self.n_dense:
            fields.append(("dense", "<f4", (self.n_dense,)))
        if self.weighted:
            fields.append(("weight", "<f4"))
        if self.grouped:
            fields.append(("group", "<u8"))
        widest = sorted(range(len(self.ids)), key=lambda i: -np.dtype(self.ids[i]).itemsize)
        fields += [(f"id{i}", self.ids[i]) for i in widest]
        fields.append(("label", self.label))
        plain = np.dtype(fields)
        # The zero bytes at the end are a field too: what a gap holds is not defined.
        gap = -plain.itemsize % 4
        return np.dtype([*fields, ("zero", "|u1", (gap,))]) if gap else plain

    @cached_property
    def _sources(self) -> np.dtype[Any]:
        """The ids alone, in the order in which models see them."""
        names = [f"id{i}" for i in range(len(self.ids))]
        assert self.dtype.fields is not None
        return np.dtype(
            {
                "names": names,
                "formats": list(self.ids),
                "offsets": [self.dtype.fields[name][1] for name in names],
                "itemsize": self.dtype.itemsize,
            }
        )

    @cached_property
    def _targets(self) -> np.dtype[Any]:
        return np.dtype([(f"id{i}", "<i4") for i in range(len(self.ids))])

    @cached_property
    def _uniform(self) -> tuple[np.dtype[Any], int] | None:
        """The one type of all ids and the place of the first, if they are alike."""
        if len(set(self.ids)) != 1:
            return None
        assert self.dtype.fields is not None
        return np.dtype(self.ids[0]), int(self.dtype.fields["id0"][1])

    def sparse(self, records: Records) -> NDArray[np.int32]:
        """(n, slots) the ids of records, -1 in slots without value."""
        n, width = len(records), len(self.ids)
        out = np.empty((n, width), dtype=np.int32)
        if not width or not n:
            return out
        if self._uniform is not None:
            kind, offset = self._uniform
            strides = (records.strides[0], kind.itemsize)
            out[...] = np.ndarray((n, width), kind, records.view(np.uint8).data, offset, strides)
        else:
            targets = out.view(self._targets)[:, 0]
            for start in range(0, n, CAST):
                part = slice(start, start + CAST)
                targets[part] = records[part].view(self._sources)
        if max(self.pads) >= 0:
            padded = [i for i, pad in enumerate(self.pads) if pad >= 0]
            ids = out[:, padded]
            ids[ids == np.array(self.pads)[padded]] = -1
            out[:, padded] = ids
        return out

    def dense(self, records: Records) -> NDArray[np.float32]:
        """(n, n_dense) the dense features of records."""
        if not self.n_dense:
            return np.empty((len(records), 0), dtype=np.float32)
        return np.ascontiguousarray(records["dense"], dtype=np.float32)

    def labels(self, records: Records) -> NDArray[np.float32]:
        """(n,) the labels of records."""
        return records["label"].astype(np.float32)

    def weights(self, records: Records) -> NDArray[np.float32] | None:
        """(n,) the weights of records; None if they have none."""
        return records["weight"].astype(np.float32) if self.weighted else None

    def groups(self, records: Records) -> NDArray[np.uint64] | None:
        """(n,) the hashes of the records' groups, 2**64 - 1 for none; None if they have none."""
        return records["group"].astype(np.uint64) if self.grouped else None

    def batch(self, records: Records) -> Batch:
        """Records, which nobody else writes to, as a batch; its dense features are theirs."""
        weights = self.weights(records)
        dense = records["dense"] if self.n_dense else np.empty((len(records), 0), np.float32)
        return Batch(
            torch.from_numpy(dense),
            torch.from_numpy(self.sparse(records)),
            torch.from_numpy(self.labels(records)),
            None if weights is None else torch.from_numpy(weights),
        )
