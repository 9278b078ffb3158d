"""An architecture as pure data: blocks, canonical spelling, and which parts reach the logit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from nasrec.errors import SpaceError
from nasrec.space.canonical import network_text
from nasrec.space.operators import Branch, operator_info


@dataclass(frozen=True)
class Block:
    """One choice block (paper section 3): two branches, their sources, widths and mergers.

    Source 0 is the raw input, source i the output of block i (counting from 1). Operators and
    sources are kept sorted and without repetition, so their order in a spelling does not matter.

    Attributes:
        dense_ops: names of the dense branch's operators, at least one; their outputs are added.
        sparse_ops: the same for the sparse branch.
        dense_dim: width dim_d of the dense output.
        sparse_dim: number N_s of tokens of the sparse output, before the merger adds its own.
        dense_inputs: sources concatenated (on the last axis) for the dense input.
        sparse_inputs: sources concatenated (on the token axis) for the sparse input.
        left: the source of a binary operator's left input.
        right: the source of a binary operator's right input.
        dense_to_sparse: whether the dense branch also gives tokens to the sparse output.
        sparse_to_dense: whether the pooled sparse branch is added to the dense output.
    """

    dense_ops: tuple[str, ...]
    sparse_ops: tuple[str, ...]
    dense_dim: int
    sparse_dim: int
    dense_inputs: tuple[int, ...]
    sparse_inputs: tuple[int, ...]
    left: int = 0
    right: int = 0
    dense_to_sparse: bool = False
    sparse_to_dense: bool = False

    def __post_init__(self) -> None:
        for name, branch in (("dense_ops", "dense"), ("sparse_ops", "sparse")):
            ops = _normal(name, getattr(self, name), str)
            for op in ops:
                if operator_info(op).branch != branch:
                    raise SpaceError(f"{op!r} is not an operator of the {branch} branch")
            object.__setattr__(self, name, ops)
        for name in ("dense_inputs", "sparse_inputs"):
            object.__setattr__(self, name, _normal(name, getattr(self, name), int))
        for name in ("dense_dim", "sparse_dim"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SpaceError(f"{name} must be a positive integer, not {value!r}")
        for name in ("left", "right"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise SpaceError(f"{name} must name a source, not {value!r}")
        for name in ("dense_to_sparse", "sparse_to_dense"):
            if not isinstance(getattr(self, name), bool):
                raise SpaceError(f"{name} must be true or false, not {getattr(self, name)!r}")

    def reads(self, what: str, branch: Branch = "dense") -> bool:
        """Whether some operator of the branch reads `dense`, `sparse` or `pair`."""
        ops = self.dense_ops if branch == "dense" else self.sparse_ops
        return any(what in operator_info(op).reads for op in ops)

    @property
    def pair_is_ordered(self) -> bool:
        """Whether exchanging `left` and `right` changes what some operator computes."""
        infos = map(operator_info, self.dense_ops)
        return any("pair" in info.reads and not info.symmetric for info in infos)

    @property
    def connections_read(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Dense sources, sparse sources and pair, each as far as an operator reads it."""
        pair: tuple[int, ...] = ()
        if self.reads("pair"):
            pair = (self.left, self.right)
            if not self.pair_is_ordered:
                pair = tuple(sorted(pair))
        return self.dense_inputs if self.reads("dense") else (), self.sparse_inputs, pair


def _normal(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """Sorted and distinct, checked to be a non-empty sequence of `kind`."""
    if not isinstance(values, tuple | list):
        raise SpaceError(f"{name} must be a list, not {values!r}")
    if not values:
        raise SpaceError(f"{name} is empty; every block needs at least one")
    # By exact type, so that neither True nor a numpy integer passes.
    wrong = [item for item in values if type(item) is not kind]
    if not wrong and kind is int:
        wrong = [item for item in values if item < 0]
    if wrong:
        told = "an operator's name" if kind is str else "the number of a source"
        raise SpaceError(f"{name} holds {wrong[0]!r}, which is not {told}")
    return tuple(sorted(set(values)))


@dataclass(frozen=True)
class LiveBlock:
    """Which parts of one block reach the logit.

    Attributes:
        dense: the dense branch is computed.
        sparse: the sparse branch is computed.
        dense_to_sparse: the merger into the sparse output is computed.
        sparse_to_dense: the merger into the dense output is computed.
    """

    dense: bool = False
    sparse: bool = False
    dense_to_sparse: bool = False
    sparse_to_dense: bool = False

    def __bool__(self) -> bool:
        return self.dense or self.sparse


@dataclass(frozen=True)
class Architecture:
    """A stack of choice blocks; the logit reads both outputs of the last one.

    Two architectures are `==` when they choose the same for every block, dead ones included.
    They are the *same network* when their `digest` agrees: then they differ at most in parts that
    never reach the logit, in how live blocks are numbered, or in sources no operator reads.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks:
            raise SpaceError("an architecture needs at least one block")
        for i, block in enumerate(self.blocks, start=1):
            if not isinstance(block, Block):
                raise SpaceError(f"block {i} is {block!r}, not a Block")
            for name in ("dense_inputs", "sparse_inputs", "left", "right"):
                value = getattr(block, name)
                for source in value if isinstance(value, tuple) else (value,):
                    if source >= i:
                        raise SpaceError(
                            f"{name} names source {source}",
                            where=f"block {i}",
                            mend=f"block {i} can read sources 0 to {i - 1} (0 is the raw input)",
                        )

    # -- files ------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: object) -> Architecture:
        """Build from `{"blocks": [{...}, ...]}` or the bare list of blocks."""
        if isinstance(data, Mapping):
            if set(data) != {"blocks"}:
                raise SpaceError(
                    f"an architecture has the one key 'blocks', found {sorted(map(str, data))}"
                )
            data = data["blocks"]
        if isinstance(data, str) or not isinstance(data, Sequence):
            raise SpaceError("'blocks' must be a list of blocks")
        known = {f.name for f in fields(Block)}
        needed = {"dense_ops", "sparse_ops", "dense_dim", "sparse_dim"} | {
            "dense_inputs",
            "sparse_inputs",
        }
        blocks = []
        for i, item in enumerate(data, start=1):
            if not isinstance(item, Mapping):
                raise SpaceError("a block must be a mapping", where=f"block {i}")
            if wrong := sorted(set(item) - known, key=str):
                raise SpaceError(f"unknown key {wrong[0]!r}", where=f"block {i}")
            if missing := sorted(needed - set(item)):
                raise SpaceError(f"key {missing[0]!r} is missing", where=f"block {i}")
            try:
                blocks.append(Block(**item))
            except SpaceError as error:
                raise SpaceError(error.what, where=f"block {i}", mend=error.mend) from None
        return cls(tuple(blocks))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` gives the equal architecture back."""
        return {"blocks": [asdict(block) for block in self.blocks]}

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read the text `to_json` writes; SpaceError if it is not JSON or not an architecture."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpaceError(f"not valid JSON: {error}") from None
        except RecursionError:
            raise SpaceError("not valid JSON: nested too deeply") from None
        return cls.from_dict(data)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces; equal architectures give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    # -- what is computed -------------------------------------------------------------------

    @cached_property
    def live(self) -> tuple[LiveBlock, ...]:
        """For each block, which of its parts reach the logit."""
        n = len(self.blocks)
        dense_out = [False] * n + [True]
        sparse_out = [False] * n + [True]
        live: list[LiveBlock] = []
        for i in range(n, 0, -1):
            block = self.blocks[i - 1]
            to_sparse = block.dense_to_sparse and sparse_out[i]
            to_dense = block.sparse_to_dense and dense_out[i]
            part = LiveBlock(
                dense=dense_out[i] or to_sparse,
                sparse=sparse_out[i] or to_dense,
                dense_to_sparse=to_sparse,
                sparse_to_dense=to_dense,
            )
            live.append(part)
            if part.dense:
                if block.reads("dense"):
                    for source in block.dense_inputs:
                        dense_out[source] = True
                if block.reads("pair"):
                    dense_out[block.left] = dense_out[block.right] = True
            if part.sparse or (part.dense and block.reads("sparse")):
                for source in block.sparse_inputs:
                    sparse_out[source] = True
        return tuple(reversed(live))

    @property
    def live_blocks(self) -> tuple[int, ...]:
        """Numbers (from 1) of the blocks of which some part reaches the logit."""
        return tuple(i for i, part in enumerate(self.live, start=1) if part)

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the network, what is computed, however it is spelt.

        Stable across processes and versions of Python.
        """
        return hashlib.sha256(network_text(self).encode()).hexdigest()
