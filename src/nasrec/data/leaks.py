"""Warnings about columns that know the label: what happens after a click is no feature."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats import Table
from nasrec.data.schema import Column, Schema
from nasrec.data.values import labels_of, numbers_of, texts_of

SUSPICIOUS_AUC = 0.98
"""A single honest feature does not rank clicks as well as this."""
CHANCE = 1e-6
"""How improbable "always clicked" must be under the click rate to be worth a warning."""


def find_leaks(table: Table, schema: Schema) -> list[str]:
    """One sentence for each feature that looks as if it were made from the label.

    Two signs: a column that alone ranks the rows almost perfectly (its click rates are learnt on
    the even rows and tried on the odd ones); and a mark, that is a value of a two-valued column
    or the mere presence of a value, found only where the label is 1.
    """
    labels = labels_of(table, schema.label)
    warnings = []
    for column in (*schema.dense, *schema.categorical):
        groups = _groups(table, column)
        mark = _only_with_clicks(table, column, groups, labels)
        advice = f"ignore it if it is known only after the click (--ignore {column.name})"
        if mark is not None:
            warnings.append(
                f"column {column.name!r} may leak the label: {mark} occurs only where "
                f"{schema.label!r} is 1; {advice}"
            )
        elif (auc := _lone_auc(groups, labels)) >= SUSPICIOUS_AUC:
            warnings.append(
                f"column {column.name!r} may leak the label: alone it predicts "
                f"{schema.label!r} with AUC {auc:.4f}; {advice}"
            )
    return warnings


def _groups(table: Table, column: Column) -> NDArray[np.int64]:
    """(n,) a group number for each row: its value, or its 1-in-50 quantile; missing is one."""
    if column.role == "categorical":
        ranks = texts_of(table, column.name).rank("dense").cast(pl.Int64).fill_null(0)
        return ranks.to_numpy()
    numbers = numbers_of(table, column.name)
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, 51)[1:-1]))
    # Quantiles cut at values that occur, so "right" keeps 0 and 1 of a 0/1 column apart.
    groups = np.searchsorted(edges, numbers, side="right") + 1
    groups[np.isnan(numbers)] = 0
    return groups.astype(np.int64)


def _only_with_clicks(
    table: Table, column: Column, groups: NDArray[np.int64], labels: NDArray[np.float32]
) -> str | None:
    """A name for the mark that occurs only with clicks, if there is one."""

    def always_clicked(rows: NDArray[np.bool_]) -> bool:
        count = int(rows.sum())
        improbable = count * math.log(float(labels.mean())) < math.log(CHANCE)
        return improbable and bool(labels[rows].all())

    missing = groups == 0
    if missing.any() and always_clicked(~missing):
        return "a value"
    values = np.unique(groups[~missing])
    if len(values) == 2:
        for value in values:
            rows = groups == value
            if always_clicked(rows):
                return f"{table.frame[column.name][int(rows.argmax())]!r}"
    return None


def _lone_auc(groups: NDArray[np.int64], labels: NDArray[np.float32]) -> float:
    """AUC on odd rows of the click rate that each group has on even rows; 0 if not defined."""
    seen, seen_labels, new, new_labels = groups[::2], labels[::2], groups[1::2], labels[1::2]
    size = int(groups.max()) + 1
    clicks = np.bincount(seen, weights=seen_labels, minlength=size)
    rate = (clicks + seen_labels.mean()) / (np.bincount(seen, minlength=size) + 1)
    scores = rate[new]
    positives = int(new_labels.sum())
    negatives = len(new_labels) - positives
    if not positives or not negatives:
        return 0.0
    ranks = pl.Series(scores).rank("average").to_numpy()
    below = ranks[new_labels == 1].sum() - positives * (positives + 1) / 2
    return float(below / (positives * negatives))
