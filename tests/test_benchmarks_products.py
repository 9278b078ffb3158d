"""The products that a step's speed is compared with are those of the step."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.products import Products

from nasrec.nn import Inputs, ModelOptions, live_madds
from nasrec.space import NASREC_FULL, NASREC_SMALL, PathSampler

ROWS = 8


@pytest.mark.parametrize(("space", "least"), [(NASREC_SMALL, 0.9), (NASREC_FULL, 0.3)])
def test_products_have_the_multiply_adds_that_costs_count(space, least):
    inputs, options = Inputs(3, (7,) * 5), ModelOptions()
    sampler = PathSampler(space, total_steps=1, warmup_fraction=0.0)
    subnets = [sampler.sample(0, np.random.default_rng(seed)) for seed in range(3)]
    products = Products(subnets, inputs, options, ROWS)
    all_of_them = 3 * ROWS * sum(live_madds(a, inputs, options) for a in subnets)
    # All but the gradients of the numeric columns and, in Full, the inside of attention layers.
    assert least * all_of_them < products.madds < all_of_them
    assert products.seconds() > 0
