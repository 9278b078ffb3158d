"""A last FC that does not throw a young supernet about.

An Adagrad step moves each weight by about the learning rate, whatever its gradient. The last FC
sums up to thousands of features, most of them behind a ReLU and so of one sign: its logit moves by
rate x width in one step, tens of nats where the base rate alone is within a fraction of one. And a
supernet's last FC reads another subnet in each step. So here it starts as the base rate, and its
rate is divided by its width, the way of maximal update parametrisation (Yang and Hu, ICML 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import nn

from nasrec.nn import SharedWeights

#: Width at which the last FC's rate is that of all weights: the narrowest choice of the paper.
FULL_RATE_WIDTH = 16


def start_at_base_rate(shared: SharedWeights, click_rate: float) -> None:
    """Set the last FC of weights that nothing has trained yet to the base rate."""
    rate = min(max(click_rate, 1e-6), 1 - 1e-6)
    largest = shared.subnet(shared.space.maximal())  # it reads all parts of the last block
    for name, _ in largest.head.named_parameters(prefix="head"):
        # A linear part begins at zero itself, and could not leave it behind a weight of zero.
        started = {"head.bias": math.log(rate / (1 - rate)), "head.first_order": 1.0}
        shared.tensors[name].fill_(started.get(name, 0.0))


def head_factor(width: int) -> float:
    """Factor on the learning rate of a last FC of so many weights; at most 1."""
    return min(1.0, FULL_RATE_WIDTH / max(1, width))


def head_factors(named: Sequence[tuple[str, nn.Parameter]]) -> Mapping[str, float]:
    """`head_factor` by name for the last FC among a step's parameters; its bias keeps its rate."""
    head = {n: p.numel() for n, p in named if n.startswith("head.") and n != "head.bias"}
    return dict.fromkeys(head, head_factor(sum(head.values())))
