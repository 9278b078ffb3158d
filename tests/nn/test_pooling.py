"""Columns of several values: the mean of their embeddings, whatever the slots."""

from __future__ import annotations

import pytest
import torch

from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, Inputs, ModelOptions, NASRecNet, build_baseline
from tests.nn.helpers import draw

INPUTS = Inputs(2, (5, 7, 4), slots=(1, 3, 2))
IDS = torch.tensor([[0, 6, 2, -1, 3, 3], [4, 1, -1, -1, -1, -1], [2, 0, 5, 5, 1, -1]])


@pytest.mark.parametrize("cap", [None, 3])
def test_against_a_loop(cap):
    table = build_baseline("mlp", INPUTS, ModelOptions(embedding_cap=cap)).embedding
    begins = [0, *torch.tensor(table.rows).cumsum(0).tolist()]
    expected = torch.zeros(3, 3, 16)
    for row in range(3):
        for column, slots in enumerate(((0,), (1, 2, 3), (4, 5))):
            ids = [int(IDS[row, slot]) for slot in slots if IDS[row, slot] >= 0]
            for i in ids:
                vector = table.weight[begins[column] + i % table.rows[column]]
                expected[row, column] += vector / len(ids)
    torch.testing.assert_close(table(IDS), expected)


def test_the_gradient_is_of_the_used_slots_only():
    table = build_baseline("mlp", INPUTS).embedding
    table(IDS).sum().backward()
    grad = table.weight.grad.to_dense()[:, 0]
    expected = torch.zeros(16)
    for row, share in {0: 1, 4: 1, 2: 1}.items():
        expected[row] += share
    for i, share in ((6, 0.5), (2, 0.5), (1, 1.0), (0, 1 / 3), (5, 2 / 3)):
        expected[5 + i] += share
    for i, share in ((3, 1.0), (1, 1.0)):
        expected[12 + i] += share
    torch.testing.assert_close(grad, expected)


def test_unused_places_do_not_matter_and_neither_does_the_order_of_values():
    model = NASRecNet(draw(1), INPUTS)
    dense = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    moved = IDS[:, [0, 3, 2, 1, 5, 4]]
    torch.testing.assert_close(model(dense, IDS), model(dense, moved))


@pytest.mark.parametrize("name", BASELINES)
def test_every_model_takes_them(name):
    logits = build_baseline(name, INPUTS, ModelOptions(hidden=(8, 6)))(torch.zeros(3, 2), IDS)
    assert logits.shape == (3,)


def test_single_slots_are_the_ordinary_case():
    assert Inputs(0, (3, 4), (1, 1)) == Inputs(0, (3, 4))
    with pytest.raises(ConfigError, match="slot"):
        Inputs(0, (3, 4), (2,))
