"""Operators and hand-made models beside the products they consist of: a guard against one becoming
slower.

A share is the time that the multiply-adds (forward x 3) would take at the GEMM rate at 1024², over
the time of forward and backward, at batch 512. Operators have seven-block middle widths of Full;
the hand-made models read the columns of Criteo, with small tables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Limits, Result, clock, result
from benchmarks.supernet import BATCH, SMALL_TABLES, criteo_inputs, random_rows
from nasrec.nn import BASELINES, ModelOptions, build_baseline
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
        results.append(_share(f"operator-{name}", operator, (reading,), repeats, limits, out=out))
    return results


def hand_made(repeats: int) -> list[Result]:
    """The same of each hand-made model that has matrix products."""
    limits, inputs = Limits(), criteo_inputs(SMALL_TABLES)
    rows = random_rows(inputs, BATCH).take(np.arange(BATCH))
    models = {name: build_baseline(name, inputs) for name in BASELINES}
    return [
        _share(f"model-{name}", model, (rows.dense, rows.sparse), repeats, limits)
        for name, model in models.items()
        if model.madds > inputs.dense
    ]


def _share(
    name: str, module: Any, given: tuple[Any, ...], repeats: int, limits: Limits, **more: Any
) -> Result:
    upstream = torch.full_like(module(*given), 0.01)
    module(*given).backward(upstream)  # the first one allocates
    found = []
    for _ in range(repeats):
        limit = limits()
        module.zero_grad()
        began = clock()
        module(*given).backward(upstream)
        found.append(3 * module.madds * BATCH / (clock() - began) / limit)
    return result(name, found, "of the GEMM rate at 1024²", limits=limits, **more)


def _input(*shape: int) -> Tensor:
    return torch.randn(BATCH, *shape, requires_grad=True)
