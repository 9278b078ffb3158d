"""Drawing from a space: every choice at its share, mutations one choice at a time."""

from __future__ import annotations

import itertools
from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec.errors import ConfigError, SpaceError
from nasrec.space import NASREC_FULL, NASREC_SMALL, Architecture, SearchSpace, published
from nasrec.space.drawing import CHOICES
from nasrec.space.sets import count_sets, draw_one, draw_set
from tests.space.helpers import CROWDED, FULL_ANY, assert_expected, assert_uniform

FOUR = NASREC_FULL.with_(blocks=4)
ONE_OPTION = SearchSpace("one", ("FC",), ("EFC",), (8,), (4,), blocks=1)
SPACES = [NASREC_FULL, NASREC_SMALL, FULL_ANY, CROWDED, ONE_OPTION]


@pytest.fixture(scope="module")
def drawn() -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [FOUR.sample(rng) for _ in range(4000)]


def seen(drawn: list[Architecture], i: int, *fields: str) -> Counter:
    return Counter(tuple(getattr(a.blocks[i - 1], f) for f in fields) for a in drawn)


# -- sampling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("i", [1, 3, 4])
@pytest.mark.parametrize(
    ("fields", "options"),
    [
        (("dense_ops",), 4),
        (("sparse_ops",), 2),
        (("dense_dim",), 8),
        (("sparse_dim",), 4),
        (("dense_to_sparse", "sparse_to_dense"), 4),
        (("dense_ops", "dense_dim"), 32),
        (("dense_dim", "sparse_dim"), 32),
        (("sparse_ops", "dense_to_sparse", "dense_ops"), 16),
    ],
)
def test_choices_are_uniform_and_independent(drawn, i, fields, options) -> None:
    assert_uniform(seen(drawn, i, *fields).values(), options)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        (("dense_inputs",), 15),
        (("sparse_inputs",), 15),
        (("left", "right"), 16),
        (("dense_inputs", "sparse_inputs"), 225),
        (("dense_inputs", "left"), 60),
    ],
)
def test_connections_are_uniform_and_independent(drawn, fields, options) -> None:
    assert_uniform(seen(drawn, 4, *fields).values(), options)


def test_blocks_are_independent(drawn) -> None:
    pairs = Counter((a.blocks[1].dense_dim, a.blocks[3].dense_dim) for a in drawn)
    assert_uniform(pairs.values(), 64)


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_operator_sets_are_uniform(limit) -> None:
    space = NASREC_FULL.with_(blocks=1, max_ops_per_branch=limit)
    rng = np.random.default_rng(1)
    counts = Counter(space.sample(rng).blocks[0].dense_ops for _ in range(3000))
    assert_uniform(counts.values(), count_sets(4, limit))


@pytest.mark.parametrize("limit", [None, 1, 3, 4, 9])
@pytest.mark.parametrize("rule", ["subsets", "binomial", "uniform"])
def test_numbers_of_connections(rule, limit) -> None:
    n, rng = 5, np.random.default_rng(2)
    m = n if limit is None else min(n, limit)
    shares = {
        "subsets": [comb(n, k) / count_sets(n, limit) for k in range(1, m + 1)],
        "binomial": [comb(m - 1, k - 1) / 2 ** (m - 1) for k in range(1, m + 1)],
        "uniform": [1 / m] * m,
    }[rule]
    sets = [draw_set(n, limit, rule, rng) for _ in range(4000)]
    sizes = Counter(map(len, sets))
    assert set(sizes) <= set(range(1, m + 1))
    assert_expected([sizes[k] for k in range(1, m + 1)], shares)
    for k in range(1, m + 1):  # given the number, every set is equally likely
        chosen = Counter(s for s in sets if len(s) == k)
        if sizes[k] > 10 * comb(n, k):
            assert_uniform(chosen.values(), comb(n, k))


@given(st.integers(1, 80), st.none() | st.integers(1, 90), st.integers(0, 2**32))
def test_sets_are_sorted_distinct_and_within_bounds(n, limit, seed) -> None:
    rng = np.random.default_rng(seed)
    for rule in ("subsets", "binomial", "uniform"):
        chosen = draw_set(n, limit, rule, rng)
        assert list(chosen) == sorted(set(chosen))
        assert set(chosen) <= set(range(n))
        assert 1 <= len(chosen) <= (limit or n)
    assert 0 <= draw_one(n, rng) < n


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 7])
def test_sets_are_counted(limit) -> None:
    for n in range(1, 6):
        listed = [
            s
            for k in range(1, n + 1)
            for s in itertools.combinations(range(n), k)
            if limit is None or k <= limit
        ]
        assert count_sets(n, limit) == len(listed)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_samples_belong_and_depend_on_the_seed_alone(space: SearchSpace) -> None:
    first = [space.sample(rng) for rng in [np.random.default_rng(3)] for _ in range(50)]
    again = [space.sample(rng) for rng in [np.random.default_rng(3)] for _ in range(50)]
    assert first == again
    assert all(architecture in space for architecture in first)


def test_a_seed_gives_the_same_everywhere() -> None:
    """A change here means that runs of earlier versions cannot be repeated."""
    rng = np.random.default_rng(0)
    architecture = NASREC_FULL.sample(rng)
    assert architecture.digest == "304beb25b2566861b7eb8d9286b9c716c55000608ccd1cfff80825bf0fca82f9"
    assert (
        NASREC_FULL.mutate(architecture, rng, 3).digest
        == "da4c56cb1cd147c9c2c632fa0a2d429efd4d8e146d9505cc5da8aeb10876cf7d"
    )


def test_architectures_hold_plain_python_values() -> None:
    block = NASREC_FULL.sample(np.random.default_rng(0)).blocks[6]
    for value in (block.dense_dim, block.left, *block.dense_inputs, *block.sparse_inputs):
        assert type(value) is int
    assert type(block.dense_to_sparse) is bool


# -- mutation ---------------------------------------------------------------------------------


def changes(before: Architecture, after: Architecture) -> list[tuple[int, str]]:
    """Which choices of which blocks differ."""
    return [
        (i, choice)
        for i, (old, new) in enumerate(zip(before.blocks, after.blocks, strict=True), start=1)
        for choice, fields in CHOICES.items()
        if any(getattr(old, f) != getattr(new, f) for f in fields)
    ]


@pytest.mark.parametrize("space", SPACES[:-1], ids=lambda s: s.name)
def test_a_mutation_changes_one_choice_of_one_block(space: SearchSpace) -> None:
    rng = np.random.default_rng(4)
    architecture = space.sample(rng)
    for _ in range(300):
        child = space.mutate(architecture, rng)
        assert child in space
        assert len(changes(architecture, child)) == 1
        architecture = child


def test_blocks_and_choices_mutate_equally_often() -> None:
    rng = np.random.default_rng(5)
    parent = NASREC_FULL.sample(rng)
    found = Counter(changes(parent, NASREC_FULL.mutate(parent, rng))[0] for _ in range(4000))
    assert_uniform(Counter(i for i, _ in found.elements()).values(), 7)
    later = Counter(choice for i, choice in found.elements() if i > 1)
    assert_uniform(later.values(), 6)
    first = Counter(choice for i, choice in found.elements() if i == 1)
    assert_uniform(first.values(), 5)
    assert "connections" not in first  # block 1 can read the raw input only


def test_a_new_value_is_uniform_over_the_others() -> None:
    rng = np.random.default_rng(6)
    parent = NASREC_FULL.sample(rng)
    old = parent.blocks[4].dense_dim
    new = Counter()
    for _ in range(6000):
        dim = NASREC_FULL.mutate(parent, rng).blocks[4].dense_dim
        new[dim] += dim != old
    assert_uniform([new[d] for d in NASREC_FULL.dense_dims if d != old], 7)


def test_a_mutation_of_connections_changes_some_source_that_is_read() -> None:
    rng = np.random.default_rng(7)
    space = CROWDED.with_(blocks=2, max_connections=1)
    found = set()
    for _ in range(400):
        parent = space.sample(rng)
        child = space.mutate(parent, rng)
        if changes(parent, child) == [(2, "connections")]:
            assert child.digest != parent.digest  # block 2 is the last and so alive
            found.add(child.blocks[1].dense_ops)
    assert len(found) == 4


def test_choices_with_one_option_are_left_alone() -> None:
    rng = np.random.default_rng(8)
    only = ONE_OPTION.sample(rng)
    for _ in range(20):
        assert changes(only, ONE_OPTION.mutate(only, rng)) == [(1, "mergers")]


def test_several_mutations() -> None:
    rng = np.random.default_rng(9)
    parent = NASREC_FULL.sample(rng)
    counts = [len(changes(parent, NASREC_FULL.mutate(parent, rng, 6))) for _ in range(200)]
    assert max(counts) <= 6
    assert sum(counts) / 200 > 4.5


def test_mutating_what_cannot_be() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="mutations is 0"):
        NASREC_FULL.mutate(published("criteo-full"), rng, 0)
    with pytest.raises(SpaceError, match=r"block \d: (dense|sparse)_ops has"):
        NASREC_SMALL.mutate(published("criteo-full"), rng)


# -- the full supernet ------------------------------------------------------------------------


def test_maximal() -> None:
    full = NASREC_FULL.with_(max_connections=2).maximal()
    assert full.live_blocks == (1, 2, 3, 4, 5, 6, 7)
    for i, block in enumerate(full.blocks, start=1):
        assert block.dense_ops == ("DP", "FC", "SG", "Sum")
        assert block.sparse_ops == ("Attn", "EFC")
        assert block.dense_inputs == block.sparse_inputs == tuple(range(i))
        assert (block.dense_dim, block.sparse_dim) == (1024, 64)
        assert block.dense_to_sparse
        assert block.sparse_to_dense
        assert (block.left, block.right) == (i - 1, max(i - 2, 0))
    rng = np.random.default_rng(0)
    pairs = Counter(
        (b.left, b.right) for b in (NASREC_FULL.maximal(rng).blocks[2] for _ in range(300))
    )
    assert_uniform(pairs.values(), 9)
