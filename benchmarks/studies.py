"""The ranking study at sizes for two cores, on a log with known truth or a real one.

    python -m benchmarks studies --log synthetic --out runs --page docs/studies.md

The space is the paper's Full without attention, cut to 5 blocks and narrow widths, so that tens of
subnets can be trained from scratch, several times, in half an hour. A study that was stopped goes
on. With `--page` the table between the log's markers is written anew; the rest of the page stays.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.harness import page_parser, tell
from benchmarks.logs import prepare_log

ROWS, SYNTHETIC_ROWS = 50_000, 300_000


def data_of(log: str, data: Path, out: Path) -> Path:
    """The prepared folder of a log."""
    from nasrec.data import SyntheticLog, prepare

    if log != "synthetic":
        return prepare_log(log, data, out, 0)
    folder = out / "data" / log
    if not folder.is_dir():
        raw = out / "data" / f"{log}.csv"
        raw.parent.mkdir(parents=True, exist_ok=True)
        SyntheticLog().write_csv(raw, SYNTHETIC_ROWS)
        prepare(raw, folder, label="label")
    return folder


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks studies`."""
    parser = page_parser("studies", __doc__, "runs")
    parser.add_argument("--log", default="synthetic", help="synthetic, or a real log")
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--variants", default="paper:4,calm-no-warmup:4")
    options = parser.parse_args(arguments)
    import torch

    from nasrec.config import model_options
    from nasrec.pipeline.data import DataRequest
    from nasrec.search import ScoreConfig
    from nasrec.space import NASREC_FULL
    from nasrec.study import StudyConfig, run_study, variants_named
    from nasrec.train import TrainConfig

    torch.set_num_threads(1)
    config = StudyConfig(
        space=NASREC_FULL.with_(
            name="narrow",
            sparse_ops=("EFC",),
            dense_dims=(16, 32, 64),
            sparse_dims=(8, 16),
            blocks=5,
        ),
        subnets=options.subnets,
        seeds=options.seeds,
        rows=ROWS,
        model=model_options(8, embedding_cap=500_000),
        training=TrainConfig(epochs=2, batch_size=256, patience=None),
        scoring=ScoreConfig(finetune_rows=10_240, valid_rows=20_000),
    )
    folder = options.out / "studies" / options.log
    request = DataRequest(data_of(options.log, options.data, options.out))
    variants = variants_named(options.variants)
    run_study("ranking", request, folder, config, variants=variants)
    text = (folder / "ranking.md").read_text(encoding="utf-8")
    machine = f"Machine: {platform.machine()}, {os.cpu_count()} cores, one thread."
    tell(f"{text}\n{machine}", options.page, options.log)
