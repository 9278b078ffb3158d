"""The parts of a report that are measured anew, on the rows and predictions that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import PreparedData
from nasrec.data.info import info
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.leaderboard import BASE_RATE
from nasrec.pipeline.retrain import NASREC
from nasrec.pipeline.trials import TEST_LOGITS, read_logits
from nasrec.serve import Model
from nasrec.serve.drift import NOTABLE, split_rates, training
from nasrec.serve.explain import permutation_importance
from nasrec.train.paired import paired_difference, row_losses
from nasrec.train.platt import sigmoid
from nasrec.train.reliability import calibration_curve

#: Most rows that are scored to measure importances, over all columns: some twenty seconds where a
#: network does 20,000 rows a second.
IMPORTANCE_ROWS, IMPORTANCE_REPEATS, FEWEST_ROWS = 400_000, 3, 1000


def differences(
    run: RunFolder, data: PreparedData, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """How much lower the chosen NASRecNet's test loss is than that of each other family."""
    kept = {row["family"]: _logits(run, data, row) for row in rows}
    losses = {
        family: row_losses(logits, data.test.labels)[None]
        for family, logits in kept.items()
        if logits is not None
    }
    ours = losses.pop(NASREC, None)
    if ours is None or not len(data.test):
        return None
    return {
        family: paired_difference(ours, theirs, data.test.weights).to_dict()
        for family, theirs in losses.items()
    }


def _logits(
    run: RunFolder, data: PreparedData, row: Mapping[str, Any]
) -> NDArray[np.floating[Any]] | None:
    """The test logits of a family's chosen trial; None if it failed or its run kept none."""
    if row["family"] == BASE_RATE:
        rate = data.train.click_rate
        return np.full(len(data.test), np.log(rate) - np.log1p(-rate))
    file = run.retrain / str(row["trial"]) / TEST_LOGITS
    if row["failed"] is not None or not file.is_file():
        return None
    return read_logits(file, len(data.test))


def calibration(run: RunFolder, data: PreparedData, trial: str) -> list[dict[str, Any]] | None:
    """Predicted and true click rate of the test rows, in bins of equally many."""
    file = run.retrain / trial / TEST_LOGITS
    if not file.is_file():
        return None
    probabilities = sigmoid(read_logits(file, len(data.test)).astype(np.float64))
    bins = calibration_curve(probabilities, data.test.labels)
    return [{"predicted": p, "clicked": y, "rows": n} for p, y, n in bins]


def columns(
    data: PreparedData, trained: Mapping[str, Mapping[str, float | None]] | None
) -> dict[str, Any]:
    """What each column is, and how its values differ between the splits.

    Args:
        data: the prepared data.
        trained: rates of the training rows, where they are known; None counts them.
    """
    rates = {part.name: split_rates(data.encoder, part) for part in (data.valid, data.test)}
    rates["train"] = {n: dict(r) for n, r in (trained or training(data).rates).items()}
    return {
        "notable": NOTABLE,
        "columns": [
            {
                **column,
                "rates": {split: found[column["name"]] for split, found in rates.items()},
                "drifted": _drifted(rates, column["name"]),
            }
            for column in info(data)["columns"]
            if column["name"] in rates["valid"]
        ],
    }


def importance(data: PreparedData, model: Model) -> dict[str, Any] | None:
    """What the model loses when a column is shuffled among validation rows."""
    if not len(data.valid):
        return None
    count = IMPORTANCE_ROWS // (IMPORTANCE_REPEATS * (data.n_dense + data.n_sparse))
    labelled = model.labelled_rows(data.path, max(FEWEST_ROWS, count))
    found = permutation_importance(model, *labelled, repeats=IMPORTANCE_REPEATS)
    return {
        "rows": len(labelled[2]),
        "repeats": IMPORTANCE_REPEATS,
        "columns": {i.column: i.to_dict() for i in found},
    }


def _drifted(rates: Mapping[str, Mapping[str, Mapping[str, float | None]]], name: str) -> bool:
    """Whether some rate of the test rows is far from that of the training rows."""
    then, now = rates["train"].get(name, {}), rates["test"][name]
    pairs = [(value, then.get(kind)) for kind, value in now.items()]
    return any(a is not None and b is not None and abs(a - b) > NOTABLE for a, b in pairs)
