"""Gradients of tables and slices: each row of a table once; optimisers by the compiled kernels."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasrec.native import address, library, usable


class _Room(threading.local):
    """A number for each row of the largest table a thread has seen; never cleared."""

    slots = np.empty(0, dtype=np.int32)

    def of(self, rows: int) -> NDArray[np.int32]:
        """Room for so many rows, with anything in it."""
        if len(self.slots) < rows:
            self.slots = np.empty(rows, dtype=np.int32)  # memory is taken as rows are touched
        return self.slots


_room = _Room()


def distinct_rows(grad: Tensor) -> Tensor:
    """A sparse gradient with each row once: `Tensor.coalesce`, but in the order of the batch.

    Without sorting, so several times faster: every entry writes its place to its row's slot, and
    who reads another place there is not the row's only entry. The order is what torch does not
    expect of a coalesced tensor: add no other to it.
    """
    if grad.is_coalesced() or grad.device.type != "cpu" or grad.sparse_dim() != 1:
        return grad.coalesce()
    indices, values = grad._indices(), grad._values()
    if values.dim() == 2 and usable(values):
        rows, total = _distinct_native(indices[0].contiguous(), values.contiguous(), len(grad))
    else:
        rows, total = _distinct(indices[0], values, len(grad))
    return torch.sparse_coo_tensor(
        rows.unsqueeze(0), total, grad.shape, is_coalesced=True, check_invariants=False
    )


def _distinct(indices: Tensor, values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    rows = indices.numpy()
    slots, places = _room.of(size), np.arange(len(rows), dtype=np.int32)
    slots[rows] = places
    stayed = slots[rows]
    first = stayed == places
    if first.all():
        return indices, values
    number = (np.cumsum(first) - 1)[stayed]
    again = np.flatnonzero(~first)
    total = values.index_select(0, torch.from_numpy(np.flatnonzero(first)))
    entries = values.index_select(0, torch.from_numpy(again))
    total.index_add_(0, torch.from_numpy(number[again]), entries)
    return torch.from_numpy(rows[first]), total


def _distinct_native(indices: Tensor, values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    kernels = library()
    assert kernels is not None
    rows, total = torch.empty_like(indices), torch.empty_like(values)
    kernels.distinct_rows.restype = ctypes.c_long
    found = kernels.distinct_rows(
        *(ctypes.c_long(n) for n in values.shape),
        *(ctypes.c_void_p(address(t)) for t in (indices, values)),
        ctypes.c_void_p(_room.of(size).ctypes.data),
        *(ctypes.c_void_p(address(t)) for t in (rows, total)),
    )
    return rows[:found], total[:found]


@dataclass(frozen=True)
class Update:
    """What a step does to one parameter, or to a slice of one.

    Attributes:
        name: of the parameter.
        weight: the parameter.
        grad: its gradient.
        state: state of the weight's shape, slices of that of the whole.
        rate: the learning rate.
    """

    name: str
    weight: Tensor
    grad: Tensor
    state: Sequence[Tensor]
    rate: float


def adagrad_matrices(updates: Sequence[Update], eps: float) -> Sequence[Update]:
    """Adagrad by the compiled kernels, in place; gives back the updates they cannot do."""
    return _by_kernel("adagrad_matrices", updates, [(update.rate,) for update in updates], eps)


def adam_matrices(
    updates: Sequence[Update],
    biases: Sequence[tuple[float, float]],
    eps: float,
    betas: tuple[float, float],
) -> Sequence[Update]:
    """Adam by the compiled kernels, in place; gives back the updates they cannot do.

    Args:
        updates: with both moments as their state.
        biases: of each update, the first moment's and the root of the second's.
        eps: added to the denominator.
        betas: share of each moment that stays.
    """
    given = [(u.rate / first, root) for u, (first, root) in zip(updates, biases, strict=True)]
    return _by_kernel("adam_matrices", updates, given, eps, *betas)


def _by_kernel(
    name: str, updates: Sequence[Update], numbers: Sequence[Sequence[float]], *settings: float
) -> Sequence[Update]:
    """Call a kernel on all updates whose tensors are matrices; the others are given back.

    It takes a table with a row for each: where weight, state and gradient are, rows, width, the
    strides of weight and state, and the numbers of this update; then the settings.
    """
    if not usable():
        return updates
    table, left, kept = [], [], []
    for update, given in zip(updates, numbers, strict=True):
        tensors, grad = (update.weight, *update.state), update.grad.contiguous()
        shape = _as_matrix(tensors)
        if shape is None or not usable(*tensors, grad):
            left.append(update)
            continue
        kept.append(grad)  # its memory must live until the call
        table += [x.data_ptr() for x in (*tensors, grad)]
        table += [*shape, *np.array(given, dtype=np.float64).view(np.int64).tolist()]
    kernels, rows = library(), np.array(table, dtype=np.int64)
    getattr(kernels, name)(
        ctypes.c_long(len(kept)), ctypes.c_void_p(rows.ctypes.data), *map(ctypes.c_double, settings)
    )
    return left


def _as_matrix(tensors: Sequence[Tensor]) -> tuple[int, ...] | None:
    """Rows, their width, and each tensor's stride between rows; None if they are no matrices."""
    weight = tensors[0]
    width, strides = weight.shape[-1] if weight.dim() else 1, []
    for x in tensors:
        if x.is_contiguous():
            strides.append(width)
            continue
        rows = x.flatten(0, -2)  # a copy, where the rows are not evenly apart
        if x.stride(-1) != 1 or rows.data_ptr() != x.data_ptr():
            return None
        strides.append(rows.stride(0))
    return weight.numel() // max(1, width), width, *strides


def adagrad_rows(
    weight: Tensor, total: Tensor, rows: Tensor, grad: Tensor, rate: float, eps: float
) -> bool:
    """Adagrad on rows of a table (V, E), each there once, in place; False if it cannot be done."""
    tensors = (weight, total, grad)
    if grad.dim() != 2 or not usable(*tensors) or not all(x.is_contiguous() for x in tensors):
        return False
    kernels = library()
    assert kernels is not None
    kernels.adagrad_rows(
        *(ctypes.c_long(n) for n in grad.shape),
        *(ctypes.c_void_p(address(t)) for t in (rows.contiguous(), grad, weight, total)),
        ctypes.c_double(rate), ctypes.c_double(eps),
    )  # fmt: skip
    return True
