"""The studies of ranking and of search methods at sizes for two cores.

    python -m benchmarks studies --log synthetic --out runs --page docs/studies.md
    python -m benchmarks studies --study methods --out runs --page docs/studies.md

On a log with known truth, or on a real one.

The space is the paper's Full without attention, cut to 3 blocks. Its widths go over as wide a
range as the paper's (a factor of 32, the paper's of 64), so that subnets differ by more than two
trainings of one do: with 5 blocks and widths over a factor of 16, two seeds hardly agree on their
order at this length. A study that was stopped goes on. With `--page` the table between the log's
markers is written anew; the rest of the page stays.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.harness import page_parser, tell
from benchmarks.logs import prepare_log

SYNTHETIC_ROWS = 500_000
#: Most rows of a split; all of a real log (frappe_x1 has 202,000 to train on). Search methods train
#: many networks, so they have fewer rows, in smaller batches.
ROWS, METHODS_ROWS, METHODS_BATCH = {"synthetic": 200_000}, 50_000, 256


def data_of(log: str, data: Path, out: Path) -> Path:
    """The prepared folder of a log."""
    from nasrec.data import SyntheticLog, prepare

    if log != "synthetic":
        return prepare_log(log, data, out, 0)
    folder = out / "data" / log
    if not folder.is_dir():
        raw = out / "data" / f"{log}.csv"
        raw.parent.mkdir(parents=True, exist_ok=True)
        # Few values, products of up to four: Bayes loss 0.290, base rate 0.559.
        truth = SyntheticLog(pairs=2.0, triples=1.0, quads=0.5, vocabulary=(20, 25, 30, 30, 35, 40))
        truth.write_csv(raw, SYNTHETIC_ROWS)
        prepare(raw, folder, label="label")
    return folder


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks studies`."""
    parser = page_parser("studies", __doc__, "runs")
    parser.add_argument("--study", choices=("ranking", "methods"), default="ranking")
    parser.add_argument("--log", default="synthetic", help="synthetic, or a real log")
    parser.add_argument("--subnets", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--finetune", default="all", help="scopes of fine-tuning: norms, all")
    parser.add_argument("--variants", default="paper,no-warmup,fair,slow,sandwich")
    options = parser.parse_args(arguments)
    import torch

    from nasrec.config import model_options
    from nasrec.pipeline.data import DataRequest
    from nasrec.search import ScoreConfig
    from nasrec.space import NASREC_FULL
    from nasrec.study import StudyConfig, run_study, variants_named
    from nasrec.train import TrainConfig

    torch.set_num_threads(1)
    methods = options.study == "methods"
    config = StudyConfig(
        space=NASREC_FULL.with_(
            name="narrow",
            sparse_ops=("EFC",),
            dense_dims=(4, 8, 16, 32, 64, 128),
            sparse_dims=(1, 2, 4, 8, 16),
            blocks=3,
        ),
        subnets=options.subnets,
        seeds=options.seeds,
        rows=METHODS_ROWS if methods else ROWS.get(options.log),
        model=model_options(8, embedding_cap=500_000),
        training=TrainConfig(batch_size=METHODS_BATCH if methods else 512, patience=None),
        scoring=ScoreConfig(finetune_rows=10_240, valid_rows=10_000 if methods else 20_000),
        scopes=() if methods else tuple(filter(None, options.finetune.split(","))),
    )
    name = f"{options.log}-methods" if methods else options.log
    folder = options.out / "studies" / name
    request = DataRequest(data_of(options.log, options.data, options.out))
    if methods:
        sizes = {"evaluations": 40, "top_k": 2, "scratch": 8}
        run_study("methods", request, folder, config, variants=variants_named("paper"), **sizes)
    else:
        variants = variants_named(options.variants)
        run_study("ranking", request, folder, config, variants=variants)
    text = (folder / f"{options.study}.md").read_text(encoding="utf-8")
    machine = f"Machine: {platform.machine()}, {os.cpu_count()} cores, one thread."
    tell(f"{text}\n{machine}", options.page, name)
