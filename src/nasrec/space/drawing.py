"""Architectures drawn from a search space: at random, by mutation, and the largest one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from nasrec.errors import ConfigError
from nasrec.space.architecture import Architecture, Block
from nasrec.space.sets import count_sets, draw_one, draw_set

if TYPE_CHECKING:
    from nasrec.space.space import SearchSpace

#: What one mutation can change in a block, and the fields it covers.
CHOICES: dict[str, tuple[str, ...]] = {
    "dense_dim": ("dense_dim",),
    "sparse_dim": ("sparse_dim",),
    "dense_ops": ("dense_ops",),
    "sparse_ops": ("sparse_ops",),
    "connections": ("dense_inputs", "sparse_inputs", "left", "right"),
    "mergers": ("dense_to_sparse", "sparse_to_dense"),
}


def _draw(space: SearchSpace, choice: str, i: int, rng: np.random.Generator) -> dict[str, Any]:
    """Fresh values for the fields of one choice of block i."""
    if choice == "connections":
        limit, rule = space.max_connections, space.connection_count
        return {
            "dense_inputs": draw_set(i, limit, rule, rng),
            "sparse_inputs": draw_set(i, limit, rule, rng),
            "left": draw_one(i, rng),
            "right": draw_one(i, rng),
        }
    if choice == "mergers":
        return {field: rng.random() < 0.5 for field in CHOICES[choice]}
    if choice in ("dense_dim", "sparse_dim"):
        dims = space.dense_dims if choice == "dense_dim" else space.sparse_dims
        return {choice: dims[draw_one(len(dims), rng)]}
    ops = space.dense_ops if choice == "dense_ops" else space.sparse_ops
    chosen = draw_set(len(ops), space.max_ops_per_branch, "subsets", rng)
    return {choice: tuple(ops[k] for k in chosen)}


def sample(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """See `SearchSpace.sample`."""
    blocks = []
    for i in range(1, space.blocks + 1):
        values: dict[str, Any] = {}
        for choice in CHOICES:
            values |= _draw(space, choice, i, rng)
        blocks.append(Block(**values))
    return Architecture(tuple(blocks))


def distinct(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Samples that are different networks, in the order of drawing: more are the same and others.

    Fewer than `count` when 1000 draws in a row give none that is new: the space is tiny.
    """
    drawn: dict[str, Architecture] = {}
    in_vain = 0
    while len(drawn) < count and in_vain < 1000:
        architecture = sample(space, rng)
        in_vain = in_vain + 1 if architecture.digest in drawn else 0
        drawn.setdefault(architecture.digest, architecture)
    return list(drawn.values())


def mutate(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator, mutations: int = 1
) -> Architecture:
    """Change one choice of one block, as evolution does (paper section 4), `mutations` times.

    The block is drawn uniformly, then, uniformly, one of those of its choices (`CHOICES`) that
    have an alternative in this space; the new value always differs from the old one. The
    connections are drawn anew together and then differ in some source that is read. Several
    mutations may undo one another.
    """
    if mutations < 1:
        raise ConfigError(f"mutations is {mutations!r}", mend="give a positive integer")
    space.validate(architecture)
    blocks = list(architecture.blocks)
    for _ in range(mutations):
        i = 1 + draw_one(space.blocks, rng)
        choices = _open_choices(space, i)
        choice = choices[draw_one(len(choices), rng)]
        old = new = blocks[i - 1]
        while _same(choice, new, old):
            new = dataclasses.replace(old, **_draw(space, choice, i, rng))
        blocks[i - 1] = new
    return Architecture(tuple(blocks))


def _open_choices(space: SearchSpace, i: int) -> list[str]:
    """The choices of block i that have more than one option; the mergers always have."""
    options = {
        "dense_dim": len(space.dense_dims),
        "sparse_dim": len(space.sparse_dims),
        "dense_ops": count_sets(len(space.dense_ops), space.max_ops_per_branch),
        "sparse_ops": count_sets(len(space.sparse_ops), space.max_ops_per_branch),
        "connections": i,  # the sparse input is always read and has an alternative from block 2 on
        "mergers": 4,
    }
    return [choice for choice in CHOICES if options[choice] > 1]


def _same(choice: str, new: Block, old: Block) -> bool:
    """Whether two blocks that differ at most in this choice are alike in what is read of it."""
    if choice == "connections":
        return new.connections_read == old.connections_read
    return new == old


def maximal(space: SearchSpace, rng: np.random.Generator | None = None) -> Architecture:
    """See `SearchSpace.maximal`."""
    return Architecture(
        tuple(
            Block(
                dense_ops=space.dense_ops,
                sparse_ops=space.sparse_ops,
                dense_dim=max(space.dense_dims),
                sparse_dim=max(space.sparse_dims),
                dense_inputs=tuple(range(i)),
                sparse_inputs=tuple(range(i)),
                left=i - 1 if rng is None else draw_one(i, rng),
                right=max(i - 2, 0) if rng is None else draw_one(i, rng),
                dense_to_sparse=True,
                sparse_to_dense=True,
            )
            for i in range(1, space.blocks + 1)
        )
    )


def narrowest(space: SearchSpace) -> list[Architecture]:
    """See `SearchSpace.narrowest`."""
    return [
        Architecture(
            (
                Block(
                    dense_ops=(dense,),
                    sparse_ops=(sparse,),
                    dense_dim=min(space.dense_dims),
                    sparse_dim=min(space.sparse_dims),
                    dense_inputs=(0,),
                    sparse_inputs=(0,),
                    left=0,
                    right=0,
                    dense_to_sparse=False,
                    sparse_to_dense=False,
                ),
            )
            * space.blocks
        )
        for dense in space.dense_ops
        for sparse in space.sparse_ops
    ]
