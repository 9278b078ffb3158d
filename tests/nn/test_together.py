"""Networks evaluated together give, bit for bit, what each gives alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nasrec.nn import ModelOptions, SharedWeights, Together
from nasrec.space import Architecture
from tests.nn.helpers import INPUTS, MULTI, draw, rows
from tests.nn.test_shared import SINGLE


def family(space, seed: int, mutations: int = 1) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    parent = space.sample(rng)
    return [parent, *(space.mutate(parent, rng, mutations) for _ in range(6)), parent]


@pytest.mark.parametrize("space", [MULTI, SINGLE], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(6))
def test_features_are_those_of_each_alone(space, seed):
    shared = SharedWeights(space, INPUTS, ModelOptions(first_order=seed % 2 == 1), seed=1)
    architectures = [*family(space, seed, 1 + seed % 3), draw(seed, space)]
    networks = [shared.subnet(a).eval() for a in architectures]
    together = Together(networks)
    dense, sparse, _ = rows(INPUTS, 5, seed)
    with torch.inference_mode():
        for _ in range(2):  # nothing is left from the first batch
            found = dict(together.features(dense, sparse))
            assert set(found) == set(together.same)
            for i, network in enumerate(networks):
                assert torch.equal(found[together.same[i]], network.features(dense, sparse))
    assert together.same[7] == together.same[0] == 0
    computed, alone = together.computed
    assert computed < alone


def test_what_differs_in_dead_parts_only_is_the_same():
    shared = SharedWeights(SINGLE, INPUTS)
    for seed in range(200):
        one = draw(seed, SINGLE)
        if one.live[0] and not one.live[1]:
            break
    blocks = list(one.blocks)
    other_dim = next(d for d in SINGLE.dense_dims if d != blocks[1].dense_dim)
    blocks[1] = dataclasses.replace(blocks[1], dense_dim=other_dim)
    networks = [shared.subnet(a).eval() for a in (one, Architecture(tuple(blocks)))]
    assert Together(networks).same == [0, 0]


def test_a_change_in_one_branch_leaves_the_other_to_be_shared():
    shared, parent = SharedWeights(SINGLE, INPUTS), draw(3, SINGLE)
    blocks = list(parent.blocks)
    last = blocks[-1]
    dim = next(d for d in SINGLE.sparse_dims if d != last.sparse_dim)
    blocks[-1] = dataclasses.replace(last, sparse_dim=dim, sparse_to_dense=False)
    child = dataclasses.replace(blocks[-1], sparse_dim=last.sparse_dim)
    pair = [Architecture((*blocks[:-1], b)) for b in (blocks[-1], child)]
    computed, alone = Together([shared.subnet(a).eval() for a in pair]).computed
    assert computed == alone // 2 + 1
