"""Zero-cost proxies against gradients that are counted otherwise."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nasrec.nn import NASRecNet
from nasrec.study.proxies import PROXIES, gradient_norm, proxy_scores, snip, synflow
from nasrec.study.statistics import FEWEST
from tests.train.helpers import INPUTS, OPTIONS, SPACE, make_split

ARCHITECTURES = [SPACE.sample(np.random.default_rng(seed)) for seed in range(FEWEST)]
BATCH = make_split(64).rows(0, 64)


def gradients(network: NASRecNet) -> list[tuple[torch.Tensor, torch.Tensor]]:
    logits = network(BATCH.dense, BATCH.sparse)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, BATCH.labels).backward()
    found = [(p.detach(), p.grad) for p in network.parameters() if p.grad is not None]
    return [(p, g.to_dense() if g.is_sparse else g) for p, g in found]


def test_gradient_norm_and_snip() -> None:
    for architecture in ARCHITECTURES:
        expected = gradients(NASRecNet(architecture, INPUTS, OPTIONS))
        norm = math.sqrt(sum(float(g.square().sum()) for _, g in expected))
        assert gradient_norm(NASRecNet(architecture, INPUTS, OPTIONS), BATCH) == pytest.approx(norm)
        total = sum(float((p * g).abs().sum()) for p, g in expected)
        assert snip(NASRecNet(architecture, INPUTS, OPTIONS), BATCH) == pytest.approx(total)


def test_synflow_is_the_change_of_the_flow() -> None:
    """Σ w ∂R/∂w is the derivative of R when all weights grow by one factor.

    Not with attention, whose LayerNorms stay: there some gradients are negative.
    """
    options = dataclasses.replace(OPTIONS, layer_norm=False)
    space = SPACE.with_(sparse_ops=("EFC",))
    for architecture in (space.sample(np.random.default_rng(seed)) for seed in range(4)):
        found = synflow(NASRecNet(architecture, INPUTS, options), BATCH)
        network, step = NASRecNet(architecture, INPUTS, options).double(), 1e-6

        def flow(factor: float, network: NASRecNet = network) -> float:
            for weight in network.parameters():
                weight.data.abs_().mul_(factor)
            ones = torch.ones_like(BATCH.dense).double()
            logit = network(ones, BATCH.sparse).sum().item()
            for weight in network.parameters():
                weight.data.div_(factor)
            return logit

        slope = (flow(1 + step) - flow(1 - step)) / (2 * step)
        assert math.exp(found) == pytest.approx(slope, rel=1e-4)


def test_scores_of_each_seed_are_the_same_again() -> None:
    data = SimpleNamespace(
        train=make_split(700), n_dense=INPUTS.dense, vocabulary_sizes=INPUTS.vocabulary, slots=()
    )
    config = SimpleNamespace(supernet_seeds=range(2), model=OPTIONS)
    first = proxy_scores(data, config, ARCHITECTURES)
    assert first.keys() == PROXIES.keys()
    for name, scores in proxy_scores(data, config, ARCHITECTURES).items():
        assert scores.shape == (2, FEWEST)
        assert np.array_equal(scores, first[name])
        assert not np.array_equal(scores[0], scores[1])
        assert np.isfinite(scores).all()
