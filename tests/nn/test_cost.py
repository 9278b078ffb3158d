"""Published weight counts come out exactly, and analytic multiply-adds are torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nasrec.nn import (
    BASELINES,
    Inputs,
    ModelOptions,
    NASRecNet,
    attention,
    build_baseline,
    cost,
    encoder,
    tokens,
)
from nasrec.nn.cost import count_dense_weights, count_weights
from nasrec.space import PUBLISHED, published
from tests.nn.helpers import INPUTS, draw, rows

CRITEO = Inputs(13, (10,) * 26)


@pytest.mark.parametrize(
    ("name", "layer_norm", "weights", "live_weights"),
    [
        ("criteo-small", True, 1_784_133, 1_747_477),
        ("criteo-small", False, 1_779_720, 1_743_288),
        ("criteo-full", True, 2_222_291, 752_131),
        ("criteo-full", False, 2_217_268, 749_764),
    ],
)
def test_published_weight_counts(name, layer_norm, weights, live_weights):
    counted = cost(published(name), CRITEO, ModelOptions(layer_norm=layer_norm))
    assert (counted.weights, counted.live_weights) == (weights, live_weights)


@pytest.mark.parametrize(
    ("name", "inputs", "millions"),
    [
        ("criteo-small", CRITEO, 2.20),
        ("criteo-full", CRITEO, 1.45),
        ("avazu-small", Inputs(1, (10,) * 23), 3.08),
        ("avazu-full", Inputs(1, (10,) * 23), 1.87),
        ("kdd-small", Inputs(3, (10,) * 10), 3.48),
        ("kdd-full", Inputs(3, (10,) * 10), 1.09),
    ],
)
def test_published_multiply_adds(name, inputs, millions):
    """Within what differs between counters: theirs does not see fused attention."""
    assert cost(published(name), inputs).live_madds / 1e6 == pytest.approx(millions, rel=0.1)


def counted_by_torch(model, inputs, batch=3) -> float:
    dense, sparse, _ = rows(inputs, batch)
    # The counter does not know addmm in place.
    known = {torch.ops.aten.addmm_: lambda y, a, b, **_: 2 * a[0] * a[1] * b[1]}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(dense, sparse)
    return counter.get_total_flops() / 2 / batch


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6)), Inputs(4, ())])
@pytest.mark.parametrize("seed", range(8))
def test_multiply_adds_agree_with_torch(seed, inputs, layer_norm, monkeypatch):
    monkeypatch.setattr(attention, "WIDEST", 0)  # the narrow form sums moments besides
    monkeypatch.setattr(encoder, "WIDTHS", ())  # torch does not see what compiled kernels do
    monkeypatch.setattr(tokens, "usable", lambda *_: False)
    options = ModelOptions(layer_norm=layer_norm)
    model = NASRecNet(draw(seed), inputs, options)
    counted = cost(draw(seed), inputs, options)
    assert counted.live_madds == model.madds == counted_by_torch(model, inputs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_bytes_are_what_the_module_stores(name):
    model = NASRecNet(published(name), INPUTS)
    counted = cost(published(name), INPUTS)
    stored = sum(p.untyped_storage().nbytes() for p in model.parameters())
    assert counted.bytes == stored == 4 * count_weights(model)
    assert counted.embedding_weights == model.embedding.weight.numel()
    assert counted.live_blocks == published(name).live_blocks


@pytest.mark.parametrize("inputs", [INPUTS, Inputs(0, (5, 6)), Inputs(4, (3,)), Inputs(4, ())])
@pytest.mark.parametrize("name", BASELINES)
def test_baseline_multiply_adds_agree_with_torch(name, inputs):
    model = build_baseline(name, inputs, ModelOptions(hidden=(8, 6)))
    assert model.madds == counted_by_torch(model, inputs)


@pytest.mark.parametrize("name", BASELINES)
def test_no_table_counts_among_the_dense_weights(name):
    few, many = (build_baseline(name, Inputs(2, (n, 3)), ModelOptions()) for n in (4, 9))
    assert count_dense_weights(few) == count_dense_weights(many)
    tables = sum(p.numel() for n, p in few.named_parameters() if "embedding." in n)
    assert count_weights(few) - count_dense_weights(few) == tables
