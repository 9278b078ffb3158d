"""Dropout: in training only, decided by the seed of the step, without bias; for every model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, ModelOptions, NASRecNet, SharedWeights, build_baseline
from nasrec.nn.dropout import dropout
from nasrec.space import NASREC_FULL, Architecture
from tests.nn.helpers import INPUTS, MULTI, draw, rows

PLAIN = ModelOptions(hidden=(8, 6))
MODELS = {
    **{n: lambda options, n=n: build_baseline(n, INPUTS, options, seed=1) for n in BASELINES},
    "nasrec": lambda options: NASRecNet(draw(3), INPUTS, options, seed=1),
    "subnet": lambda options: SharedWeights(MULTI, INPUTS, options, seed=1).subnet(draw(3)),
}
KINDS = ("embedding_dropout", "dropout")


def logits(model, seed=0, batch=64):
    torch.manual_seed(seed)
    return model(*rows(INPUTS, batch)[:2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_drops_in_training_only(name, kind):
    plain, dropping = MODELS[name](PLAIN), MODELS[name](replace(PLAIN, **{kind: 0.5}))
    if name == "logreg":  # all its weights start at zero; and it has no hidden layer
        for model in (plain, dropping):
            torch.nn.init.ones_(model.embedding.weight)
    assert torch.equal(logits(plain.eval()), logits(dropping.eval()))
    plain.train(), dropping.train()
    if name in ("logreg", "fm") and kind == "dropout":
        assert torch.equal(logits(plain), logits(dropping))
        return
    assert not torch.equal(logits(plain), logits(dropping))
    assert torch.equal(logits(dropping, 1), logits(dropping, 1))
    assert not torch.equal(logits(dropping, 1), logits(dropping, 2))


def test_what_is_left_makes_up_for_what_is_dropped():
    alone = NASREC_FULL.with_(name="one", blocks=1, dense_dims=(64,), sparse_dims=(16,))
    block = {**alone.sample(np.random.default_rng(0)).to_dict()["blocks"][0]}
    block |= {"dense_to_sparse": False, "sparse_to_dense": False, "dense_ops": ["FC"]}
    model = NASRecNet(
        Architecture.from_dict({"blocks": [block]}), INPUTS, replace(PLAIN, dropout=0.25)
    )
    dense, sparse, _ = rows(INPUTS, 4)
    whole = model.eval().features(dense, sparse)
    model.train()
    drawn = torch.stack([model.features(dense, sparse) for _ in range(4000)])
    kept = drawn[:, whole != 0] != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.005)
    torch.testing.assert_close(drawn.mean(0), whole, rtol=0.06, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_share_out_of_range_is_told(kind, value):
    with pytest.raises(ConfigError, match=kind):
        ModelOptions(**{kind: value})


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.999])
def test_entries_are_dropped_alone_and_at_the_nearest_of_256_shares(share):
    torch.manual_seed(0)
    kept = torch.stack([dropout(torch.ones(1001), share, True) for _ in range(400)])
    level = min(max(1, round(256 * share)), 255) / 256
    assert (kept == 0).double().mean().item() == pytest.approx(level, abs=0.002)
    assert kept.double().mean().item() == pytest.approx(1, abs=0.03)
    gone = (kept[:, :16] == 0).double()  # entries whose numbers come from the same two draws
    if 0.05 < share < 0.95:
        apart = torch.corrcoef(gone.T) - torch.eye(16)
        assert apart.abs().max() < 0.25
