"""What a training step would cost if it did nothing but its matrix products.

The products of forward and backward are recorded on tensors without storage, then run again, each
at its own shape, on tensors that are ready: nothing is gathered, normalised, added or updated.
What lies between that and the rate at 1024² is won by other products alone.

The inside of attention layers is left out: compiled kernels compute it, which have no product of
their own to run again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.harness import clock
from nasrec.nn import Inputs, ModelOptions, NASRecNet
from nasrec.nn.parameters import shapes_only
from nasrec.space import Architecture

Call = tuple[Any, list[tuple[torch.Size, tuple[int, ...]]]]
"""A product of torch, and shape and strides of each tensor it takes."""


class Products:
    """The products of one training step of each architecture.

    Attributes:
        madds: their multiply-adds.
    """

    def __init__(
        self,
        architectures: Sequence[Architecture],
        inputs: Inputs,
        options: ModelOptions,
        rows: int,
    ) -> None:
        calls = [c for a in architectures for c in _recorded(a, inputs, options, rows)]
        self.madds = sum(_madds(sizes) for _, sizes in calls)
        # One room for each place in a call: all products of a step would need gigabytes.
        most = max(math.prod(shape) for _, sizes in calls for shape, _ in sizes)
        rooms = [torch.randn(most) for _ in range(3)]
        self._calls = [
            (product, [room.as_strided(*size) for room, size in zip(rooms, sizes, strict=False)])
            for product, sizes in calls
        ]

    def seconds(self) -> float:
        """Time of all of them, one after the other."""
        began = clock()
        for product, tensors in self._calls:
            product(*tensors)
        return clock() - began


class _Recorder(TorchDispatchMode):
    """Writes down every product."""

    NAMES = ("mm", "bmm", "addmm", "addmm_", "baddbmm")

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in self.NAMES:
            tensors = [x for x in args if isinstance(x, Tensor)]
            self.calls.append((func, [(x.shape, x.stride()) for x in tensors]))
        return func(*args, **(kwargs or {}))


def _recorded(
    architecture: Architecture, inputs: Inputs, options: ModelOptions, rows: int
) -> list[Call]:
    network = NASRecNet(architecture, inputs, options, source=shapes_only).to("meta")
    dense = torch.empty(rows, inputs.dense, device="meta")
    ids = torch.empty(rows, inputs.sparse, dtype=torch.int64, device="meta")
    with (
        _Recorder() as recorder,
        mock.patch("nasrec.nn.encoder.fits", return_value=True),
        mock.patch("nasrec.nn.encoder.encode", lambda x, heads, weights: x.clone()),
    ):
        network(dense, ids).sum().backward()
    return recorder.calls


def _madds(sizes: Sequence[tuple[torch.Size, tuple[int, ...]]]) -> int:
    (left, _), (right, _) = sizes[-2:]
    return math.prod(left) * right[-1]
