"""The one model class: computes exactly what its architecture says, on its own or lent weights.

Legend of shape suffixes: B batch, F categorical columns, D dense width, E embedding width,
N tokens, H width of what the last FC reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.dropout import dropout
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.mergers import DenseToSparse, SparseToDense
from nasrec.nn.operators import Operator, Reading, Widths, operator_class
from nasrec.nn.parameters import Axis, Maker, Source, constant, fresh, xavier_uniform
from nasrec.nn.rates import ClickRates, reads_rates, with_rates
from nasrec.space.architecture import Architecture, Block, LiveBlock


@dataclass(frozen=True)
class Limits:
    """The widest choices of a search space: the lengths of shared weights.

    Attributes:
        dense: largest dim_d.
        sparse: largest N_s.
    """

    dense: int
    sparse: int


@dataclass
class _Sources:
    """Widths of the parts that each source gives, known so far."""

    dense: dict[int, Axis] = field(default_factory=dict)
    sparse: dict[int, dict[str, Axis]] = field(default_factory=dict)

    def sparse_parts(self, sources: tuple[int, ...]) -> dict[str, Axis]:
        return {name: axis for j in sources for name, axis in self.sparse[j].items()}


class ChoiceBlock(nn.Module):
    """The live parts of one choice block."""

    def __init__(
        self,
        block: Block,
        live: LiveBlock,
        sources: _Sources,
        limits: Limits | None,
        options: ModelOptions,
        make: Maker,
    ) -> None:
        super().__init__()
        self.block, self.live, self.dropout = block, live, options.dropout
        self.dense_out = Axis(block.dense_dim, limits.dense if limits else block.dense_dim)
        self.sparse_out = Axis(block.sparse_dim, limits.sparse if limits else block.sparse_dim)
        reads_pair = live.dense and block.reads("pair")
        reads_dense = live.dense and block.reads("dense")
        reads_sparse = live.sparse or (live.dense and block.reads("sparse"))
        nothing = Axis.fixed(0)
        left, right = (
            sources.dense[j] if reads_pair else nothing for j in (block.left, block.right)
        )
        widest = Axis.widest(*sources.dense.values()) if limits else Axis.widest(left, right)
        self.dense_inputs = block.dense_inputs if reads_dense else ()
        self.sparse_inputs = (
            tuple(sources.sparse_parts(block.sparse_inputs)) if reads_sparse else ()
        )
        dense = {str(j): sources.dense[j] for j in self.dense_inputs}
        sparse = sources.sparse_parts(block.sparse_inputs) if reads_sparse else {}

        def build(name: str, branch: str, out: Axis) -> Operator:
            widths = Widths(
                dense=dense,
                sparse=sparse,
                left=left,
                right=right,
                pair_limit=widest.limit,
                left_name=str(block.left),
                out=out,
            )
            return operator_class(name)(widths, options, make.child(branch).child(name))

        self.dense = nn.ModuleDict()
        self.sparse = nn.ModuleDict()
        if live.dense:
            for name in block.dense_ops:
                self.dense[name] = build(name, "dense", self.dense_out)
        if live.sparse:
            for name in block.sparse_ops:
                self.sparse[name] = build(name, "sparse", self.sparse_out)
        self.to_sparse = (
            DenseToSparse(self.dense_out, options, make.child("to_sparse"))
            if live.dense_to_sparse
            else None
        )
        self.to_dense = (
            SparseToDense(self.dense_out, options, make.child("to_dense"))
            if live.sparse_to_dense
            else None
        )

    def forward(
        self, dense: Mapping[int, Tensor], sparse: Mapping[str, Tensor]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Give Y_d (B, D), Y_s (B, E, N) and the merger's tokens (B, E, K); None where dead."""
        reading = Reading(
            dense={str(j): dense[j] for j in self.dense_inputs},
            sparse={name: sparse[name] for name in self.sparse_inputs},
            left=dense.get(self.block.left),
            right=dense.get(self.block.right),
        )
        y_d = self._dropped(_sum([op(reading) for op in self.dense.values()]))
        y_s = self._dropped(_sum([op(reading) for op in self.sparse.values()]))
        # The mergers read the branch sums side by side (method note: neither sees the other).
        tokens = self.to_sparse(y_d) if self.to_sparse else None
        if self.to_dense:
            y_d = y_d + self.to_dense(y_s)
        return y_d, y_s, tokens

    def _dropped(self, x: Tensor | None) -> Tensor | None:
        return None if x is None else dropout(x, self.dropout, self.training)

    @property
    def madds(self) -> int:
        """Multiply-adds for one row."""
        parts = [*self.dense.values(), *self.sparse.values(), self.to_sparse, self.to_dense]
        return sum(cast("Operator", part).madds for part in parts if part is not None)


def _sum(tensors: list[Tensor]) -> Tensor | None:
    if not tensors:
        return None
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


class Head(nn.Module):
    """The last FC: one logit from Y_d, the flattened Y_s of the last block, and the linear part."""

    def __init__(
        self,
        dense: Axis,
        sparse: Mapping[str, Axis],
        width: int,
        make: Maker,
        first_order: bool = False,
    ) -> None:
        super().__init__()
        embedding = Axis.fixed(width)
        size = dense.size + width * sum(axis.size for axis in sparse.values())
        init = xavier_uniform(Axis(size, dense.limit), Axis.fixed(1))
        self.dense = make("dense", dense, init=init)
        slabs = make.child("sparse")
        self.sparse = nn.ParameterDict(
            {name: slabs(name, embedding, axis, init=init) for name, axis in sparse.items()}
        )
        self.first_order = (
            make("first_order", Axis.fixed(1), init=constant(1)) if first_order else None
        )
        self.bias = make("bias", Axis.fixed(1), init=constant(0))
        self.madds = size + first_order

    def weight(self) -> Tensor:
        """All slabs as one vector (H,), in the order of `NASRecNet.features`."""
        parts = [self.dense, *(slab.flatten() for slab in self.sparse.values())]
        return torch.cat(parts if self.first_order is None else [*parts, self.first_order])


class NASRecNet(nn.Module):
    """The network of an architecture: numeric columns and ids in, one logit a row out.

    Only what reaches the logit is built and computed. Shapes: dense (B, n_dense) float, sparse
    (B, F) integer ids, to logits (B,).

    Args:
        architecture: what to compute.
        inputs: the columns.
        options: embedding width, heads, LayerNorm.
        seed: decides the initial weights; each parameter has its own stream, by name.
        prune: leave dead parts out; False builds them too, to count a published architecture's
            weights as its authors do.
        limits: widest choices of the space, for a network on shared weights.
        source: where parameters come from; newly initialised by default.

    Source: paper section 3; spec/method.md sections 2 and 3.
    """

    title: ClassVar[str] = "NASRecNet"
    paper: ClassVar[str] = "Zhang et al., WWW 2023, arXiv 2207.07187"

    def __init__(
        self,
        architecture: Architecture,
        inputs: Inputs,
        options: ModelOptions | None = None,
        *,
        seed: int = 0,
        prune: bool = True,
        limits: Limits | None = None,
        source: Source | None = None,
    ) -> None:
        super().__init__()
        self.architecture, self.inputs = architecture, inputs
        self.options = options = options or ModelOptions()
        make = Maker(source or fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.rates = ClickRates(inputs) if reads_rates(inputs, options) else None
        if self.rates is not None:
            inputs = with_rates(inputs)
        self.first_order = (
            FirstOrder(inputs, options, make.child("first_order")) if options.first_order else None
        )
        sources = _Sources({0: Axis.fixed(inputs.dense)}, {0: {"0": Axis.fixed(inputs.sparse)}})
        self.blocks = nn.ModuleDict()
        for i, (block, live) in enumerate(
            zip(architecture.blocks, architecture.live, strict=True), start=1
        ):
            part = live if prune else _everything(block)
            # A dead block's width still counts: it bounds what a shared weight must hold.
            sources.dense[i] = Axis(block.dense_dim, limits.dense if limits else block.dense_dim)
            sources.sparse[i] = {}
            if not part:
                continue
            earlier = _Sources({j: a for j, a in sources.dense.items() if j < i}, sources.sparse)
            built = ChoiceBlock(
                block, part, earlier, limits, options, make.child("blocks").child(str(i))
            )
            self.blocks[str(i)] = built
            if part.sparse:
                sources.sparse[i][str(i)] = built.sparse_out
            if part.dense_to_sparse:
                sources.sparse[i][f"{i}+"] = Axis.fixed(options.merger_tokens)
        last = len(architecture.blocks)
        self.head = Head(
            sources.dense[last],
            sources.sparse[last],
            options.embedding_dim,
            make.child("head"),
            options.first_order,
        )

    def features(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """What the last FC reads: (B, H)."""
        dense = self.numbers(dense, sparse)
        tokens = self.embedding(sparse).transpose(1, 2).contiguous()
        dense_of: dict[int, Tensor] = {0: dense}
        sparse_of: dict[str, Tensor] = {"0": tokens}
        for name, block in self.blocks.items():
            y_d, y_s, merged = block(dense_of, sparse_of)
            if y_d is not None:
                dense_of[int(name)] = y_d
            if y_s is not None:
                sparse_of[name] = y_s
            if merged is not None:
                sparse_of[f"{name}+"] = merged
        last = len(self.architecture.blocks)
        flat = [sparse_of[part].flatten(1) for part in self.head.sparse]
        return torch.cat([dense_of[last], *flat, *self.linear(dense, sparse)], 1)

    def numbers(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """The numbers of the rows, with the click rates of their ids where they are read."""
        return dense if self.rates is None else self.rates(dense, sparse)

    def linear(self, dense: Tensor, sparse: Tensor) -> list[Tensor]:
        """The linear part of `numbers`, (B, 1), in a list; an empty one where there is none."""
        if self.first_order is None:
            return []
        return [self.first_order(dense, sparse).unsqueeze(1)]

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        features = self.features(dense, sparse)
        return F.linear(features, self.head.weight().unsqueeze(0), self.head.bias).squeeze(1)

    def head_weight(self) -> Tensor:
        """Weight of the last FC: (H,), in the order of `features`."""
        return self.head.weight()

    def head_bias(self) -> Tensor:
        """Bias of the last FC: (1,)."""
        return self.head.bias

    @property
    def madds(self) -> int:
        """Multiply-adds for one row: matrix products, no embedding, no element-wise work."""
        blocks = cast("Iterable[ChoiceBlock]", self.blocks.values())
        linear = 0 if self.first_order is None else self.first_order.madds
        return sum(block.madds for block in blocks) + linear + self.head.madds


def _everything(block: Block) -> LiveBlock:
    return LiveBlock(True, True, block.dense_to_sparse, block.sparse_to_dense)
