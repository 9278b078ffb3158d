"""The compiled optimisers and those in torch do the same, on tables, slices and odd shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasrec.native import library
from nasrec.train import Adagrad, Adam
from nasrec.train import rows as module

pytestmark = pytest.mark.skipif(library() is None, reason="no C compiler, or NASREC_NATIVE is off")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def parameters() -> dict[str, nn.Parameter]:
    """Slices, whole tensors, a vector, a scalar, and one that is no matrix with even rows."""
    whole, cube = draw(40, 70), draw(4, 6, 20)
    return {
        "slice": nn.Parameter(whole[:33, :17]),
        "rows": nn.Parameter(whole[35:, :]),
        "vector": nn.Parameter(draw(23)),
        "scalar": nn.Parameter(draw(1)[0]),
        "cube": nn.Parameter(cube[:3, :, :5]),
        "uneven": nn.Parameter(cube[3:, :2, 5:8].transpose(0, 1)),
        "empty": nn.Parameter(draw(0, 5)),
        "column": nn.Parameter(draw(9, 3)[:, :1]),
    }


def train(optimizer: Adagrad | Adam) -> dict[str, torch.Tensor]:
    params = parameters()
    for step in range(3):
        for name, p in params.items():
            p.grad = (
                draw(*p.shape, seed=10 * step + len(name)) if p.dim() else draw(1, seed=step)[0]
            )
        optimizer.step(params.items(), 0.1)
    return {name: p.detach() for name, p in params.items()}


@pytest.mark.parametrize("kind", [Adagrad, Adam])
def test_dense_steps(kind, monkeypatch):
    compiled = train(kind())
    monkeypatch.setattr(module, "usable", lambda *_: False)
    for name, expected in train(kind()).items():
        torch.testing.assert_close(compiled[name], expected, rtol=1e-6, atol=1e-6)


def touched(seed: int) -> torch.Tensor:
    rows = torch.randint(0, 50, (1, 70), generator=torch.Generator().manual_seed(seed))
    return torch.sparse_coo_tensor(rows, draw(70, 19, seed=seed), (60, 19), check_invariants=True)


@pytest.mark.parametrize("kind", [Adagrad, Adam])
@pytest.mark.parametrize("all_rows", [False, True])
def test_steps_on_rows(kind, all_rows, monkeypatch):
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(module, "usable", lambda *_: False)
        weight, optimizer = nn.Parameter(draw(60, 19)), kind(embedding_l2=0.01, all_rows=all_rows)
        for step in range(3):
            weight.grad = touched(step)
            optimizer.step([("table", weight)], 0.1)
        found.append(weight.detach())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)
    assert torch.equal(found[0][50:], draw(60, 19)[50:]) is not all_rows


def test_rows_of_a_gradient_stand_in_the_order_of_first_use():
    rows = torch.tensor([[7, 3, 7, 1, 3, 7]])
    grad = torch.sparse_coo_tensor(
        rows, torch.arange(6.0).view(6, 1), (9, 1), check_invariants=True
    )
    found = module.distinct_rows(grad)
    assert found.indices()[0].tolist() == [7, 3, 1]
    assert found.values()[:, 0].tolist() == [7, 5, 3]
