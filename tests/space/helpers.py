"""Random architectures, and a second, naive reading of what a network is, to test against."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from nasrec.space import NASREC_FULL, Architecture, Block, SearchSpace

FULL_ANY = NASREC_FULL.with_(name="full-any", max_ops_per_branch=None)

# Few options and few connections: many dead blocks, twins and coinciding networks.
CROWDED = SearchSpace(
    name="crowded",
    dense_ops=("FC", "SG", "Sum", "DP"),
    sparse_ops=("EFC",),
    dense_dims=(8,),
    sparse_dims=(4,),
    blocks=5,
    max_connections=2,
)

# What the operators read, written down a second time: (dense sources, pair, sparse sources).
READS = {
    "FC": (True, False, False),
    "SG": (False, True, False),
    "Sum": (False, True, False),
    "DP": (True, False, True),
}


@st.composite
def architectures(draw: st.DrawFn, spaces: Iterable[SearchSpace] = (FULL_ANY, CROWDED)):
    """Architectures of 1 to 7 blocks."""
    space = draw(st.sampled_from(list(spaces)))
    blocks = draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    return space.with_(blocks=blocks).sample(np.random.default_rng(seed))


def reads(block: Block) -> tuple[bool, bool, bool]:
    """Whether the dense branch reads dense sources, the pair, sparse sources."""
    return tuple(any(READS[op][k] for op in block.dense_ops) for k in range(3))


def reaching(architecture: Architecture) -> set[tuple[str, int]]:
    """Nodes from which the logit is reached, in a graph with a node for every tensor."""
    n = len(architecture.blocks)
    needs: dict[tuple[str, int], list[tuple[str, int]]] = {("logit", 0): [("Yd", n), ("Ys", n)]}
    for i, b in enumerate(architecture.blocks, start=1):
        needs["Yd", i] = [("dense", i)] + [("pool", i)] * b.sparse_to_dense
        needs["Ys", i] = [("sparse", i)] + [("tokens", i)] * b.dense_to_sparse
        needs["pool", i] = [("sparse", i)]
        needs["tokens", i] = [("dense", i)]
        needs["sparse", i] = [("Ys", s) for s in b.sparse_inputs]
        from_dense, from_pair, from_sparse = reads(b)
        needs["dense", i] = (
            [("Yd", s) for s in b.dense_inputs] * from_dense
            + [("Yd", b.left), ("Yd", b.right)] * from_pair
            + [("Ys", s) for s in b.sparse_inputs] * from_sparse
        )
    found, frontier = set(), [("logit", 0)]
    while frontier:
        node = frontier.pop()
        if node not in found:
            found.add(node)
            frontier += needs.get(node, [])
    return found


def naive_network(architecture: Architecture) -> str:
    """The smallest spelling of the live network over ALL orders of its live blocks."""
    live = reaching(architecture)
    blocks = {
        i: b
        for i, b in enumerate(architecture.blocks, start=1)
        if ("dense", i) in live or ("sparse", i) in live
    }

    def spell(order: tuple[int, ...]) -> str:
        number = {0: 0} | {old: new for new, old in enumerate(order, start=1)}
        text = []
        for i in order:
            b = blocks[i]
            from_dense, from_pair, from_sparse = reads(b)
            dense, sparse = ("dense", i) in live, ("sparse", i) in live
            pair = [number.get(b.left), number.get(b.right)] if dense and from_pair else []
            if "SG" not in b.dense_ops:
                pair = sorted(pair)
            text.append(
                (
                    (sorted(b.dense_ops), b.dense_dim) if dense else 0,
                    (sorted(b.sparse_ops), b.sparse_dim) if sparse else 0,
                    ("tokens", i) in live,
                    ("pool", i) in live,
                    sorted(number[s] for s in b.dense_inputs) if dense and from_dense else 0,
                    pair,
                    sorted(number[s] for s in b.sparse_inputs)
                    if sparse or (dense and from_sparse)
                    else 0,
                )
            )
        return repr(text)

    # The logit's block stays last: it is the one that has a role of its own.
    last = len(architecture.blocks)
    others = [i for i in blocks if i != last]
    return min(spell((*order, last)) for order in itertools.permutations(others))


def assert_uniform(counts: Iterable[int], options: int) -> None:
    """Chi-square: six standard deviations above its mean would be no accident."""
    assert_expected(list(counts), [1 / options] * options)


def assert_expected(counts: list[int], shares: list[float]) -> None:
    """Chi-square of counts against expected shares, options never drawn included."""
    assert len(counts) <= len(shares)
    observed = np.array(counts + [0] * (len(shares) - len(counts)), dtype=float)
    expected = observed.sum() * np.array(shares)
    assert expected.min() > 5, "too few draws for this test"
    free = len(shares) - 1
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert statistic <= free + 6 * (2 * free) ** 0.5
