"""Time stamps of every kind become whole numbers in their order."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from nasrec.data.times import parse_times

DAY = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp() * 1e6)
MOMENT = DAY + (3 * 3600 + 4 * 60 + 5) * 10**6


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["14102100", " 7", "", None], [14102100, 7, None, None]),
        (["2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05Z"], [DAY, MOMENT, MOMENT]),
        (["2024-01-02T03:04:05.25", "2024-01-02 03:04"], [MOMENT + 250_000, MOMENT - 5 * 10**6]),
        ([date(2024, 1, 2), None], [DAY, None]),
        ([datetime(2024, 1, 2, 3, 4, 5)], [MOMENT]),
        ([datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)], [MOMENT]),
        ([5, None], [5, None]),
        ([5.0, None], [5, None]),
    ],
)
def test_times(values, want):
    times, wrong = parse_times(pl.Series("t", values))
    assert times.to_list() == want
    assert not wrong.any()
    assert times.dtype == pl.Int64


@pytest.mark.parametrize(
    "values", [["x", "1"], ["2024-13-01", "1"], [0.5, 1.0], [True], [["1"]], [2**63]]
)
def test_no_times(values):
    _, wrong = parse_times(pl.Series("t", values))
    assert wrong[0]
    assert wrong.sum() == 1
