"""Each operator beside the products it consists of: a guard against one becoming slower.

A share is the time that its multiply-adds (forward x 3) would take at the GEMM rate at 1024², over
the time of its forward and backward, at batch 512: seven-block middle widths of Full.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.harness import Limits, Result, clock, result
from benchmarks.supernet import BATCH
from nasrec.nn import ModelOptions
from nasrec.nn.operators import Reading, Widths, operator_class
from nasrec.nn.parameters import Axis, Maker, fresh

DENSE, TOKENS, LEFT, RIGHT = (256, 256, 256), (26, 48, 8, 32), 256, 512
OPERATORS = {"FC": 256, "SG": 256, "Sum": 256, "DP": 256, "EFC": 64, "Attn": 64}
"""Operators and their output widths."""


def shares(repeats: int) -> list[Result]:
    """Multiply-adds (forward x 3) a second of each operator, over the GEMM rate."""
    limits, options, results = Limits(), ModelOptions(), []
    for name, out in OPERATORS.items():
        widths = Widths(
            dense={str(i): Axis.fixed(width) for i, width in enumerate(DENSE)},
            sparse={str(i): Axis.fixed(tokens) for i, tokens in enumerate(TOKENS)},
            left=Axis.fixed(LEFT),
            right=Axis.fixed(RIGHT),
            pair_limit=max(LEFT, RIGHT),
            left_name="0",
            out=Axis.fixed(out),
        )
        operator = operator_class(name)(widths, options, Maker(fresh(0)))
        reading = Reading(
            {str(i): _input(width) for i, width in enumerate(DENSE)},
            {str(i): _input(options.embedding_dim, tokens) for i, tokens in enumerate(TOKENS)},
            _input(LEFT),
            _input(RIGHT),
        )
        upstream = torch.full_like(operator(reading), 0.01)
        operator(reading).backward(upstream)  # the first one allocates
        found = []
        for _ in range(repeats):
            limit = limits()
            began = clock()
            operator(reading).backward(upstream)
            found.append(3 * operator.madds * BATCH / (clock() - began) / limit)
        results.append(
            result(f"operator-{name}", found, "of the GEMM rate at 1024²", limits=limits, out=out)
        )
    return results


def _input(*shape: int) -> Tensor:
    return torch.randn(BATCH, *shape, requires_grad=True)
