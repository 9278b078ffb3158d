"""Several networks on the same rows, each part that they have in common computed once.

Children of one parent differ in one block: what does not depend on it is the same function of the
same shared weights in all of them. So a set of networks is laid out as one graph whose nodes are
the outputs of operators and mergers. A node is known by what it computes: its place (block, branch,
operator, width) and the nodes it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from nasrec.nn.network import ChoiceBlock, NASRecNet
from nasrec.nn.operators import Operator, Reading

_Values = dict[int, Tensor]
_DENSE, _TOKENS = 0, 1
"""The nodes of the raw input: numeric columns and embeddings."""


@dataclass(frozen=True)
class _Node:
    reads: tuple[int, ...]
    compute: Callable[[_Values], Tensor]


class Together:
    """Networks on slices of the same shared weights, in evaluation mode.

    Args:
        networks: from one `SharedWeights`, at least one.

    Attributes:
        same: for each network the index of the first one that computes the same: itself, or one
            that is spelt otherwise but alike in all live parts.
    """

    def __init__(self, networks: Sequence[NASRecNet]) -> None:
        self.networks = networks
        self._nodes: list[_Node] = [_Node((), _nothing)] * 2
        self._number: dict[Hashable, int] = {}
        self._parts = [self._lay_out(network) for network in networks]
        first: dict[tuple[int, ...], int] = {}
        self.same = [first.setdefault(parts, i) for i, parts in enumerate(self._parts)]
        self._last = [0] * len(self._nodes)
        self._needs = [self._needed(parts) for parts in self._parts]
        for i in sorted(first.values()):
            for node in self._needs[i]:
                self._last[node] = i

    def features(self, dense: Tensor, sparse: Tensor) -> Iterator[tuple[int, Tensor]]:
        """What the last FC of each distinct network reads: its index, and (B, H).

        Bit for bit `NASRecNet.features`. A value is dropped after the last network that needs it.
        """
        dense = self.networks[0].numbers(dense, sparse)
        tokens = self.networks[0].embedding(sparse).transpose(1, 2).contiguous()
        values: _Values = {_DENSE: dense, _TOKENS: tokens}
        linear = self.networks[0].linear(dense, sparse)
        for i, same in enumerate(self.same):
            if same != i:
                continue
            for node in self._needs[i]:
                if node not in values:
                    values[node] = self._nodes[node].compute(values)
            yield i, torch.cat([*(values[p].flatten(1) for p in self._parts[i]), *linear], 1)
            for node in self._needs[i]:
                if self._last[node] == i and node > _TOKENS:
                    del values[node]

    @property
    def computed(self) -> tuple[int, int]:
        """How many nodes are computed for a batch, and how many the networks alone would."""
        distinct = [self._needs[i] for i in sorted(set(self.same))]
        return len(set().union(*distinct)), sum(len(self._needs[i]) for i in self.same)

    def _needed(self, parts: tuple[int, ...]) -> list[int]:
        """A network's nodes; a node's number is greater than those of the nodes it reads."""
        found, open_ = set(parts), list(parts)
        while open_:
            new = [n for n in self._nodes[open_.pop()].reads if n not in found]
            found.update(new)
            open_ += new
        return sorted(found)

    def _node(
        self, key: Hashable, reads: Sequence[int], compute: Callable[[_Values], Tensor]
    ) -> int:
        number = self._number.setdefault((key, tuple(reads)), len(self._nodes))
        if number == len(self._nodes):
            self._nodes.append(_Node(tuple(reads), compute))
        return number

    def _lay_out(self, network: NASRecNet) -> tuple[int, ...]:
        """The nodes whose values side by side are the network's features."""
        dense: dict[int, int] = {0: _DENSE}
        sparse: dict[str, int] = {"0": _TOKENS}
        for name, module in network.blocks.items():
            block = cast("ChoiceBlock", module)
            y_d = self._branch(name, block, "dense", dense, sparse)
            y_s = self._branch(name, block, "sparse", dense, sparse)
            if block.to_sparse:
                assert y_d is not None
                merge = _of_one(block.to_sparse, y_d)
                sparse[f"{name}+"] = self._node((name, "to_sparse"), (y_d,), merge)
            if block.to_dense:
                assert y_d is not None
                assert y_s is not None
                key = (name, "to_dense", block.dense_out.size)
                y_d = self._sum([y_d, self._node(key, (y_s,), _of_one(block.to_dense, y_s))])
            if y_d is not None:
                dense[int(name)] = y_d
            if y_s is not None:
                sparse[name] = y_s
        last = len(network.architecture.blocks)
        return (dense[last], *(sparse[part] for part in network.head.sparse))

    def _branch(
        self,
        name: str,
        block: ChoiceBlock,
        branch: str,
        dense: dict[int, int],
        sparse: dict[str, int],
    ) -> int | None:
        """The node of a branch's sum; None where the branch is dead."""
        operators, out = (
            (block.dense, block.dense_out)
            if branch == "dense"
            else (block.sparse, block.sparse_out)
        )
        found = []
        for operator_name, module in operators.items():
            operator = cast("Operator", module)
            reads = operator.info.reads
            ds = {str(j): dense[j] for j in block.dense_inputs} if "dense" in reads else {}
            ss = {part: sparse[part] for part in block.sparse_inputs} if "sparse" in reads else {}
            left, right = block.block.left, block.block.right
            pair = (dense[left], dense[right]) if "pair" in reads else ()
            key = (name, branch, operator_name, out.size, *ds, "|", *ss, "|", left if pair else "")
            nodes = (*ds.values(), *ss.values(), *pair)
            found.append(self._node(key, nodes, _of_reading(operator, ds, ss, pair)))
        return self._sum(found) if found else None

    def _sum(self, nodes: list[int]) -> int:
        total = nodes[0]
        for node in nodes[1:]:
            total = self._node("sum", (total, node), _sum_of(total, node))
        return total


def _nothing(values: _Values) -> Tensor:
    raise AssertionError("the raw input is given")


def _of_one(module: torch.nn.Module, node: int) -> Callable[[_Values], Tensor]:
    return lambda values: module(values[node])


def _sum_of(a: int, b: int) -> Callable[[_Values], Tensor]:
    return lambda values: values[a] + values[b]


def _of_reading(
    operator: Operator, dense: dict[str, int], sparse: dict[str, int], pair: tuple[int, ...]
) -> Callable[[_Values], Tensor]:
    def compute(values: _Values) -> Tensor:
        y: Tensor = operator(
            Reading(
                dense={name: values[node] for name, node in dense.items()},
                sparse={name: values[node] for name, node in sparse.items()},
                left=values[pair[0]] if pair else None,
                right=values[pair[1]] if pair else None,
            )
        )
        return y

    return compute
