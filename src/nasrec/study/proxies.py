"""What can be said of a network that nobody has trained: zero-cost proxies.

After Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021. All are negated, so
that lower is better as for losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nasrec.data import Batch, PreparedData
from nasrec.nn import NASRecNet
from nasrec.pipeline.data import inputs_of
from nasrec.search.correlation import Floats
from nasrec.space import Architecture
from nasrec.study.config import StudyConfig
from nasrec.train.loop import derive_seed, weighted_loss

ROWS = 512
"""Rows of the one batch that a proxy sees."""
_STREAM = 22


def gradient_norm(network: NASRecNet, batch: Batch) -> float:
    """Norm of the gradient of the log loss, all weights together."""
    loss = weighted_loss(network(batch.dense, batch.sparse), batch)
    return float(sum(g.square().sum() for _, g in _gradients(network, loss)) ** 0.5)


def snip(network: NASRecNet, batch: Batch) -> float:
    """Σ |w ∂L/∂w|: what the loss would change, at first order, without each weight (Lee, 2019)."""
    loss = weighted_loss(network(batch.dense, batch.sparse), batch)
    return float(sum((w * g).abs().sum() for w, g in _gradients(network, loss)))


def synflow(network: NASRecNet, batch: Batch) -> float:
    """log Σ |w ∂R/∂w|, all weights made positive, R the sum of logits (Tanaka et al., 2020).

    Numeric columns are one. Without LayerNorm, which would keep any flow at one.
    """
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_()
    network = network.double()
    logit = network(torch.ones_like(batch.dense, dtype=torch.float64), batch.sparse).sum()
    total = sum((w * g).abs().sum() for w, g in _gradients(network, logit))
    return float(torch.log(torch.as_tensor(total) + 1e-300))


def _gradients(network: NASRecNet, value: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each weight, of tables the rows that are read, with its gradient."""
    value.backward()  # type: ignore[no-untyped-call]
    found = []
    for parameter in network.parameters():
        weight, grad = parameter.detach(), parameter.grad
        if grad is not None and grad.is_sparse:
            grad = grad.coalesce()
            weight, grad = weight[grad.indices()[0]], grad.values()
        if grad is not None:
            found.append((weight, grad))
    return found


#: By name, and whether the network has LayerNorm as in training.
PROXIES: dict[str, tuple[Callable[[NASRecNet, Batch], float], bool]] = {
    "gradient norm": (gradient_norm, True),
    "SNIP": (snip, True),
    "SynFlow": (synflow, False),
}


def proxy_scores(
    data: PreparedData, config: StudyConfig, subnets: Sequence[Architecture]
) -> dict[str, Floats]:
    """By proxy, (seeds, n) negated; of networks as they begin, on one batch of training rows."""
    inputs = inputs_of(data)
    found: dict[str, list[list[float]]] = {name: [] for name in PROXIES}
    for seed in config.supernet_seeds:
        rng = np.random.default_rng(derive_seed(seed, _STREAM))
        rows = rng.choice(len(data.train), min(ROWS, len(data.train)), replace=False)
        batch = data.train.take(rows)
        for name, (proxy, norm) in PROXIES.items():
            options = config.model if norm else dataclasses.replace(config.model, layer_norm=False)
            networks = (NASRecNet(a, inputs, options, seed=seed) for a in subnets)
            found[name].append([-proxy(network, batch) for network in networks])
    return {name: np.array(values) for name, values in found.items()}
