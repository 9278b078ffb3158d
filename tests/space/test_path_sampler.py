"""The three strategies of supernet training and the warm-up coin."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nasrec.errors import ConfigError
from nasrec.space import NASREC_FULL, STRATEGIES, PathSampler
from tests.space.helpers import CROWDED, FULL_ANY, assert_expected, assert_uniform


def last_blocks(strategy, space=NASREC_FULL, draws=1500):
    sampler = PathSampler(space.with_(blocks=3), strategy, total_steps=10, warmup_fraction=0)
    rng = np.random.default_rng(0)
    return [sampler.sample(0, rng).blocks[2] for _ in range(draws)]


@pytest.mark.parametrize("space", [NASREC_FULL, FULL_ANY], ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("strategy", "op_sets", "connection_sets"),
    [("single-single", 4, 3), ("any-any", 15, 7), ("single-any", 4, 7)],
)
def test_strategies(space, strategy, op_sets, connection_sets) -> None:
    blocks = last_blocks(strategy, space)
    assert_uniform(Counter(b.dense_ops for b in blocks).values(), op_sets)
    assert_uniform(Counter(b.dense_inputs for b in blocks).values(), connection_sets)
    assert_uniform(Counter(b.sparse_inputs for b in blocks).values(), connection_sets)
    assert_uniform(Counter(b.dense_dim for b in blocks).values(), 8)
    assert_uniform(Counter((b.dense_to_sparse, b.sparse_to_dense) for b in blocks).values(), 4)


@pytest.mark.parametrize("strategy", ["single-any", "any-any"])
def test_any_connections_keep_the_limit_and_count_of_the_space(strategy) -> None:
    space = NASREC_FULL.with_(max_connections=2, connection_count="uniform")
    counts = Counter(len(b.dense_inputs) for b in last_blocks(strategy, space))
    assert_expected([counts[1], counts[2]], [0.5, 0.5])


def test_single_any_is_the_default() -> None:
    assert PathSampler(FULL_ANY, total_steps=1).space.max_ops_per_branch == 1
    assert set(STRATEGIES) == {"single-single", "any-any", "single-any"}


def is_full(architecture) -> bool:
    return all(len(b.dense_ops) == 4 for b in architecture.blocks)


def test_the_coin_falls_linearly_from_one_to_zero() -> None:
    sampler = PathSampler(NASREC_FULL, total_steps=1000)
    assert [sampler.full_probability(s) for s in (0, 50, 100, 200, 999)] == [1, 0.75, 0.5, 0, 0]
    rng = np.random.default_rng(1)
    for step, share in ((50, 0.75), (100, 0.5), (150, 0.25)):
        full = sum(is_full(sampler.sample(step, rng)) for _ in range(600))
        assert_expected([full, 600 - full], [share, 1 - share])
    assert all(is_full(sampler.sample(0, rng)) for _ in range(20))
    assert not any(is_full(sampler.sample(200, rng)) for _ in range(20))


def test_one_coin_covers_the_whole_supernet() -> None:
    """Blocks, connections and widths are all at their largest together, or none is forced."""
    space = CROWDED.with_(blocks=7, dense_dims=tuple(range(1, 9)), max_ops_per_branch=None)
    sampler = PathSampler(space, total_steps=10)
    rng = np.random.default_rng(2)
    for step in (0, 1) * 50:
        architecture = sampler.sample(step, rng)
        largest = [
            len(b.dense_ops) == 4 and b.dense_dim == 8 and len(b.sparse_inputs) == i
            for i, b in enumerate(architecture.blocks, start=1)
        ]
        assert all(largest) or sum(largest) < 5


def test_the_full_supernet_reads_every_pair_of_sources_in_turn() -> None:
    sampler = PathSampler(NASREC_FULL, total_steps=1000)
    rng = np.random.default_rng(3)
    pairs = Counter(
        (b.left, b.right) for b in (sampler.sample(0, rng).blocks[1] for _ in "x" * 200)
    )
    assert_uniform(pairs.values(), 4)


def test_no_warm_up() -> None:
    sampler = PathSampler(NASREC_FULL, total_steps=10, warmup_fraction=0)
    assert sampler.full_probability(0) == 0
    rng = np.random.default_rng(0)
    assert not any(is_full(sampler.sample(0, rng)) for _ in range(20))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"strategy": "all"}, "strategy is 'all'.*use one of single-single, any-any, single-any"),
        ({"total_steps": 0}, "total_steps is 0"),
        ({"warmup_fraction": 1.5}, "warmup_fraction is 1.5.*from 0 to 1"),
        ({"warmup_fraction": float("nan")}, "warmup_fraction is nan"),
    ],
)
def test_bad_settings(settings, told) -> None:
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        PathSampler(NASREC_FULL, **({"total_steps": 10} | settings))


def test_dealt_operators_are_trained_equally_often() -> None:
    space = NASREC_FULL.with_(blocks=3)
    sampler = PathSampler(space, total_steps=240, warmup_fraction=0, fair=True)
    drawn = [sampler.sample(t, np.random.default_rng(t), seed=5) for t in range(240)]
    for branch, count in (("dense_ops", 4), ("sparse_ops", 2)):
        for i in range(3):
            hands = [getattr(a.blocks[i], branch)[0] for a in drawn]
            rounds = [hands[t : t + count] for t in range(0, 240, count)]
            assert all(len(set(one)) == count for one in rounds)
            assert len({tuple(one) for one in rounds}) > 1
    pairs = Counter((a.blocks[0].dense_ops, a.blocks[1].dense_ops) for a in drawn)
    assert_uniform(pairs.values(), 16)
    assert [sampler.sample(t, np.random.default_rng(t), seed=5) for t in (9, 3)] == [
        drawn[9], drawn[3],
    ]  # fmt: skip
    assert sampler.sample(3, np.random.default_rng(3), seed=6) != drawn[3]
    with pytest.raises(ConfigError, match="cannot be dealt"):
        PathSampler(space, "any-any", total_steps=1, fair=True)
