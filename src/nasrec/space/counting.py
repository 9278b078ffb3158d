"""How many architectures a search space holds, exactly, and by which rules."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from nasrec.space.operators import operator_info
from nasrec.space.sets import count_sets, largest_set

if TYPE_CHECKING:
    from nasrec.space.space import SearchSpace


def cardinality(space: SearchSpace) -> int:
    """Number of distinguishable ways to choose all the blocks; see `rules`."""
    kinds = _kinds_of_dense_sets(space)
    fixed = (
        count_sets(len(space.sparse_ops), space.max_ops_per_branch)
        * len(space.dense_dims)
        * len(space.sparse_dims)
        * 4
    )

    def block(n: int) -> int:
        """Ways to choose a block that has n sources to read."""
        sets = count_sets(n, space.max_connections)
        pairs = {"none": 1, "unordered": n * (n + 1) // 2, "ordered": n * n}
        dense = sum(
            ways * (sets if reads_dense else 1) * pairs[pair]
            for (reads_dense, pair), ways in kinds.items()
        )
        return fixed * dense * sets

    return prod(block(n) for n in range(1, space.blocks + 1))


def _kinds_of_dense_sets(space: SearchSpace) -> Counter[tuple[bool, str]]:
    """How many allowed dense operator sets read (dense sources or not, which kind of pair).

    Operators join one after the other, so the work grows with their number and not with the
    number of their sets.
    """
    rank = ("none", "unordered", "ordered")
    found: Counter[tuple[int, bool, int]] = Counter({(0, False, 0): 1})
    for name in space.dense_ops:
        info = operator_info(name)
        pair = 0 if "pair" not in info.reads else 1 if info.symmetric else 2
        for (size, reads_dense, most), ways in list(found.items()):
            joined = (size + 1, reads_dense or "dense" in info.reads, max(most, pair))
            found[joined] += ways
    limit = largest_set(len(space.dense_ops), space.max_ops_per_branch)
    kinds: Counter[tuple[bool, str]] = Counter()
    for (size, reads_dense, most), ways in found.items():
        if 1 <= size <= limit:
            kinds[reads_dense, rank[most]] += ways
    return kinds


def paper_cardinality(space: SearchSpace) -> int:
    """Ways to choose, by the rule of the paper's section 3.

    Each block chooses any non-empty set of operators for each branch, the two widths, the two
    mergers, and any non-empty set of sources for each of the two inputs; nothing else counts, and
    the space's own limits do not apply. So Full has exactly 15**N times as many as Small.
    """
    per_block = (
        count_sets(len(space.dense_ops), None)
        * count_sets(len(space.sparse_ops), None)
        * len(space.dense_dims)
        * len(space.sparse_dims)
        * 4
    )
    return prod(per_block * count_sets(n, None) ** 2 for n in range(1, space.blocks + 1))


def rules(space: SearchSpace) -> list[str]:
    """The rules by which `cardinality` counts this space, in plain words."""
    ops, most = space.max_ops_per_branch, space.max_connections
    told_ops = (
        "any non-empty set of operators"
        if ops is None
        else "exactly one operator"
        if ops == 1
        else f"1 to {ops} operators"
    )
    told_sets = (
        "any non-empty set of earlier sources"
        if most is None
        else "exactly one earlier source"
        if most == 1
        else f"a set of 1 to {most} earlier sources"
    )
    return [
        f"{space.blocks} blocks; block i reads sources 0 (the raw input) to i-1",
        f"each branch of a block has {told_ops}: "
        f"dense of {', '.join(space.dense_ops)}; sparse of {', '.join(space.sparse_ops)}",
        f"each block has one of {len(space.dense_dims)} dense and one of "
        f"{len(space.sparse_dims)} sparse widths",
        "each of a block's two mergers is on or off",
        f"the sparse input is {told_sets}",
        f"the dense input is {told_sets}; it counts only where an operator reads it",
        "left and right are one earlier source each, perhaps the same; they count only where a "
        "binary operator reads them, and their order does not count where all that read them are "
        "symmetric",
        "blocks that do not reach the logit count like all others, and so do their choices",
    ]
