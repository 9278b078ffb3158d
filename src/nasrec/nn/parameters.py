"""Where a network's parameters come from: fresh tensors, or slices that a supernet lends.

A module never makes a parameter itself. It asks a `Maker` by name, axes and initialisation. So the
same module is a standalone model, a subnet on views of shared weights, or a mere count of weights.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter.

    Attributes:
        size: its length in this network.
        limit: its length in the widest network of the space; equal to `size` outside a supernet.
    """

    size: int
    limit: int

    @classmethod
    def fixed(cls, size: int) -> Axis:
        """An axis that no architecture changes."""
        return cls(size, size)

    @classmethod
    def total(cls, axes: Iterable[Axis]) -> Axis:
        """The concatenation of several axes."""
        axes = list(axes)
        return cls(sum(a.size for a in axes), sum(a.limit for a in axes))

    @classmethod
    def widest(cls, *axes: Axis) -> Axis:
        """The longest of several axes."""
        return cls(max(a.size for a in axes), max(a.limit for a in axes))

    def map(self, function: Callable[[int], int]) -> Axis:
        """An axis whose length follows from this one's by a monotone function."""
        return Axis(function(self.size), function(self.limit))


Length = Callable[[Axis], int]
Init = Callable[[Tensor, torch.Generator, Length], None]


def size(axis: Axis) -> int:
    """Length of an axis in this network."""
    return axis.size


def limit(axis: Axis) -> int:
    """Length of an axis in the shared weights."""
    return axis.limit


def leading(whole: Tensor, shape: Sequence[int]) -> Tensor:
    """The view of a tensor's first entries along each axis.

    A third of the time of slicing axis by axis; a sparse gradient does not find its way back.
    """
    return whole.as_strided(shape, whole.stride())


def constant(value: float) -> Init:
    """Fill with one value."""

    def init(tensor: Tensor, generator: torch.Generator, length: Length) -> None:
        tensor.fill_(value)

    return init


def normal(std: float) -> Init:
    """Normal with mean 0."""

    def init(tensor: Tensor, generator: torch.Generator, length: Length) -> None:
        tensor.normal_(0, std, generator=generator)

    return init


def xavier_uniform(fan_in: Axis, fan_out: Axis) -> Init:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""

    def init(tensor: Tensor, generator: torch.Generator, length: Length) -> None:
        bound = math.sqrt(6 / max(1, length(fan_in) + length(fan_out)))
        tensor.uniform_(-bound, bound, generator=generator)

    return init


Source = Callable[[str, tuple[Axis, ...], Init], nn.Parameter]


class Maker:
    """Gives parameters by name, below a prefix."""

    def __init__(self, source: Source, prefix: str = "") -> None:
        self.source, self.prefix = source, prefix

    def child(self, name: str) -> Maker:
        """The same source, one module deeper."""
        return Maker(self.source, f"{self.prefix}{name}.")

    def __call__(self, name: str, *axes: Axis, init: Init) -> nn.Parameter:
        return self.source(self.prefix + name, axes, init)


def seeded_generator(seed: int, name: str) -> torch.Generator:
    """A random stream for one named tensor, so that the order of creation does not matter."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def fresh(seed: int) -> Source:
    """Newly initialised parameters of exactly the network's size."""

    def source(name: str, axes: tuple[Axis, ...], init: Init) -> nn.Parameter:
        tensor = torch.empty([a.size for a in axes])
        init(tensor, seeded_generator(seed, name), size)
        return nn.Parameter(tensor)

    return source


def shapes_only(name: str, axes: tuple[Axis, ...], init: Init) -> nn.Parameter:
    """Parameters without storage, for counting."""
    return nn.Parameter(torch.empty([a.size for a in axes], device="meta"))
