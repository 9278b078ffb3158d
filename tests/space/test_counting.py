"""Cardinalities against brute force: every spelling written out, distinct normal forms counted."""

from __future__ import annotations

import itertools
import math

import pytest

from nasrec.space import NASREC_FULL, NASREC_SMALL, SearchSpace
from tests.space.helpers import READS

ALL_DENSE = ("FC", "SG", "Sum", "DP")
TINY = SearchSpace("tiny", ALL_DENSE, ("EFC", "Attn"), (8, 16), (4, 8), blocks=3)


def sets(items, limit):
    for size in range(1, len(items) + 1):
        if limit is None or size <= limit:
            yield from itertools.combinations(items, size)


def normal_forms(space: SearchSpace, i: int) -> set:
    """Distinct forms of block i, what is not read struck out."""
    sources = range(i)
    forms = set()
    for dense_ops, inputs, left, right in itertools.product(
        sets(space.dense_ops, space.max_ops_per_branch),
        sets(sources, space.max_connections),
        sources,
        sources,
    ):
        from_dense = any(READS[op][0] for op in dense_ops)
        binary = {op for op in dense_ops if READS[op][1]}
        pair = (left, right)
        if binary == {"Sum"}:
            pair = frozenset(pair)
        forms.add((dense_ops, inputs if from_dense else None, pair if binary else None))
    rest = itertools.product(
        sets(space.sparse_ops, space.max_ops_per_branch),
        sets(sources, space.max_connections),
        space.dense_dims,
        space.sparse_dims,
        (False, True),
        (False, True),
    )
    return set(itertools.product(forms, rest))


@pytest.mark.parametrize("max_ops", [1, 2, None])
@pytest.mark.parametrize("max_connections", [1, 2, None])
@pytest.mark.parametrize("dense_ops", [ALL_DENSE, ("Sum",), ("DP", "Sum"), ("SG",), ("FC", "DP")])
def test_cardinality(max_ops, max_connections, dense_ops) -> None:
    space = TINY.with_(
        dense_ops=dense_ops,
        sparse_dims=(4,),
        max_ops_per_branch=max_ops,
        max_connections=max_connections,
    )
    expected = math.prod(len(normal_forms(space, i)) for i in (1, 2, 3))
    assert space.cardinality() == expected


def test_whole_architectures_written_out() -> None:
    space = TINY.with_(
        blocks=2, dense_ops=("FC", "Sum"), sparse_ops=("EFC",), dense_dims=(8,), sparse_dims=(4,)
    )
    whole = set(itertools.product(normal_forms(space, 1), normal_forms(space, 2)))
    assert space.cardinality() == len(whole)


def test_paper_rule() -> None:
    """Sets of operators, widths, mergers, sets of dense and sparse sources; nothing else."""
    expected = 1
    for i in (1, 2, 3):
        parts = (
            sets(TINY.dense_ops, None),
            sets(TINY.sparse_ops, None),
            sets(range(i), None),
            sets(range(i), None),
            TINY.dense_dims,
            TINY.sparse_dims,
            range(4),
        )
        expected *= sum(1 for _ in itertools.product(*parts))
    assert TINY.paper_cardinality() == expected
    assert TINY.with_(max_connections=1).paper_cardinality() == expected


def test_full_has_15_to_the_n_times_as_many_as_small() -> None:
    for n in (1, 4, 7):
        full, small = NASREC_FULL.with_(blocks=n), NASREC_SMALL.with_(blocks=n)
        assert full.paper_cardinality() == 15**n * small.paper_cardinality()


def test_named_spaces() -> None:
    def by_hand(dense_ways, sparse_ops: int) -> int:
        total = 1
        for n in range(1, 8):
            total *= dense_ways(n) * sparse_ops * (2**n - 1) * 8 * 4 * 4
        return total

    assert NASREC_SMALL.cardinality() == by_hand(lambda n: 2 * (2**n - 1), 1)
    assert NASREC_FULL.cardinality() == by_hand(
        lambda n: 2 * (2**n - 1) + n * n + n * (n + 1) // 2, 2
    )


def test_many_operators_are_counted_without_listing_their_sets() -> None:
    assert TINY.with_(blocks=200, max_ops_per_branch=None).cardinality() > 10**200


def test_rules_are_told() -> None:
    told = "\n".join(NASREC_FULL.cardinality_rules)
    assert "exactly one operator" in told
    assert "any non-empty set of earlier sources" in told
    capped = NASREC_FULL.with_(max_ops_per_branch=2, max_connections=4).cardinality_rules
    assert "1 to 2 operators" in "\n".join(capped)
    assert "a set of 1 to 4 earlier sources" in "\n".join(capped)
