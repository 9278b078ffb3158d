from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nasrec.train import (
    Metrics,
    auc,
    evaluate,
    log_loss,
    log_loss_of_probabilities,
    predict_logits,
)
from tests.train.helpers import TinyNet, make_split


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_against_sklearn_with_ties(rows) -> None:
    logits = np.array([float(x) for x, _ in rows])
    labels = np.array([float(y) for _, y in rows])
    assert auc(logits, labels) == pytest.approx(sk.roc_auc_score(labels, logits), abs=1e-12)
    p = 1 / (1 + np.exp(-logits))
    expected = sk.log_loss(labels, p)
    assert log_loss(logits, labels) == pytest.approx(expected, rel=1e-12)
    assert log_loss_of_probabilities(p, labels) == pytest.approx(expected, rel=1e-12)


def test_large_float32_tensors_against_sklearn() -> None:
    gen = torch.Generator().manual_seed(0)
    logits = torch.randn(50_000, generator=gen).mul(100).round().div(100)  # many ties
    labels = (torch.rand(50_000, generator=gen) < 0.02).float()
    assert auc(logits, labels) == pytest.approx(
        sk.roc_auc_score(labels.numpy(), logits.numpy()), abs=1e-12
    )
    p = torch.sigmoid(logits.double()).numpy()
    assert log_loss(logits, labels) == pytest.approx(sk.log_loss(labels.numpy(), p), rel=1e-9)


def test_a_weight_counts_a_row_as_so_many() -> None:
    gen = np.random.default_rng(0)
    logits = gen.integers(-3, 4, 400).astype(float)
    labels, weights = gen.integers(0, 2, 400), gen.integers(1, 4, 400)
    again = np.repeat(np.arange(400), weights)
    assert log_loss(logits, labels, weights) == pytest.approx(
        log_loss(logits[again], labels[again])
    )
    assert auc(logits, labels, weights) == pytest.approx(auc(logits[again], labels[again]))
    w = gen.random(400)
    expected = sk.roc_auc_score(labels, logits, sample_weight=w)
    assert auc(logits, labels, w) == pytest.approx(expected, abs=1e-12)


def test_extreme_logits() -> None:
    assert log_loss([1000.0, -1000.0], [1, 0]) == 0.0
    assert log_loss([1000.0, -1000.0], [0, 1]) == 1000.0
    assert log_loss([math.inf, -math.inf], [1, 0]) == 0.0
    assert log_loss([math.inf], [0]) == math.inf
    assert log_loss([-40.0], [0]) == pytest.approx(math.exp(-40))
    ends = [0.0, 1.0, 1.0]
    assert log_loss_of_probabilities(ends, [0, 1, 0]) == pytest.approx(
        sk.log_loss([0, 1, 0], ends), rel=1e-9
    )


def test_where_they_are_not_defined() -> None:
    assert math.isnan(auc([0.1, 0.2], [1, 1]))
    assert math.isnan(auc([0.1, 0.2], [0, 0]))
    assert math.isnan(auc([], []))
    assert math.isnan(auc([0.1, math.nan], [0, 1]))
    assert math.isnan(log_loss([], []))
    for metric in (auc, log_loss, log_loss_of_probabilities):
        with pytest.raises(ValueError, match="labels"):
            metric([0.1], [0, 1])


@pytest.mark.parametrize("batch_size", [1000, 64, 7])
def test_evaluate(batch_size) -> None:
    model, split = TinyNet(dropout=0.5), make_split(200)
    model.train()
    logits = predict_logits(model, split, batch_size)
    assert model.training
    model.eval()
    rows = split.rows(0, 200)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(rows.dense, rows.sparse))
    found = evaluate(model, split, batch_size)
    assert not model.training
    assert found.rows == 200
    assert found.logloss == pytest.approx(log_loss(logits, split.labels))
    assert found.auc == pytest.approx(auc(logits, split.labels))
    assert found.to_dict().keys() == {"logloss", "auc", "rows", "ece", "bias"}


def test_an_empty_split_has_no_metrics() -> None:
    found = evaluate(TinyNet(), make_split(0))
    assert isinstance(found, Metrics)
    assert found.rows == 0
    assert math.isnan(found.logloss)
    assert math.isnan(found.auc)
