"""The full supernet with a weight on every choice, so that gradients say which to take.

All operators of a block are computed and added, each times its weight; sources and mergers are
scaled by a gate; of an output's units each is scaled by the chance that the width reaches it (as
the masks of FBNetV2, Wan et al., CVPR 2020). The two inputs of a binary operator are single by
nature: they are drawn, and their gate is one whose gradient is that of the drawn option's weight.

Legend: B batch, D dense width, E embedding width, N tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasrec.nn.network import ChoiceBlock, NASRecNet
from nasrec.nn.operators import Reading
from nasrec.space.space import SearchSpace


@dataclass(frozen=True)
class BlockGates:
    """The weights of one block's choices.

    Attributes:
        dense_ops, sparse_ops: by operator, a scalar; they sum to one.
        dense_mask: (D,) of the largest width.
        sparse_mask: (N,) likewise.
        dense_inputs, sparse_inputs: (sources,).
        left, right: scalars.
        to_sparse, to_dense: scalars.
        pair: the sources that `left` and `right` are of.
    """

    dense_ops: Mapping[str, Tensor]
    sparse_ops: Mapping[str, Tensor]
    dense_mask: Tensor
    sparse_mask: Tensor
    dense_inputs: Tensor
    sparse_inputs: Tensor
    left: Tensor
    right: Tensor
    to_sparse: Tensor
    to_dense: Tensor
    pair: tuple[int, int]

    @classmethod
    def of(
        cls, space: SearchSpace, weights: Mapping[str, Tensor], pair: tuple[int, int]
    ) -> BlockGates:
        """From the weights of all options of each choice (`nasrec.space.choices`).

        A pair's gate is one, whatever its option's weight, and has that weight's gradient.
        """
        left, right = (
            1 + weights[name][j] - weights[name][j].detach()
            for name, j in zip(("left", "right"), pair, strict=True)
        )
        to_sparse, to_dense = weights["mergers"]
        return cls(
            dict(zip(space.dense_ops, weights["dense_ops"], strict=True)),
            dict(zip(space.sparse_ops, weights["sparse_ops"], strict=True)),
            _mask(space.dense_dims, weights["dense_dim"]),
            _mask(space.sparse_dims, weights["sparse_dim"]),
            weights["dense_inputs"],
            weights["sparse_inputs"],
            left,
            right,
            to_sparse,
            to_dense,
            pair,
        )


def _mask(dims: Sequence[int], weights: Tensor) -> Tensor:
    """(D,) for each unit of the largest width, the weight of the widths that have it."""
    reached = torch.arange(max(dims)) < torch.tensor(dims).unsqueeze(1)
    return weights @ reached.to(weights.dtype)


class RelaxedNet(nn.Module):
    """A network of the first blocks of a maximal architecture, gated; ends in a last FC of its own.

    Args:
        network: of `SearchSpace.maximal` with the pairs of the gates; its parameters are trained.
        gates: of each block, from the first; there may be fewer than the network has blocks.
        head: by name, weight (`head_width`,) and bias (1,) of the last FC.
    """

    def __init__(
        self, network: NASRecNet, gates: Sequence[BlockGates], head: Mapping[str, nn.Parameter]
    ) -> None:
        super().__init__()
        self.network, self.gates, self.head = network, gates, dict(head)
        self.architecture = network.architecture

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Those of the network, under their names there, and of the last FC that is used."""
        for name, parameter in self.network.named_parameters():
            if not name.startswith("head."):
                yield prefix + name, parameter
        yield from ((prefix + name, parameter) for name, parameter in self.head.items())

    def features(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """What the last FC reads: (B, `head_width`)."""
        dense = self.network.numbers(dense, sparse)
        tokens = self.network.embedding(sparse).transpose(1, 2).contiguous()
        dense_of: dict[int, Tensor] = {0: dense}
        sparse_of: dict[str, Tensor] = {"0": tokens}
        for i, gates in enumerate(self.gates, start=1):
            block = self.network.blocks[str(i)]
            assert isinstance(block, ChoiceBlock)
            dense_of[i], sparse_of[str(i)], sparse_of[f"{i}+"] = _gated(
                block, gates, dense_of, sparse_of
            )
        last = len(self.gates)
        parts = [dense_of[last], sparse_of[str(last)].flatten(1), sparse_of[f"{last}+"].flatten(1)]
        return torch.cat([*parts, *self.network.linear(dense, sparse)], 1)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(B, columns) twice, to logits (B,)."""
        weight, bias = self.head.values()
        return self.features(dense, sparse) @ weight + bias


def head_width(network: NASRecNet, block: int) -> int:
    """Number of features that a last FC reads from a block of a maximal network."""
    built = network.blocks[str(block)]
    assert isinstance(built, ChoiceBlock)
    o = network.options
    tokens = built.sparse_out.size + o.merger_tokens
    return built.dense_out.size + o.embedding_dim * tokens + o.first_order


def _gated(
    block: ChoiceBlock,
    gates: BlockGates,
    dense_of: Mapping[int, Tensor],
    sparse_of: Mapping[str, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Y_d (B, D), Y_s (B, E, N) and the merger's tokens (B, E, K)."""
    reading = Reading(
        dense={str(j): dense_of[j] * gates.dense_inputs[j] for j in block.dense_inputs},
        sparse={
            part: sparse_of[part] * gates.sparse_inputs[int(part.rstrip("+"))]
            for part in block.sparse_inputs
        },
        left=dense_of[gates.pair[0]] * gates.left,
        right=dense_of[gates.pair[1]] * gates.right,
    )
    y_d = _mixed(block.dense, gates.dense_ops, reading) * gates.dense_mask
    y_s = _mixed(block.sparse, gates.sparse_ops, reading) * gates.sparse_mask
    assert block.to_sparse is not None and block.to_dense is not None  # it is maximal
    tokens = block.to_sparse(y_d) * gates.to_sparse
    return y_d + block.to_dense(y_s) * gates.to_dense * gates.dense_mask, y_s, tokens


def _mixed(operators: nn.ModuleDict, weights: Mapping[str, Tensor], reading: Reading) -> Tensor:
    """The weighted sum; an operator whose weight is zero is not computed."""
    total: Tensor | None = None
    for name, weight in weights.items():
        if weight.requires_grad or weight.item():
            y = operators[name](reading) * weight
            total = y if total is None else total + y
    assert total is not None
    return total
