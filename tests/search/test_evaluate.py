from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nasrec.data import Split
from nasrec.errors import ConfigError, DataError
from nasrec.nn import NASRecNet, SharedWeights
from nasrec.nn.layers import LayerNorm
from nasrec.search import SCORE_RECIPES, ScoreConfig, Scorer
from nasrec.space import Architecture
from nasrec.train import SupernetConfig, auc, evaluate, log_loss, train_supernet
from nasrec.train.optim import cosine
from nasrec.train.platt import calibration
from tests.train.helpers import SPACE, make_shared, make_split

TRAIN, VALID = make_split(700, 1), make_split(300, 2)


@pytest.fixture(scope="module")
def shared() -> SharedWeights:
    store = make_shared()
    train_supernet(store, TRAIN, SupernetConfig(batch_size=64))
    return store


def architectures(count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(count)]


def oracle(shared: SharedWeights, arch: Architecture, scorer: Scorer) -> tuple[float, float]:
    """Fine-tuning of the last FC by autograd and torch's own optimiser, rows one by one."""
    network, config = deepcopy(shared.extract(arch)).eval(), scorer.config
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    calm = min(1.0, 16 / len(network.head_weight())) if config.head == "calm" else 1.0
    head = [
        {
            "params": [p.requires_grad_(True)],
            "lr": config.learning_rate * (1.0 if name == "bias" else calm),
        }
        for name, p in network.head.named_parameters()
    ]
    opt = torch.optim.Adagrad(head, eps=config.eps)
    rows = scorer.finetune
    assert rows is not None
    n, b = len(rows.labels), scorer.batch
    for step in range(config.finetune_steps):
        at = [(step * b + i) % n for i in range(b)]
        logits = network(rows.dense[at], rows.sparse[at])
        opt.zero_grad()
        F.binary_cross_entropy_with_logits(logits, rows.labels[at]).backward()
        opt.step()
    with torch.no_grad():
        logits = network(scorer.valid.dense, scorer.valid.sparse)
    return log_loss(logits, scorer.valid.labels), auc(logits, scorer.valid.labels)


@pytest.mark.parametrize(
    "config",
    [
        ScoreConfig(finetune_steps=5, finetune_batch=64),  # one pass, nothing cached
        ScoreConfig(finetune_steps=30, finetune_batch=64, finetune_rows=200, batch_size=100),
        ScoreConfig(finetune_steps=30, finetune_batch=64, finetune_rows=200, cache_mb=0),
        ScoreConfig(finetune_steps=3, finetune_batch=1000),
        ScoreConfig(finetune_steps=5, finetune_batch=64, head="calm"),
        ScoreConfig(finetune_steps=9, finetune_batch=64, finetune_rows=10, valid_rows=50),
    ],
)
def test_equal_to_fine_tuning_by_autograd(shared, config) -> None:
    scorer = Scorer(shared, TRAIN, VALID, config, seed=1)
    for arch in architectures(3):
        score = scorer.score(arch)
        logloss, area = oracle(shared, arch, scorer)
        assert score.logloss == pytest.approx(logloss, abs=2e-6)
        assert score.auc == pytest.approx(area, abs=2e-3)
        assert score.rows == (config.valid_rows or 300)


def test_a_calibrated_score_is_that_of_the_logits_at_any_scale(shared) -> None:
    plain = ScoreConfig(finetune_steps=0)
    many = make_split(3000, 2)
    scorers = [
        Scorer(shared, TRAIN, many, config, seed=1)
        for config in (plain, plain.model_copy(update={"calibrate": True}))
    ]
    store = make_shared()
    arch = next(a for a in architectures(9) if scorers[0].score(a).auc > 0.55)
    raw, mended = (scorer.score(arch) for scorer in scorers)
    assert mended.logloss < raw.logloss  # a supernet of a few steps is not calibrated
    assert mended.auc == raw.auc
    with torch.no_grad():
        logits = shared.extract(arch).eval()(scorers[0].valid.dense, scorers[0].valid.sparse)
    assert mended.logloss == calibration(logits, many.labels)[1]
    store.tensors = {
        name: 3 * tensor if name.startswith("head.") else tensor
        for name, tensor in shared.tensors.items()
    }
    tripled = Scorer(store, TRAIN, many, scorers[1].config, seed=1).score(arch)
    assert tripled.logloss == pytest.approx(mended.logloss, abs=1e-6)


def test_from_scratch_no_supernet_is_looked_at() -> None:
    config = SCORE_RECIPES["scratch"].model_copy(update={"finetune_steps": 9, "valid_rows": 200})
    arch, store = architectures(1)[0], make_shared()
    scorer = Scorer(store, TRAIN, VALID, config, seed=1)
    found = scorer.score(arch)
    assert not store.tensors
    network, rows = NASRecNet(arch, store.inputs, store.options, seed=store.seed), scorer.finetune
    optimizer = torch.optim.Adagrad(network.parameters(), lr=0.12, eps=config.eps)
    assert rows is not None
    for step in range(9):
        at = [(step * scorer.batch + i) % len(rows.labels) for i in range(scorer.batch)]
        optimizer.param_groups[0]["lr"] = cosine(step, 9, 0.12, 0.1)
        optimizer.zero_grad()
        logits = network(rows.dense[at], rows.sparse[at])
        F.binary_cross_entropy_with_logits(logits, rows.labels[at]).backward()
        for p in network.parameters():
            if p.grad is not None and p.grad.is_sparse:
                p.grad = p.grad.to_dense()
        norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
        for p in network.parameters():
            p.grad *= min(1.0, 5.0 / float(norm))
        optimizer.step()
    with torch.no_grad():
        logits = network.eval()(scorer.valid.dense, scorer.valid.sparse)
    assert found.logloss == pytest.approx(calibration(logits, scorer.valid.labels)[1], abs=1e-5)
    for wrong in ({"scope": "head"}, {"scope": "norms"}, {"scope": "all", "finetune_steps": 0}):
        with pytest.raises(ConfigError, match="trains all weights"):
            ScoreConfig(start="scratch", **wrong)


def test_shared_weights_stay_as_they_are(shared) -> None:
    for arch in architectures(6):
        shared.subnet(arch)  # makes the tensors that no step has asked for
    before = {name: tensor.clone() for name, tensor in shared.tensors.items()}
    scorer = Scorer(shared, TRAIN, VALID, ScoreConfig(finetune_steps=20, finetune_batch=64))
    for arch in architectures(6):
        scorer.score(arch)
    assert before.keys() == shared.tensors.keys()
    assert all(torch.equal(before[n], shared.tensors[n]) for n in before)
    assert not any(t.is_inference() for t in shared.tensors.values())


def test_a_score_does_not_depend_on_the_others() -> None:
    config = ScoreConfig(finetune_steps=10, finetune_batch=64)
    archs = architectures(5)

    def scores(order) -> dict[str, float]:
        scorer = Scorer(make_shared(seed=4), TRAIN, VALID, config)
        return {a.digest: scorer.score(a).logloss for a in order}

    assert scores(archs) == scores(archs[::-1])


@pytest.mark.parametrize(
    "config",
    [
        ScoreConfig(finetune_steps=10, finetune_batch=64),
        ScoreConfig(finetune_steps=30, finetune_batch=64, finetune_rows=200, batch_size=100),
        ScoreConfig(finetune_steps=30, finetune_batch=64, finetune_rows=200, cache_mb=0),
        ScoreConfig(finetune_steps=20, finetune_batch=64, cache_mb=1),  # room for some, not all
        ScoreConfig(finetune_steps=0),
    ],
)
def test_scored_together_is_scored_alone(shared, config) -> None:
    rng = np.random.default_rng(5)
    parent = SPACE.sample(rng)
    family = [parent, *(SPACE.mutate(parent, rng) for _ in range(5)), parent, *architectures(2)]
    scorer = Scorer(shared, TRAIN, VALID, config, seed=1)
    found = scorer.score_many(family)
    assert [s.logloss for s in found] == [scorer.score(a).logloss for a in family]
    assert [s.auc for s in found] == [scorer.score(a).auc for a in family]
    assert found[0] is found[6]
    assert scorer.score_many([]) == []


def test_without_fine_tuning(shared) -> None:
    scorer = Scorer(shared, make_split(0), VALID, ScoreConfig(finetune_steps=0))
    for arch in architectures(3):
        found, expected = scorer.score(arch), evaluate(shared.extract(arch), VALID)
        assert found.logloss == pytest.approx(expected.logloss, abs=1e-6)
        assert found.auc == pytest.approx(expected.auc, abs=1e-4)


def test_fine_tuning_helps(shared) -> None:
    plain = Scorer(shared, TRAIN, TRAIN, ScoreConfig(finetune_steps=0))
    tuned = Scorer(shared, TRAIN, TRAIN, ScoreConfig(finetune_steps=200, finetune_batch=100))
    for arch in architectures(4):
        assert tuned.score(arch).logloss < plain.score(arch).logloss


def test_rows_are_distinct_and_the_seed_decides_them(shared) -> None:
    def dense(seed: int) -> np.ndarray:
        config = ScoreConfig(finetune_steps=4, finetune_batch=50, valid_rows=20)
        scorer = Scorer(shared, TRAIN, VALID, config, seed=seed)
        assert scorer.finetune is not None
        return np.concatenate([scorer.finetune.dense, scorer.valid.dense])

    assert np.array_equal(dense(1), dense(1))
    assert not np.array_equal(dense(1), dense(2))
    assert len(np.unique(dense(1)[:200], axis=0)) == 200


def test_wrong_input(shared) -> None:
    with pytest.raises(DataError, match="validation"):
        Scorer(shared, TRAIN, make_split(0))
    with pytest.raises(DataError, match="training"):
        Scorer(shared, make_split(0), VALID)
    with pytest.raises(ConfigError, match="finetune_batch = 0"):
        ScoreConfig(finetune_batch=0)


def test_one_class_in_validation_has_a_loss_but_no_auc(shared) -> None:
    labels = np.zeros(len(VALID), np.float32)
    valid = Split("valid", VALID.dense, VALID.sparse, labels, 0.0)
    score = Scorer(shared, TRAIN, valid, ScoreConfig(finetune_steps=1)).score(architectures(1)[0])
    assert np.isfinite(score.logloss)
    assert np.isnan(score.auc)


@pytest.mark.parametrize("scope", ["head", "norms", "all"])
def test_fine_tuning_more_than_the_last_fc_is_torchs_adagrad(shared, scope) -> None:
    config = ScoreConfig(finetune_steps=6, finetune_batch=100, finetune_rows=300, scope=scope)
    scorer = Scorer(shared, TRAIN, VALID, config)
    rows = scorer.finetune
    assert rows is not None
    before = {name: tensor.clone() for name, tensor in shared.tensors.items()}
    for arch in architectures(3, seed=6):
        network = deepcopy(shared.extract(arch)).eval()
        norms = [m for m in network.modules() if isinstance(m, LayerNorm)]
        trained = {
            "head": [*network.head.parameters()],
            "norms": [*network.head.parameters(), *(p for m in norms for p in m.parameters())],
            "all": [*network.parameters()],
        }[scope]
        opt = torch.optim.Adagrad([{"params": [p]} for p in trained], lr=0.04, eps=1e-2)
        for step in range(6):
            cut = slice(step * 100 % 300, step * 100 % 300 + 100)
            logits = network(rows.dense[cut], rows.sparse[cut])
            network.zero_grad()
            F.binary_cross_entropy_with_logits(logits, rows.labels[cut]).backward()
            for p in trained:
                if p.grad is not None and p.grad.is_sparse:
                    p.grad = p.grad.to_dense()
            if scope != "head":
                torch.nn.utils.clip_grad_norm_(trained, 5.0)
            opt.step()
        with torch.no_grad():
            logits = network(scorer.valid.dense, scorer.valid.sparse)
        assert scorer(arch).logloss == pytest.approx(log_loss(logits, VALID.labels), rel=1e-4)
        assert scorer(arch) == scorer.score_many([arch])[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in shared.tensors.items())
