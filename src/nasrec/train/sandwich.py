"""Several subnets on one mini-batch: the sandwich rule with in-place distillation.

Yu et al., "BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage Models", ECCV 2020.
There the largest network is the whole supernet. Here candidates have one operator a branch, so the
largest is a *path* at its greatest widths: what a candidate can be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasrec.nn import NASRecNet, SharedWeights
from nasrec.space import Architecture, SearchSpace
from nasrec.train.loop import weighted_loss

if TYPE_CHECKING:
    from nasrec.data import Batch


def at_widths(space: SearchSpace, architecture: Architecture, largest: bool) -> Architecture:
    """The same operators and connections, all blocks at the space's largest or smallest widths."""
    end = max if largest else min
    dense, sparse = end(space.dense_dims), end(space.sparse_dims)
    return Architecture(
        tuple(
            dataclasses.replace(block, dense_dim=dense, sparse_dim=sparse)
            for block in architecture.blocks
        )
    )


class Sandwich(nn.Module):
    """Subnets that share one leaf for each parameter: the gradients of all are summed in it.

    A leaf is the leading slice of the shared tensor that the largest of them needs. The first
    subnet learns from labels, the others from its probabilities.
    """

    def __init__(self, shared: SharedWeights, architectures: Sequence[Architecture]) -> None:
        super().__init__()
        self.architecture = architectures[0]
        self.subnets: list[NASRecNet] = [shared.subnet(a) for a in architectures]
        sizes: dict[str, tuple[int, ...]] = {}
        for subnet in self.subnets:
            for name, parameter in subnet.named_parameters():
                shape = tuple(parameter.shape)
                sizes[name] = tuple(map(max, sizes.get(name, shape), shape))
        self.leaves = {
            name: nn.Parameter(_leading(shared.tensors[name], size)) for name, size in sizes.items()
        }

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The shared leaves, under the names that a subnet's parameters have."""
        return ((prefix + name, leaf) for name, leaf in self.leaves.items())

    def logits(self, number: int, batch: Batch) -> Tensor:
        """(B,) of one subnet, on slices of the leaves."""
        subnet = self.subnets[number]
        slices = {n: _leading(self.leaves[n], p.shape) for n, p in subnet.named_parameters()}
        found: Tensor = functional_call(subnet, slices, (batch.dense, batch.sparse))
        return found

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of the subnets."""
        teacher = self.logits(0, batch)
        losses = [weighted_loss(teacher, batch)]
        targets = torch.sigmoid(teacher.detach())
        losses += [
            weighted_loss(self.logits(i, batch), batch, targets)
            for i in range(1, len(self.subnets))
        ]
        return torch.stack(losses).mean()


def _leading(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    for dim, size in enumerate(sizes):
        if size != tensor.shape[dim]:
            tensor = tensor.narrow(dim, 0, size)
    return tensor


def sandwich_loss(network: nn.Module, batch: Batch) -> Tensor:
    """What a step on a `Sandwich` minimises."""
    assert isinstance(network, Sandwich)
    return network.loss(batch)
