from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nasrec.data.hash import MISSING
from nasrec.train import (
    Metrics,
    auc,
    evaluate,
    grouped_auc,
    log_loss,
    log_loss_of_probabilities,
    normalized_entropy,
    predict_logits,
)
from nasrec.train.metrics import NO_GROUP
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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4), st.integers(1, 3)),
        max_size=60,
    )
)
def test_grouped_auc_against_a_loop_over_groups(rows) -> None:
    scores, labels, groups, weights = np.array(rows, dtype=int).reshape(-1, 4).T

    def by_loop(weighted: bool) -> float:
        total = rows_counted = 0.0
        for group in {row[2] for row in rows}:
            here = groups == group
            if len(set(labels[here])) == 2:
                w = weights[here] if weighted else np.ones(here.sum())
                area = sk.roc_auc_score(labels[here], scores[here], sample_weight=w)
                total, rows_counted = total + area * w.sum(), rows_counted + w.sum()
        return total / rows_counted if rows_counted else math.nan

    for weighted in (False, True):
        found = grouped_auc(scores, labels, groups, weights if weighted else None)
        assert found == pytest.approx(by_loop(weighted), abs=1e-12, nan_ok=True)


def test_grouped_auc_leaves_out_rows_without_a_group() -> None:
    groups = np.array([7, 7, MISSING, MISSING], dtype=np.uint64)
    assert NO_GROUP == MISSING
    assert grouped_auc([0.1, 0.2, 0.3, 0.1], [0, 1, 0, 1], groups) == 1.0
    assert math.isnan(grouped_auc([0.1, 0.2], [0, 1], groups[2:]))
    assert math.isnan(grouped_auc([0.1, math.nan], [0, 1], groups[:2]))
    one = np.zeros(4, dtype=np.uint64)
    assert grouped_auc([0.1, 0.2, 0.3, 0.1], [0, 1, 0, 1], one) == auc(
        [0.1, 0.2, 0.3, 0.1], [0, 1, 0, 1]
    )
    with pytest.raises(ValueError, match="groups"):
        grouped_auc([0.1], [1], [1, 2])


def test_grouped_auc_needs_no_python_for_each_row() -> None:
    rng = np.random.default_rng(0)
    rows = 300_000
    scores, labels = rng.normal(size=rows), rng.random(rows) < 0.3
    groups = rng.integers(0, 2**63, 50_000).astype(np.uint64)[rng.integers(0, 50_000, rows)]
    began = time.perf_counter()
    assert grouped_auc(scores, labels, groups) == pytest.approx(0.5, abs=0.01)
    assert time.perf_counter() - began < 3  # 0.1 s on an idle core


def test_normalised_entropy() -> None:
    labels = np.array([1, 0, 0, 0])
    rate = math.log(1 / 3)  # the logit of 1 in 4
    assert normalized_entropy(log_loss([rate] * 4, labels), labels) == pytest.approx(1)
    assert math.isnan(normalized_entropy(0.1, [1, 1]))


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
    assert found.normalized_entropy == pytest.approx(
        found.logloss / log_loss_of_probabilities(np.full(200, split.click_rate), split.labels)
    )
    assert math.isnan(found.grouped_auc)


def test_an_empty_split_has_no_metrics() -> None:
    found = evaluate(TinyNet(), make_split(0))
    assert isinstance(found, Metrics)
    assert found.rows == 0
    assert math.isnan(found.logloss)
    assert math.isnan(found.auc)
