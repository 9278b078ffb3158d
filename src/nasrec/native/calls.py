"""Giving tensors to the kernels."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from nasrec.errors import NasrecError
from nasrec.native.build import library

LEAST_ROWS = 64
"""Rows a thread should have: fewer are done before it has woken up."""
T = TypeVar("T")


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels can take these tensors, and nobody records what is done to them."""
    return (
        all(x.dtype == torch.float32 and x.device.type == "cpu" for x in tensors)
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def address(x: Tensor) -> int:
    """Where a contiguous tensor's numbers are."""
    assert x.is_contiguous()
    return x.data_ptr()


def run(name: str, sizes: Sequence[int], *given: Tensor | Any | None) -> None:
    """Call a kernel that takes sizes, then contiguous tensors, none, or other pointers."""
    kernels = library()
    assert kernels is not None
    longs = [ctypes.c_long(size) for size in sizes]
    pointers = [ctypes.c_void_p(address(x)) if isinstance(x, Tensor) else x for x in given]
    if getattr(kernels, name)(*longs, *pointers):
        raise NasrecError(f"no memory left for {name}", mend="use smaller batches")


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "nasrec-native")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def in_parts(rows: int, call: Callable[[slice], T]) -> Sequence[T]:
    """`call` on parts of the rows, one for each of torch's threads; results in the rows' order."""
    count = max(1, min(torch.get_num_threads(), rows // LEAST_ROWS))
    if count == 1:
        return [call(slice(0, rows))]
    bounds = [rows * i // count for i in range(count + 1)]
    parts = [slice(low, high) for low, high in itertools.pairwise(bounds)]
    return list(_threads(count).map(call, parts))


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of what the parts gave, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
