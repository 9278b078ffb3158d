from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from nasrec.errors import ConfigError, RunError
from nasrec.train import Adagrad, Adam, LoopConfig, Optimizer, clip_grad_norm, constant, cosine
from nasrec.train.optim import distinct_rows, learning_rate

BOTH = pytest.mark.parametrize("kind", [Adagrad, Adam])


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    gen = torch.Generator().manual_seed(seed)
    shapes = {"w": (7, 5), "b": (5,), "k": (2, 3, 4)}
    return {n: nn.Parameter(torch.randn(s, generator=gen)) for n, s in shapes.items()}


def gradients(step: int, scale: float = 3.0) -> dict[str, torch.Tensor]:
    return {n: p.detach() * scale for n, p in parameters(100 + step).items()}


def torch_twin(kind: type[Optimizer], params: list[nn.Parameter], **kw) -> torch.optim.Optimizer:
    if kind is Adagrad:
        return torch.optim.Adagrad(params, lr=0.1, eps=kw.pop("eps", 1e-2), **kw)
    return torch.optim.Adam(params, lr=0.1, eps=kw.pop("eps", 1e-8), **kw)


@BOTH
@pytest.mark.parametrize("clip", [None, 2.0])
@pytest.mark.parametrize("options", [{}, {"eps": 0.3}, {"weight_decay": 0.1}])
def test_dense_steps_equal_torch(kind, clip, options) -> None:
    ours, theirs = parameters(), parameters()
    opt, twin = kind(**options), torch_twin(kind, list(theirs.values()), **options)
    for step in range(4):
        for name, grad in gradients(step).items():
            ours[name].grad, theirs[name].grad = grad.clone(), grad.clone()
        if clip:
            norm = clip_grad_norm(ours.values(), clip)
            expected = nn.utils.clip_grad_norm_(theirs.values(), clip)
            assert norm == pytest.approx(float(expected), rel=1e-6)
        opt.step(ours.items(), 0.1)
        twin.step()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-7)


def embed(weight: nn.Parameter, step: int, sparse: bool) -> None:
    """A backward pass with rows read more than once in a batch."""
    rows = torch.randint(0, 12, (40,), generator=torch.Generator().manual_seed(step))
    rows = rows[rows != 3]
    weight.grad = None
    (nn.functional.embedding(rows, weight, sparse=sparse).sin() ** 2).sum().backward()


@pytest.mark.parametrize("clip", [None, 0.5])
def test_row_sparse_adagrad_equals_dense(clip) -> None:
    start = torch.randn(30, 4)
    sparse, dense = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    opt, twin = Adagrad(), torch.optim.Adagrad([dense], lr=0.1, eps=1e-2)
    for step in range(5):
        embed(sparse, step, True)
        embed(dense, step, False)
        if clip:
            norm = clip_grad_norm([sparse], clip)
            assert norm == pytest.approx(float(nn.utils.clip_grad_norm_([dense], clip)), rel=1e-6)
        opt.step([("e", sparse)], 0.1)
        twin.step()
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-7)
    assert torch.equal(sparse[3], start[3])
    assert torch.equal(sparse[12:], start[12:])


def test_row_sparse_adam_equals_torch_sparse_adam() -> None:
    start = torch.randn(30, 4)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    opt, twin = Adam(), torch.optim.SparseAdam([theirs], lr=0.1)
    for step in range(5):
        embed(ours, step, True)
        embed(theirs, step, True)
        opt.step([("e", ours)], 0.1)
        twin.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entries", [0, 1, 40, 400])
def test_distinct_rows_are_those_of_coalesce(entries) -> None:
    generator = torch.Generator().manual_seed(entries)
    for size in (50, 20, 300):  # room left over from other tables does not matter
        rows = torch.randint(0, size, (1, entries), generator=generator)
        values = torch.randn(entries, 3, generator=generator, dtype=torch.float64)
        grad = torch.sparse_coo_tensor(rows, values, (size, 3), check_invariants=True)
        before = values.clone()
        found = distinct_rows(grad)
        assert len(found.indices()[0].unique()) == len(found.indices()[0])
        assert found.indices().shape == grad.coalesce().indices().shape
        torch.testing.assert_close(found.to_dense(), grad.to_dense())
        assert torch.equal(values, before)
        assert distinct_rows(found) is found


def test_embedding_l2_decays_touched_rows_only() -> None:
    weight = nn.Parameter(torch.randn(6, 3))
    before = weight.detach().clone()
    grad = torch.sparse_coo_tensor(
        torch.tensor([[1, 1, 4]]), torch.ones(3, 3), (6, 3), check_invariants=True
    )
    weight.grad = grad
    Adagrad(embedding_l2=0.5).step([("e", weight)], 0.1)
    full = grad.to_dense() + 0.5 * before
    expected = before - 0.1 * full / (full.abs() + 1e-2)
    touched = torch.tensor([1, 4])
    torch.testing.assert_close(weight[touched], expected[touched])
    untouched = torch.tensor([0, 2, 3, 5])
    assert torch.equal(weight[untouched], before[untouched])


@BOTH
def test_all_rows_is_torch_on_dense_gradients(kind) -> None:
    start = torch.randn(30, 4)
    sparse, dense = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    opt = kind(embedding_l2=0.05, all_rows=True)
    twin = torch_twin(kind, [dense], weight_decay=0.05)
    for step in range(5):
        embed(sparse, step, True)
        embed(dense, step, False)
        opt.step([("e", sparse)], 0.1)
        twin.step()
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-7)
    assert not torch.equal(sparse[12:], start[12:])


def test_adagrad_on_slices_is_adagrad_on_the_whole() -> None:
    whole = torch.randn(6, 8)
    reference = nn.Parameter(whole.clone())
    opt = Adagrad(shape_of=lambda name: whole.shape)
    twin = torch.optim.Adagrad([reference], lr=0.1, eps=1e-2)
    for step, (rows, cols) in enumerate([(3, 8), (6, 2), (4, 5), (6, 8), (1, 1)]):
        grad = torch.randn(rows, cols, generator=torch.Generator().manual_seed(step))
        view = nn.Parameter(whole[:rows, :cols])
        view.grad = grad
        opt.step([("w", view)], 0.1)
        reference.grad = torch.zeros_like(reference)
        reference.grad[:rows, :cols] = grad
        twin.step()
    torch.testing.assert_close(whole, reference.detach(), rtol=1e-6, atol=1e-7)


def test_a_step_on_views_equals_one_on_copies_to_the_bit() -> None:
    whole = torch.randn(64, 48)
    view, copy = nn.Parameter(whole[:33, :17]), nn.Parameter(whole[:33, :17].clone())
    on_view, on_copy = Adagrad(shape_of=lambda _: whole.shape), Adagrad()
    for _ in range(5):
        view.grad = torch.randn(33, 17)
        copy.grad = view.grad.clone()
        on_view.step([("w", view)], 0.1)
        on_copy.step([("w", copy)], 0.1)
    assert torch.equal(view, copy)


@BOTH
def test_state_survives_a_file(kind, tmp_path: Path) -> None:
    straight, resumed = parameters(), parameters()
    a, b = kind(), kind()
    for step in range(4):
        for name, grad in gradients(step).items():
            straight[name].grad, resumed[name].grad = grad.clone(), grad.clone()
        a.step(straight.items(), 0.1)
        b.step(resumed.items(), 0.1)
        b.save(tmp_path / "state.safetensors")
        b = kind()
        b.load(tmp_path / "state.safetensors")
    assert all(torch.equal(straight[n], resumed[n]) for n in straight)


def test_state_of_another_optimiser_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    params = parameters()
    for p in params.values():
        p.grad = torch.ones_like(p)
    opt = Adagrad()
    opt.step(params.items(), 0.1)
    opt.save(path)
    with pytest.raises(RunError, match="Adam"):
        Adam().load(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(RunError, match="cannot be read"):
        Adagrad().load(path)


def test_clipping_leaves_small_and_non_finite_gradients_alone() -> None:
    p = nn.Parameter(torch.zeros(3))
    assert clip_grad_norm([p], 1.0) == 0.0
    p.grad = torch.tensor([0.3, 0.4, 0.0])
    assert clip_grad_norm([p], 1.0) == pytest.approx(0.5)
    assert torch.equal(p.grad, torch.tensor([0.3, 0.4, 0.0]))
    p.grad = torch.tensor([1.0, float("nan"), 0.0])
    assert clip_grad_norm([p], 1.0) != clip_grad_norm([p], 1.0)
    assert p.grad[0] == 1.0


def test_parameters_without_gradient_are_left_alone() -> None:
    params = parameters()
    before = {n: p.detach().clone() for n, p in params.items()}
    opt = Adagrad()
    opt.step(params.items(), 0.1)
    assert all(torch.equal(params[n], before[n]) for n in params)
    assert not opt.state["sum"]


def test_schedules() -> None:
    rates = [cosine(t, 100, 2.0) for t in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(1.0)
    assert 1e-8 < rates[99] < 0.001
    assert cosine(100, 100, 2.0) == pytest.approx(1e-8)
    assert cosine(0, 1, 2.0) == 2.0
    assert cosine(0, 5, 2.0, 0.0) == 2.0
    assert [constant(t, 20, 1.0) for t in range(4)] == [0.5, 1.0, 1.0, 1.0]
    with pytest.raises(ConfigError):
        learning_rate(LoopConfig(), 5, 5)
