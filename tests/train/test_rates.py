"""Click rates of ids as numbers: against a count by hand, and that no row sees its own label."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nasrec.data import Split
from nasrec.errors import ConfigError
from nasrec.nn import Inputs, ModelOptions, NASRecNet, SharedWeights, build_baseline
from nasrec.nn.rates import FOLDS, MOST_IDS, ClickRates, folds_of, reads_rates
from nasrec.search import SCORE_RECIPES, Scorer
from nasrec.serve import ModelSpec
from nasrec.space import NASREC_PLUS
from nasrec.train import TrainConfig, fit
from nasrec.train.rates import FURTHEST, LEAST_DEVIATION, SMOOTHING, learn, learn_rates

RATED = ModelOptions(embedding_dim=4, heads=2, hidden=(8,), click_rates=True)
INPUTS = Inputs(2, (30, 4))


def split_of(
    inputs: Inputs, rows: int, seed: int = 0, weighted: bool = False, labels: str = "by id"
) -> Split:
    """Rows whose ids decide how often they are clicked, or have nothing to do with it."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, inputs.dense)).astype(np.float32)
    slots = inputs.slots or (1,) * inputs.sparse
    columns = [
        rng.integers(-1 if n > 1 else 0, size, (rows, n)).astype(np.int32)
        for size, n in zip(inputs.vocabulary, slots, strict=True)
    ]
    sparse = np.concatenate(columns, 1)
    odds = 0.1 + 0.8 * (sparse[:, 0] % 3 == 0) if labels == "by id" else np.full(rows, 0.3)
    clicked = (rng.random(rows) < odds).astype(np.float32)
    weights = rng.uniform(0.5, 2, rows).astype(np.float32) if weighted else None
    return Split("train", dense, sparse, clicked, float(clicked.mean()), weights)


def learned(inputs: Inputs, split: Split) -> ClickRates:
    rates = ClickRates(inputs)
    learn(rates, split)
    return rates


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_smoothed_rate_of_the_other_folds(weighted):
    split = split_of(INPUTS, 400, weighted=weighted)
    batch = split.rows(0, 400)
    rates = learned(INPUTS, split)
    fold = folds_of(batch.dense, batch.sparse)
    y, weight = batch.labels, torch.ones(400) if batch.weights is None else batch.weights
    overall = float((y * weight).sum() / weight.sum())

    def by_hand(column: int, an_id: int, without: int | None) -> float:
        clicks = rows = 0.0
        for i in range(400):
            if batch.sparse[i, column] == an_id and fold[i] != without:
                clicks += float(y[i] * weight[i])
                rows += float(weight[i])
        p = (clicks + SMOOTHING * overall) / (rows + SMOOTHING)
        return math.log(p / (1 - p))

    given = rates.train()(batch.dense, batch.sparse)
    assert torch.equal(given[:, :2], batch.dense)
    for column in range(2):
        ids = batch.sparse[:, column].tolist()
        raw = [by_hand(column, v, int(k)) for v, k in zip(ids, fold, strict=True)]
        mean = np.average(raw, weights=weight)
        deviation = math.sqrt(np.average((np.array(raw) - mean) ** 2, weights=weight))
        scale = max(deviation, LEAST_DEVIATION)
        np.testing.assert_allclose(
            given[:, 2 + column], np.clip((np.array(raw) - mean) / scale, -FURTHEST, FURTHEST),
            atol=1e-4,
        )  # fmt: skip
        first = rates.eval()(batch.dense[:1], batch.sparse[:1])[0, 2 + column]
        expected = (by_hand(column, ids[0], None) - mean) / scale
        assert float(first) == pytest.approx(expected, abs=1e-4)
        rates.train()


def test_no_row_sees_its_own_label():
    # Labels by chance: in-sample rates of ids seen twice would tell them at once.
    inputs = Inputs(1, (500,))
    split = split_of(inputs, 1500, labels="by chance")
    batch = split.rows(0, 1500)
    rates = learned(inputs, split)

    def told(numbers: torch.Tensor) -> float:
        return float(np.corrcoef(numbers[:, 1], batch.labels)[0, 1])

    assert told(rates.eval()(batch.dense, batch.sparse)) > 0.3
    assert abs(told(rates.train()(batch.dense, batch.sparse))) < 3 / math.sqrt(1500) + 0.02


def test_folds_are_even_and_known_from_the_row_alone():
    batch = split_of(INPUTS, 5000).rows(0, 5000)
    folds = folds_of(batch.dense, batch.sparse)
    counts = np.bincount(folds, minlength=FOLDS)
    assert len(counts) == FOLDS
    assert abs(counts - 1000).max() < 5 * math.sqrt(1000)
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(folds_of(batch.dense[order], batch.sparse[order].long()), folds[order])


def test_several_values_give_their_mean_and_none_gives_zero():
    inputs = Inputs(1, (7, 5), (3, 1))
    rates = learned(inputs, split_of(inputs, 300)).eval()
    table = rates.table
    ids = torch.tensor([[2, -1, 4, 3], [-1, -1, -1, 0]])
    found = rates(torch.zeros(2, 1), ids)
    expected = [[0, (table[2] + table[4]) / 2, table[7 + 3]], [0, 0, table[7]]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_column_whose_rows_are_in_one_fold_has_none():
    inputs = Inputs(0, (3,))  # all rows of an id are equal, so they share a fold
    assert not learned(inputs, split_of(inputs, 500)).table.any()
    inputs = Inputs(1, (3,))
    assert learned(inputs, split_of(inputs, 500)).table.any()


def test_too_many_ids_have_none():
    assert reads_rates(Inputs(1, (MOST_IDS,)), RATED)
    assert not reads_rates(Inputs(1, (MOST_IDS, 1)), RATED)
    assert not reads_rates(Inputs(1, ()), RATED)
    assert not reads_rates(Inputs(1, (5,)), ModelOptions())


@pytest.mark.parametrize("family", ["logreg", "mlp", "nasrec", "two"])
def test_a_trained_model_keeps_them(family, tmp_path):
    from safetensors.torch import save_file

    options = (
        RATED
        if family != "two"
        else ModelOptions(embedding_dim=4, heads=2, click_rates=True, members=2)
    )
    architecture = NASREC_PLUS.with_(blocks=2).sample(np.random.default_rng(0))
    name = family if family in ("logreg", "mlp") else "nasrec"
    spec = ModelSpec(name, INPUTS, options, architecture if name == "nasrec" else None)
    model, split = spec.build(), split_of(INPUTS, 600)
    fit(model, split, split_of(INPUTS, 200, 1), TrainConfig(epochs=2, batch_size=64))
    save_file(model.state_dict(), tmp_path / "weights")
    again = spec.load(tmp_path / "weights")
    batch = split_of(INPUTS, 50, 2).rows(0, 50)
    model.eval()
    assert torch.equal(again(batch.dense, batch.sparse), model(batch.dense, batch.sparse))
    (one, *_) = [m for m in again.modules() if isinstance(m, ClickRates)]
    assert one.table.any()


def test_they_help_where_ids_are_rare():
    inputs = Inputs(1, (2000, 3))
    train, valid = split_of(inputs, 6000), split_of(inputs, 3000, 1)
    losses = {}
    for on in (False, True):
        model = build_baseline("logreg", inputs, ModelOptions(click_rates=on))
        found = fit(model, train, valid, TrainConfig(epochs=3, batch_size=256))
        assert found.best is not None
        losses[on] = found.best.logloss
    assert losses[True] < losses[False]


def test_scores_from_scratch_read_them():
    split, valid = split_of(INPUTS, 800), split_of(INPUTS, 200, 1)
    space = NASREC_PLUS.with_(blocks=2)
    options = ModelOptions(embedding_dim=4, heads=2, click_rates=True)
    config = SCORE_RECIPES["scratch"].model_copy(update={"finetune_steps": 4})
    shared = SharedWeights(space, INPUTS, options)
    scorer = Scorer(shared, split, valid, config)
    architecture = space.sample(np.random.default_rng(0))
    assert scorer.score(architecture) == scorer.score(architecture)
    assert scorer._rates is not None
    assert scorer._rates.table.any()
    with pytest.raises(ConfigError, match="click rates"):
        shared.subnet(architecture)


def test_members_share_one_table():
    options = ModelOptions(embedding_dim=4, heads=2, click_rates=True, members=2)
    model = ModelSpec("mlp", INPUTS, options).build()
    learn_rates(model, split_of(INPUTS, 300))
    first, second = (m for m in model.modules() if isinstance(m, ClickRates))
    assert first.folded is second.folded


def test_a_network_costs_what_its_further_numbers_cost():
    architecture = NASREC_PLUS.with_(blocks=2).sample(np.random.default_rng(3))
    plain = NASRecNet(architecture, Inputs(4, (30, 4)), ModelOptions(embedding_dim=4, heads=2))
    rated = NASRecNet(
        architecture, INPUTS, ModelOptions(embedding_dim=4, heads=2, click_rates=True)
    )
    assert rated.madds == plain.madds
