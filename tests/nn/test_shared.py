"""A subnet inside the supernet is the standalone model: the property the project stands on."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.errors import RunError
from nasrec.nn import Inputs, ModelOptions, SharedWeights
from nasrec.space import NASREC_FULL
from nasrec.train.optim import Adagrad, clip_grad_norm
from tests.nn.helpers import INPUTS, MULTI, SMALL_WIDTHS, draw, rows

SINGLE = NASREC_FULL.with_(name="single", blocks=4, **SMALL_WIDTHS)


def store(space=MULTI, inputs=INPUTS, **options) -> SharedWeights:
    shared = SharedWeights(space, inputs, ModelOptions(**options), seed=1)
    for seed in range(4):  # other subnets have been here before
        shared.subnet(draw(1000 + seed, space))
    generator = torch.Generator().manual_seed(0)
    for tensor in shared.tensors.values():
        tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.05)
    return shared


@pytest.mark.parametrize("space", [MULTI, SINGLE], ids=lambda s: s.name)
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("train", [True, False])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_output_equals_the_extracted_networks(space, layer_norm, train, seed):
    shared = store(space, layer_norm=layer_norm, first_order=seed % 2 == 1)
    architecture = draw(seed, space)
    subnet, alone = shared.subnet(architecture), shared.extract(architecture)
    subnet.train(train)
    alone.train(train)
    dense, sparse, _ = rows(INPUTS, 6, seed)
    torch.testing.assert_close(subnet(dense, sparse), alone(dense, sparse), rtol=1e-6, atol=1e-6)
    storages = {p.untyped_storage().data_ptr() for p in alone.parameters()}
    assert storages.isdisjoint(t.untyped_storage().data_ptr() for t in shared.tensors.values())
    assert all(p.is_contiguous() for p in alone.parameters())


@pytest.mark.parametrize("inputs", [Inputs(0, (5, 6)), Inputs(4, ())])
@pytest.mark.parametrize("seed", range(5))
def test_output_equals_the_extracted_networks_without_some_columns(inputs, seed):
    shared = store(inputs=inputs)
    dense, sparse, _ = rows(inputs, 6, seed)
    subnet, alone = shared.subnet(draw(seed)), shared.extract(draw(seed))
    torch.testing.assert_close(subnet(dense, sparse), alone(dense, sparse), rtol=1e-6, atol=1e-6)


def take_step(model, optimizer, batch) -> None:
    dense, sparse, labels = batch
    for p in model.parameters():
        p.grad = None
    F.binary_cross_entropy_with_logits(model(dense, sparse), labels).backward()
    clip_grad_norm(list(model.parameters()), 5.0)
    optimizer.step(model.named_parameters(), 0.12)


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_k_steps_in_the_store_are_k_steps_alone(seed):
    """In double precision, where nothing but rounding in the 16th digit may differ."""
    shared, architecture = store(), draw(seed)
    alone = shared.extract(architecture)
    in_store, on_its_own = Adagrad(shape_of=shared.shape), Adagrad()
    for step in range(4):
        batch = rows(INPUTS, 32, step)
        take_step(shared.subnet(architecture), in_store, batch)
        take_step(alone, on_its_own, batch)
    for name, p in shared.subnet(architecture).named_parameters():
        torch.testing.assert_close(p, dict(alone.named_parameters())[name], rtol=1e-9, atol=1e-10)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_weights_outside_the_architecture_keep_every_bit(seed):
    shared, architecture = store(), draw(seed)
    subnet = shared.subnet(architecture)
    before = copy.deepcopy(shared.tensors)
    dense, sparse, _ = rows(INPUTS, 8, seed)
    # Labels that it has wrong: a network that is sure of right ones has no gradient.
    batch = dense, sparse, (subnet(dense, sparse) < 0).to(dense.dtype).detach()
    take_step(subnet, Adagrad(shape_of=shared.shape), batch)
    inside = dict(subnet.named_parameters())
    touched = (batch[1] + subnet.embedding.starts).flatten()
    for name, tensor in shared.tensors.items():
        mask = torch.ones(tensor.shape, dtype=torch.bool)
        if name == "embedding.weight":
            mask[touched] = False
        elif name in inside:
            mask[tuple(slice(0, n) for n in inside[name].shape)] = False
        assert torch.equal(tensor[mask], before[name][mask]), name
    assert any(not torch.equal(shared.tensors[n], before[n]) for n in inside)


def test_two_widths_share_their_leading_weights():
    shared, wide, narrow = store(SINGLE), draw(0, SINGLE), None
    for seed in range(1, 200):
        other = draw(seed, SINGLE)
        if other.blocks[-1].dense_dim < wide.blocks[-1].dense_dim:
            narrow = other
            break
    assert narrow is not None
    a = shared.subnet(wide).head.dense
    b = shared.subnet(narrow).head.dense
    assert b.data_ptr() == a.data_ptr()
    assert len(b) < len(a)


def test_initial_weights_do_not_depend_on_the_order_of_subnets():
    one, two = (SharedWeights(MULTI, INPUTS, seed=4) for _ in range(2))
    for seed in range(6):
        one.subnet(draw(seed))
        two.subnet(draw(5 - seed))
    assert one.tensors.keys() == two.tensors.keys()
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name


def test_the_full_supernet_lends_everything():
    shared = SharedWeights(MULTI, INPUTS)
    full = shared.subnet(MULTI.maximal())
    for name, p in full.named_parameters():
        if "fit" not in name and "gate" not in name and "norm" not in name:
            assert p.shape == shared.tensors[name].shape, name


def test_saved_weights_come_back_bit_for_bit(tmp_path):
    shared = store()
    shared.save(tmp_path / "w.safetensors")
    other = SharedWeights(MULTI, INPUTS, seed=9)
    other.load(tmp_path / "w.safetensors")
    assert other.seed == shared.seed
    assert all(torch.equal(t, other.tensors[n]) for n, t in shared.tensors.items())


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_damaged_weights_are_refused(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    if damage != "missing":
        store().save(path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"hello")
    with pytest.raises(RunError, match="cannot be read"):
        SharedWeights(MULTI, INPUTS).load(path)
