from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nasrec.data import Split
from nasrec.errors import SpaceError
from nasrec.nn import SharedWeights
from nasrec.nn.relaxed import RelaxedNet
from nasrec.search import METHODS, ProgressiveSettings
from nasrec.search.method import SearchMethod
from nasrec.space import NASREC_FULL, Architecture
from nasrec.space.choices import Choices
from nasrec.train.relax import Learning, Logits, RelaxConfig, learn_choices
from tests.train.helpers import INPUTS, OPTIONS, make_shared, make_split

SPACE = NASREC_FULL.with_(
    name="relaxable",
    blocks=3,
    dense_ops=("FC", "SG", "Sum", "DP", "Flat"),
    dense_dims=(4, 16),
    sparse_dims=(2, 5),
)
LEARNING = RelaxConfig(batch_size=64, choice_rate=0.2, learning_rate=0.1)
RELAXED = ("relaxed", "progressive")


def planted(rows: int = 4000) -> Split:
    """Clicks depend on one categorical column alone."""
    rng = np.random.default_rng(3)
    dense = rng.normal(size=(rows, INPUTS.dense)).astype(np.float32)
    sparse = np.stack([rng.integers(0, v, rows) for v in INPUTS.vocabulary], 1).astype(np.int32)
    logit = np.where(sparse[:, 0] % 2, 3.0, -3.0)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return Split("rows", dense, sparse, labels, float(labels.mean()))


def build(name: str, shared: SharedWeights, seed: int = 0) -> SearchMethod:
    settings: RelaxConfig = LEARNING
    if name == "progressive":
        settings = ProgressiveSettings(**LEARNING.model_dump())
    return METHODS[name](shared.space, settings, seed=seed)


def at_largest(architecture: Architecture) -> Architecture:
    return Architecture(
        tuple(
            dataclasses.replace(
                b, dense_dim=max(SPACE.dense_dims), sparse_dim=max(SPACE.sparse_dims)
            )
            for b in architecture.blocks
        )
    )


@pytest.mark.parametrize("first_order", [False, True])
def test_gates_of_one_and_zero_give_the_subnet(first_order) -> None:
    options = dataclasses.replace(OPTIONS, first_order=first_order)
    shared, batch = SharedWeights(SPACE, INPUTS, options), make_split(40).rows(0, 40)
    rng = np.random.default_rng(0)
    for _ in range(4):
        architecture = at_largest(SPACE.sample(rng))
        learning = Learning(shared, make_split(40), LEARNING, 0)
        for block in architecture.blocks:
            learning.fixed.append(learning.chosen(block))
        relaxed = RelaxedNet(learning.maximal(learning.fixed), learning.fixed, {})
        found = relaxed.features(batch.dense, batch.sparse)
        # the same tensors: those of the copy, which may have been made before the store's own
        expected = learning.shared.subnet(architecture).features(batch.dense, batch.sparse)
        width = expected.shape[1] - first_order
        torch.testing.assert_close(found[:, :width], expected[:, :width], atol=1e-5, rtol=1e-4)
        assert torch.equal(found[:, found.shape[1] - first_order :], expected[:, width:])
        assert not found[:, width : found.shape[1] - first_order].any()


@pytest.mark.parametrize("name", RELAXED)
def test_a_planted_operator_is_found(name) -> None:
    # FC reads numbers alone, Flat both; what the last FC reads of the tokens itself is little.
    space = SPACE.with_(blocks=2, dense_ops=("FC", "Flat"))
    shared = make_shared(space=space)
    before = {n: t.clone() for n, t in shared.tensors.items()}
    method = build(name, shared)
    method.learn(shared, planted())
    assert all(torch.equal(t, before[n]) for n, t in shared.tensors.items() if n in before)
    chance = [block["dense_ops"][space.dense_ops.index("Flat")] for block in method.choices.blocks]
    assert max(chance) > 0.8
    first, *others = method.ask(30)
    assert first == method.choices.likeliest()
    assert any(b.dense_ops == ("Flat",) for b in first.blocks)
    assert len({a.digest for a in (first, *others)}) == 30
    for architecture in others:
        space.validate(architecture)


@pytest.mark.parametrize("name", RELAXED)
def test_learning_is_decided_by_the_seed(name) -> None:
    def learnt(seed: int) -> list[np.ndarray]:
        shared = make_shared()
        method = build(name, shared, seed)
        steps = []
        method.learn(shared, make_split(400), lambda done, of: steps.append((done, of)))
        assert steps[-1] == (4, 4)
        return [p for block in method.choices.blocks for p in block.values()]

    first = learnt(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, learnt(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, learnt(2), strict=True))
    assert all(np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all() for p in first)


def test_every_block_is_learnt() -> None:
    shared = make_shared()
    found = learn_choices(shared, make_split(2000), LEARNING, block_by_block=True)
    together = learn_choices(shared, make_split(2000), LEARNING)
    for choices in (found, together):
        assert all(abs(block["dense_ops"] - 0.25).max() > 0.01 for block in choices.blocks)


def test_sources_share_what_is_learnt_of_them() -> None:
    logits = Logits(SPACE, rank=2, seed=0)
    assert not logits.of(3, "dense_inputs").any()  # nothing is preferred at first
    (grad,) = torch.autograd.grad(
        logits.of(2, "dense_inputs")[0], [logits.of_source["dense_inputs"]]
    )
    with torch.no_grad():
        logits.of_source["dense_inputs"] += grad
    assert logits.of(2, "dense_inputs")[0] > 0
    assert logits.of(3, "dense_inputs")[0] != 0
    assert not logits.of(3, "dense_inputs")[1:].any()
    assert not logits.of(2, "sparse_inputs").any()


def test_choices_are_drawn_as_often_as_they_say() -> None:
    space = SPACE.with_(blocks=2, max_connections=1)
    choices = Choices.uniform(space)
    choices.blocks[1]["dense_inputs"][:] = 0.9, 0.1
    choices.blocks[1]["dense_ops"][:] = 0.7, 0.1, 0.1, 0.05, 0.05
    rng = np.random.default_rng(0)
    drawn = [choices.sample(rng).blocks[1] for _ in range(800)]
    assert {len(b.dense_inputs) for b in drawn} == {1}  # the space's limit
    assert np.mean([b.dense_inputs == (0,) for b in drawn]) > 0.85
    assert np.mean([b.dense_ops == ("FC",) for b in drawn]) == pytest.approx(0.7, abs=0.06)
    assert np.mean([b.dense_to_sparse for b in drawn]) == pytest.approx(0.5, abs=0.06)
    flat = [choices.sample(rng, flatter=8.0).blocks[1] for _ in range(800)]
    assert np.mean([b.dense_ops == ("FC",) for b in flat]) < 0.3


@pytest.mark.parametrize("name", RELAXED)
@pytest.mark.parametrize("most", [None, 2])
def test_a_space_of_several_operators_is_refused(name, most) -> None:
    with pytest.raises(SpaceError, match=r"(?s)one operator a branch.*max_ops_per_branch: 1"):
        METHODS[name](SPACE.with_(max_ops_per_branch=most))
