"""Live parts and the digest: equal for equal networks, different for different ones."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nasrec.space import PUBLISHED, Architecture, Block, LiveBlock, published
from tests.space.helpers import CROWDED, FULL_ANY, architectures, naive_network, reaching, reads

# A change of these means that journals and run folders of earlier versions no longer match.
DIGESTS = {
    "criteo-full": "9ff9e682f5d2dbf1937dd336a66541f3d00fac1cf134a44c6d05425ec0531e0e",
    "kdd-small": "153c59fa6f43d0ea611bc9eb6fe6bbc9068069da413c1586cd830bc96c0870fd",
}


def block(**changes: object) -> Block:
    usual = {"dense_ops": ["FC"], "sparse_ops": ["EFC"], "dense_dim": 16, "sparse_dim": 16}
    return Block(**(usual | {"dense_inputs": [0], "sparse_inputs": [0]} | changes))


def stack(*blocks: Block) -> Architecture:
    return Architecture(blocks)


def changed(architecture: Architecture, i: int, **changes: object) -> Architecture:
    blocks = list(architecture.blocks)
    blocks[i - 1] = dataclasses.replace(blocks[i - 1], **changes)
    return Architecture(tuple(blocks))


# -- live parts -------------------------------------------------------------------------------


@given(architectures())
def test_live_parts_are_those_from_which_the_logit_is_reached(architecture: Architecture) -> None:
    nodes = reaching(architecture)
    expected = tuple(
        LiveBlock(*((node, i) in nodes for node in ("dense", "sparse", "tokens", "pool")))
        for i in range(1, len(architecture.blocks) + 1)
    )
    assert architecture.live == expected
    assert architecture.live_blocks == tuple(i for i, p in enumerate(expected, 1) if p)
    assert architecture.live[-1].dense
    assert architecture.live[-1].sparse


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("criteo-full", (1, 2, 3, 7)),
        ("avazu-full", (1, 2, 3, 7)),
        ("kdd-full", (1, 2, 3, 4, 5, 7)),
        ("criteo-small", (1, 2, 3, 4, 5, 7)),
        ("avazu-small", (1, 2, 3, 4, 5, 6, 7)),
        ("kdd-small", (1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_live_blocks_of_the_published_ones(name: str, live: tuple[int, ...]) -> None:
    assert published(name).live_blocks == live


# -- the digest against a naive oracle --------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "most", "ops", "draws"),
    [
        (3, 2, ("Sum", "FC"), 1500),
        (3, 2, ("SG", "DP"), 1500),
        (4, 2, ("Sum", "FC"), 1000),
        (4, 2, ("SG", "DP"), 1000),
        (5, 1, ("FC",), 500),
    ],
)
def test_digests_agree_exactly_where_networks_do(
    blocks: int, most: int, ops: tuple[str, ...], draws: int
) -> None:
    space = CROWDED.with_(blocks=blocks, dense_ops=ops, max_connections=most)
    rng = np.random.default_rng(blocks)
    networks, digests = defaultdict(set), defaultdict(set)
    for _ in range(draws):
        architecture = space.sample(rng)
        networks[naive_network(architecture)].add(architecture.digest)
        digests[architecture.digest].add(naive_network(architecture))
    assert {len(found) for found in networks.values()} == {1}
    assert {len(found) for found in digests.values()} == {1}
    assert len(digests) < draws  # some did coincide


# -- spellings of one network -----------------------------------------------------------------


@given(architectures(), st.data())
def test_dead_blocks_and_unread_fields_do_not_count(
    architecture: Architecture, data: st.DataObject
) -> None:
    other = architecture
    fresh = FULL_ANY.with_(blocks=len(architecture.blocks)).sample(
        np.random.default_rng(data.draw(st.integers(0, 2**32)))
    )
    for i, (old, part, new) in enumerate(
        zip(architecture.blocks, architecture.live, fresh.blocks, strict=True), start=1
    ):
        from_dense, from_pair, from_sparse = reads(old)
        free = set()
        if not part.dense:
            free |= {"dense_ops", "dense_dim", "dense_inputs", "left", "right", "sparse_to_dense"}
        if not part.sparse:
            free |= {"sparse_ops", "sparse_dim", "dense_to_sparse"}
            free |= set() if part.dense and from_sparse else {"sparse_inputs"}
        if not from_dense:
            free.add("dense_inputs")
        if not from_pair:
            free |= {"left", "right"}
        other = changed(other, i, **{field: getattr(new, field) for field in free})
    assert other.digest == architecture.digest


@given(architectures(), st.randoms(use_true_random=False))
def test_renumbering_blocks_does_not_count(architecture: Architecture, random) -> None:
    """Any order in which every block comes after the blocks it names, the last one last."""
    left = set(range(1, len(architecture.blocks)))
    number = {0: 0}

    def named(i: int) -> set[int]:
        b = architecture.blocks[i - 1]
        return {*b.dense_inputs, *b.sparse_inputs, b.left, b.right}

    order = []
    while left:
        ready = sorted(i for i in left if named(i) <= set(number))
        order.append(random.choice(ready))
        number[order[-1]] = len(order)
        left.remove(order[-1])
    blocks = []
    for i in (*order, len(architecture.blocks)):
        b = architecture.blocks[i - 1]
        blocks.append(
            dataclasses.replace(
                b,
                dense_inputs=tuple(number[s] for s in b.dense_inputs),
                sparse_inputs=tuple(number[s] for s in b.sparse_inputs),
                left=number[b.left],
                right=number[b.right],
            )
        )
    assert Architecture(tuple(blocks)).digest == architecture.digest


@given(architectures())
def test_a_dead_block_more_does_not_count(architecture: Architecture) -> None:
    def shift(source: int) -> int:
        return source + 1 if source else 0

    moved = [
        dataclasses.replace(
            b,
            dense_inputs=tuple(map(shift, b.dense_inputs)),
            sparse_inputs=tuple(map(shift, b.sparse_inputs)),
            left=shift(b.left),
            right=shift(b.right),
        )
        for b in architecture.blocks
    ]
    assert stack(block(dense_dim=77), *moved).digest == architecture.digest


def test_sum_is_symmetric_and_gating_is_not() -> None:
    def pair(ops: list[str], left: int, right: int) -> str:
        return stack(block(), block(dense_ops=ops, left=left, right=right)).digest

    assert pair(["Sum"], 0, 1) == pair(["Sum"], 1, 0)
    assert pair(["SG"], 0, 1) != pair(["SG"], 1, 0)
    assert pair(["SG", "Sum"], 0, 1) != pair(["SG", "Sum"], 1, 0)
    assert pair(["FC"], 0, 1) == pair(["FC"], 1, 0)
    assert pair(["Sum"], 0, 0) != pair(["Sum"], 0, 1)


def test_one_block_read_twice_is_not_two_twins() -> None:
    for field in ("dense_inputs", "sparse_inputs"):
        reader = block(dense_inputs=[1], sparse_inputs=[1])
        shared = stack(block(), reader, dataclasses.replace(reader, **{field: (1, 2)}))
        second = stack(block(), block(), dataclasses.replace(reader, **{field: (1, 2)}))
        assert shared.digest != second.digest

    def gate(left: int, right: int) -> Architecture:
        return stack(block(), block(), block(dense_ops=["SG"], left=left, right=right))

    assert gate(1, 1).digest != gate(1, 2).digest
    assert gate(1, 2).digest == gate(2, 1).digest  # twins: only their names change places


def test_twins_with_different_readers() -> None:
    """Blocks 1 and 2 are twins; it matters whether the two last readers read the same one."""

    def network(first: int, second: int) -> str:
        return stack(
            block(),
            block(),
            block(dense_inputs=[first], sparse_inputs=[1], dense_dim=32),
            block(dense_inputs=[second, 3], sparse_inputs=[2, 3]),
        ).digest

    assert network(1, 1) != network(1, 2)
    assert network(1, 2) != network(2, 1)
    assert len({network(a, b) for a in (1, 2) for b in (1, 2)}) == 4


def test_many_twins_are_no_burden() -> None:
    readers = block(dense_inputs=list(range(1, 13)), sparse_inputs=list(range(1, 6)))
    one = stack(*[block()] * 12, readers)
    other = stack(*[block()] * 12, dataclasses.replace(readers, sparse_inputs=(3, 5, 7, 9, 11)))
    more = stack(*[block()] * 12, dataclasses.replace(readers, sparse_inputs=(1, 2, 3)))
    start = time.process_time()
    assert one.digest == other.digest != more.digest
    assert time.process_time() - start < 1


def cycles(lengths: tuple[int, ...], shuffle: np.random.Generator) -> Architecture:
    """Two layers of twins; every block of the second reads two of the first, in cycles."""
    n = sum(lengths)
    edges, start = [], 0
    for length in lengths:
        edges += [(start + k, start + (k + 1) % length) for k in range(length)]
        start += length
    first = 1 + shuffle.permutation(n)
    second = [
        block(dense_inputs=[int(first[a]), int(first[b])], sparse_inputs=[0])
        for a, b in (edges[k] for k in shuffle.permutation(n))
    ]
    last = block(dense_inputs=list(range(n + 1, 2 * n + 1)))
    return stack(*[block()] * n, *second, last)


def test_twins_that_look_alike_but_cannot_change_places() -> None:
    """A ring of 2 and one of 3 are no ring of 5, though each block has the same neighbours."""
    rng = np.random.default_rng(0)
    apart = {cycles((2, 3), rng).digest for _ in range(6)}
    together = {cycles((5,), rng).digest for _ in range(6)}
    assert len(apart) == len(together) == 1
    assert apart != together


# -- live changes -----------------------------------------------------------------------------


@given(architectures(), st.data())
def test_any_live_change_counts(architecture: Architecture, data: st.DataObject) -> None:
    i = data.draw(st.sampled_from(architecture.live_blocks))
    old, part = architecture.blocks[i - 1], architecture.live[i - 1]
    options: dict[str, object] = {}
    if part.dense:
        options["dense_dim"] = old.dense_dim + 1
        options["dense_ops"] = tuple({"FC", "SG", "Sum", "DP"} - {old.dense_ops[0]})
        options["sparse_to_dense"] = not old.sparse_to_dense
    if part.sparse:
        options["sparse_dim"] = old.sparse_dim + 1
        options["sparse_ops"] = ("EFC",) if "Attn" in old.sparse_ops else ("Attn",)
        options["dense_to_sparse"] = not old.dense_to_sparse
    field = data.draw(st.sampled_from(sorted(options)))
    new = changed(architecture, i, **{field: options[field]})
    # A merger is live only if the output it joins is.
    assume(field.endswith(("dim", "ops")) or new.live != architecture.live)
    assert new.digest != architecture.digest


@given(architectures())
def test_every_source_of_the_last_block_counts(architecture: Architecture) -> None:
    n = len(architecture.blocks)
    grown = Architecture((*architecture.blocks, block(sparse_inputs=[n], dense_inputs=[n])))
    assert grown.digest != architecture.digest
    assert changed(grown, n + 1, dense_inputs=(0, n)).digest != grown.digest
    assert changed(grown, n + 1, sparse_inputs=(0, n)).digest != grown.digest


# -- stability --------------------------------------------------------------------------------


def test_digest_is_stored_and_the_same_in_another_process() -> None:
    here = {name: published(name).digest for name in PUBLISHED}
    assert {name: here[name] for name in DIGESTS} == DIGESTS
    assert len(set(here.values())) == len(PUBLISHED)
    program = (
        "import json; from nasrec.space import PUBLISHED, published\n"
        "print(json.dumps({name: published(name).digest for name in PUBLISHED}))"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
    )
    assert json.loads(there.stdout) == here
