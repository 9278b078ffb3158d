"""The demonstration: the whole search on a log whose best possible score is known.

    nasrec demo --out demo-run

The run folder is an ordinary one, so a demonstration that was stopped goes on when started again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasrec.config import SearchConfig, evolution_for
from nasrec.data import SyntheticLog
from nasrec.nn import ModelOptions
from nasrec.pipeline.leaderboard import BASE_RATE, text_table
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.retrain import NASREC
from nasrec.pipeline.run import Run, search
from nasrec.search import ScoreConfig
from nasrec.space import NASREC_FULL
from nasrec.train import SupernetConfig, TrainConfig, auc, log_loss_of_probabilities
from nasrec.train.recipes import Recipe

#: Rows of each part; independent draws from one truth.
ROWS = {"train": 60_000, "valid": 8_000, "test": 16_000}

LOG = SyntheticLog()

#: Sizes for about four and a half minutes on two cores.
CONFIG = SearchConfig(
    # NASRec-Full with fewer blocks and narrower ones, for a log of ten columns; and without
    # attention, which alone takes more time than all other operators together.
    model=ModelOptions(layer_norm=False),
    space=NASREC_FULL.with_(
        name="demo",
        sparse_ops=("EFC",),
        dense_dims=(16, 32, 64, 128),
        sparse_dims=(8, 16, 32),
        blocks=4,
    ),
    # A log this small needs several passes, and teaches all models faster at twice the paper's
    # learning rate.
    supernet=SupernetConfig(
        epochs=12, batch_size=256, learning_rate=0.24, path_warmup_fraction=0.1
    ),
    scoring=ScoreConfig(finetune_steps=50, finetune_batch=128, valid_rows=4000),
    evaluations=100,
    evolution=evolution_for(100),
    top_k=2,
    recipes=(Recipe(name="plain"),),
    retrain=TrainConfig(epochs=6, batch_size=256, learning_rate=0.24, calibrate=True),
    baselines=("mlp", "logreg"),
    match_size=True,
)


def run_demo(out: Path, reporter: Reporter | None = None) -> tuple[dict[str, Any], str]:
    """Run, or go on with, the demonstration: its result as JSON types, and as text."""
    tell = reporter or Reporter()
    tell.say(
        f"A synthetic click log of {sum(ROWS.values()):,} rows, {LOG.n_dense} numeric and "
        f"{LOG.n_sparse} categorical columns. Its clicks depend on pairs and triples of columns."
    )
    frames = {name: LOG.generate(rows, stream=i) for i, (name, rows) in enumerate(ROWS.items())}
    test = frames["test"]
    run = search(
        frames["train"],
        "label",
        out,
        valid=frames["valid"],
        test=test,
        config=CONFIG,
        reporter=tell,
    )
    fresh = out / "new-rows.csv"
    if not fresh.is_file():
        LOG.write_csv(fresh, 1000, stream=len(ROWS))
    truth = LOG.probability(test)
    labels = test["label"].to_numpy()
    rows = _rows(run, log_loss_of_probabilities(truth, labels), auc(truth, labels))
    return {**run.to_dict(), "demo": rows, "new_rows": str(fresh)}, _text(run, rows, fresh)


def _rows(run: Run, bayes_logloss: float, bayes_auc: float) -> list[dict[str, Any]]:
    """Bayes-optimal first, then the leaderboard's models, with the share of the gap closed."""
    base = next(row for row in run.leaderboard if row["family"] == BASE_RATE)["test_logloss"]
    order = (NASREC, "mlp", "logreg", BASE_RATE)
    rows = [
        {
            "name": "Bayes-optimal",
            "test_logloss": bayes_logloss,
            "test_auc": bayes_auc,
            "weights": None,
            "trainings": None,
        }
    ]
    for row in sorted(run.leaderboard, key=lambda row: order.index(row["family"])):
        rows.append({key: row[key] for key in rows[0]})
    for row in rows:
        row["gap_closed"] = (base - row["test_logloss"]) / (base - bayes_logloss)
    return rows


def _text(run: Run, rows: list[dict[str, Any]], fresh: Path) -> str:
    head = ("model", "test log loss", "test AUC", "gap closed", "weights", "trainings")
    body = [
        (
            row["name"],
            f"{row['test_logloss']:.5f}",
            f"{row['test_auc']:.5f}",
            f"{row['gap_closed']:.1%}",
            f"{row['weights']:,}" if row["weights"] else "-",
            str(row["trainings"] or "-"),
        )
        for row in rows
    ]
    model = run.path / "model"
    return (
        f"{text_table(head, body)}\n\n"
        "Gap closed: how far from the base rate to the Bayes-optimal predictor, which knows the "
        "true probabilities.\n\n"
        f"The model is in {model}, the whole story in {run.path / 'summary.txt'}\n"
        "Next:\n"
        f"  nasrec evaluate {model} {fresh}\n"
        f"  nasrec arch show {model / 'architecture.json'}\n"
        "  nasrec search YOUR-LOG.csv --label YOUR-LABEL --out run --budget 30"
    )
