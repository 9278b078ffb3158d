"""How far numbers have moved from those of training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Encoder
from nasrec.data.encode import DenseEncoder
from nasrec.serve import predict
from nasrec.serve.drift import Rates, Trained, compare
from tests.serve.models import LOG, model_of


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_of(tmp_path_factory.mktemp("m"))


@given(st.integers(0, 100), st.integers(1, 400), st.sampled_from([0.0, 0.3, 2.0]))
@settings(max_examples=25, deadline=None)
def test_shift_is_the_distance_of_the_shares_up_to_quantiles(seed, count, moved):
    rng = np.random.default_rng(seed)
    encoder = Encoder([DenseEncoder("x", "none")], [])
    train, new = np.round(rng.normal(size=(500, 1)), 1), rng.normal(size=(count, 1)) + moved
    quantiles = [np.unique(np.quantile(train, np.linspace(0, 1, 9), method="nearest"))]
    none = np.zeros((500, 0), np.int32)
    then, now = Rates(encoder, quantiles), Rates(encoder, quantiles)
    then.add(train.astype(np.float32), none)
    for part in np.array_split(new, 3):
        now.add(part.astype(np.float32), none[: len(part)])
    (told,) = compare(now, Trained({}, 500, then.shares_up_to()))
    shares = [
        (np.float32(rows) <= np.float32(q)).mean() for rows in (train, new) for q in quantiles[0]
    ]
    distance = np.abs(np.subtract(*np.split(np.array(shares), 2))).max()
    assert told.shift == pytest.approx(distance)
    assert told.notable == (distance > max(0.1, 1.95 * np.sqrt(1 / count + 1 / 500)))


def test_numbers_that_have_moved_are_told(model):
    frame = LOG.generate(600, stream=5)
    moved = frame.with_columns(pl.col("I1") * 3 + 4)
    told = {column.column: column for column in predict(model, moved).drift}
    assert told["I1"].notable
    assert told["I1"].shift > 0.2
    assert not told["I2"].notable
    assert "I1" in predict(model, moved).summary.splitlines()[-1]
