"""One text for one network: what an architecture computes, blind to how it is spelt.

Left out: parts that never reach the logit, sources that no operator reads, the order of symmetric
inputs, and the numbering of blocks. Two architectures have the same text exactly when their live
networks are isomorphic, shared and separate blocks told apart.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasrec.space.architecture import Architecture

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def network_text(architecture: Architecture) -> str:
    """The canonical text of the live network.

    Blocks are coloured by what they compute and from what, down to the raw input (a Merkle
    tree), and numbered by depth, then colour. Where blocks share a colour, colours are refined by
    who reads them; what ties then remain are broken in every way that could matter, and the
    smallest text is taken.
    """
    return _Canonical(architecture).text()


def _hash(value: object) -> str:
    return hashlib.sha256(_encode(value).encode()).hexdigest()


class _Canonical:
    """The live network of one architecture as a graph whose nodes can be coloured."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.live = architecture.live_blocks
        self.depth = {0: 0}
        self.colour: dict[int, str] = {0: "input"}
        for i in self.live:
            spelt = self.spell(i, self.colour)
            self.colour[i] = _hash(spelt)
            sources = [s for _, s in self.reads(i)]
            self.depth[i] = 1 + max((self.depth[s] for s in sources), default=0)

    def reads(self, i: int) -> list[tuple[str, int]]:
        """What block i's live parts read: (role, source) pairs, with repetitions."""
        block, live = self.architecture.blocks[i - 1], self.architecture.live[i - 1]
        dense, sparse, pair = block.connections_read
        found: list[tuple[str, int]] = []
        if live.dense:
            found += [("dense", s) for s in dense]
            roles = ("left", "right") if block.pair_is_ordered else ("pair", "pair")
            found += list(zip(roles, pair, strict=False))
        if live.sparse or (live.dense and block.reads("sparse")):
            found += [("sparse", s) for s in sparse]
        return found

    def spell(self, i: int, name_of: Mapping[int, Any]) -> list[Any]:
        """What block i computes, with its sources written as `name_of` says."""
        block, live = self.architecture.blocks[i - 1], self.architecture.live[i - 1]
        return [
            [list(block.dense_ops), block.dense_dim] if live.dense else None,
            [list(block.sparse_ops), block.sparse_dim] if live.sparse else None,
            [live.dense_to_sparse, live.sparse_to_dense],
            sorted([role, name_of[source]] for role, source in self.reads(i)),
        ]

    def text(self) -> str:
        """The smallest text over all orders that the colours leave open."""
        if len(set(self.colour.values())) < len(self.colour):
            self.readers: dict[int, list[tuple[str, int]]] = defaultdict(list)
            for i in self.live:
                for role, source in self.reads(i):
                    self.readers[source].append((role, i))
            return self._break_ties(self._refine(self.colour))
        return self._number(self.colour)

    def _number(self, colour: Mapping[int, str]) -> str:
        """The text when every block has a colour of its own. The logit's block comes last."""
        order = sorted(self.live, key=lambda i: (self.depth[i], colour[i]))
        number = {0: 0} | {block: new for new, block in enumerate(order, start=1)}
        return _encode([self.spell(i, number) for i in order])

    def _refine(self, colour: Mapping[int, str]) -> dict[int, str]:
        """Tell blocks apart by the colours of what they read and what reads them."""
        classes = 0
        colour = dict(colour)
        while len(set(colour.values())) > classes:
            classes = len(set(colour.values()))
            colour = {0: "input"} | {
                i: _hash(
                    [
                        colour[i],
                        self.spell(i, colour),
                        sorted([role, colour[reader]] for role, reader in self.readers[i]),
                    ]
                )
                for i in self.live
            }
        return colour

    def _break_ties(self, colour: dict[int, str]) -> str:
        members: dict[tuple[int, str], list[int]] = defaultdict(list)
        for i in self.live:
            members[self.depth[i], colour[i]].append(i)
        tied = sorted(key for key, blocks in members.items() if len(blocks) > 1)
        if not tied:
            return self._number(colour)
        # Blocks with the same sources and the same readers can change places: one stands for all.
        stand_ins = {
            (tuple(sorted(self.reads(i))), tuple(sorted(self.readers[i]))): i
            for i in members[tied[0]]
        }
        return min(
            self._break_ties(self._refine(colour | {i: "chosen " + colour[i]}))
            for i in stand_ins.values()
        )
