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
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import page_parser, tell
from benchmarks.logs import prepare_log

SYNTHETIC_ROWS = 300_000
#: Most rows of a split; frappe_x1 has 202,000 to train on. Search methods train many networks, so
#: they have fewer rows, in smaller batches.
ROWS, METHODS_ROWS, METHODS_BATCH = 200_000, 50_000, 256
#: Rows that a score of the paper's recipe goes through, five times: where features are kept they
#: cost little, and as many as the recipe `whole` sees.
FINETUNE_ROWS = 51_200


def synthetic_logs() -> dict[str, Any]:
    """Logs of known truth. `products`: few values, products of up to four columns; `long-tail`: no
    numbers, 6,000 ids of which most are rare.
    """
    from nasrec.data import SyntheticLog

    return {
        "products": SyntheticLog(
            pairs=2.0, triples=1.0, quads=0.5, vocabulary=(20, 25, 30, 30, 35, 40)
        ),
        "long-tail": SyntheticLog(
            n_dense=0,
            n_sparse=8,
            vocabulary=(30, 60, 100, 200, 400, 800, 1500, 3000),
            first=0.7,
            triples=0.5,
            gates=0.0,
            zipf=1.1,
        ),
    }


def data_of(log: str, data: Path, out: Path) -> Path:
    """The prepared folder of a log."""
    from nasrec.data import prepare

    if (truth := synthetic_logs().get(log)) is None:
        return prepare_log(log, data, out, 0)
    folder = out / "data" / log
    if not folder.is_dir():
        raw = out / "data" / f"{log}.csv"
        raw.parent.mkdir(parents=True, exist_ok=True)
        written = truth.write_csv(raw, SYNTHETIC_ROWS)
        print(f"Log loss of the true probabilities: {written.log_loss:.4f}", file=sys.stderr)
        prepare(raw, folder, label="label")
    return folder


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks studies`."""
    parser = page_parser("studies", __doc__, "runs")
    studies = ("ranking", "interactions", "searched", "methods")
    parser.add_argument("--study", choices=studies, default="ranking")
    parser.add_argument("--log", default="products", help="products, long-tail, or a real log")
    parser.add_argument("--subnets", type=int, default=120)
    parser.add_argument("--repeated", type=int, default=12, help="subnets trained with every seed")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--score",
        default="whole,whole:20,scratch,scratch:20",
        help="as --score of nasrec study ranking",
    )
    parser.add_argument("--variants", default="paper")
    parser.add_argument("--ranker", action="store_true", help="as --ranker of the same")
    parser.add_argument("--mark", help="of the table in the page; the log's and the study's name")
    options = parser.parse_args(arguments)
    import torch

    from nasrec.config import model_options
    from nasrec.pipeline.data import DataRequest
    from nasrec.search import ScoreConfig
    from nasrec.space import NASREC_FULL
    from nasrec.study import StudyConfig, run_study, variants_named
    from nasrec.study.config import FINE_TUNED
    from nasrec.study.variants import NONE
    from nasrec.train import TrainConfig

    torch.set_num_threads(1)
    methods, searching = options.study == "methods", options.study in ("searched", "methods")
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
        rows=METHODS_ROWS if methods else ROWS,
        repeated=None if searching else options.repeated,
        supernets=None if searching else 1,
        model=model_options(8, embedding_cap=500_000),
        training=TrainConfig(batch_size=METHODS_BATCH if methods else 1024, patience=None),
        scoring=ScoreConfig(finetune_rows=FINETUNE_ROWS, valid_rows=10_000 if methods else 20_000),
        others=() if methods else tuple(options.score.split(",")),
    )
    name = options.log if options.study == "ranking" else f"{options.log}-{options.study}"
    # Those that train random subnets share them.
    folder = options.out / "studies" / (name if searching else options.log)
    request = DataRequest(data_of(options.log, options.data, options.out))
    if options.study == "searched":
        sizes: dict[str, Any] = {"evaluations": 60, "top_k": 3}
        sizes |= {"pairs": [("paper", FINE_TUNED), (NONE, "scratch")]}
        variants = variants_named("paper")
        run_study("searched", request, folder, config, variants=variants, **sizes)
    elif methods:
        sizes = {"evaluations": 40, "top_k": 2, "scratch": 8}
        run_study("methods", request, folder, config, variants=variants_named("paper"), **sizes)
    elif options.study == "interactions":
        run_study("interactions", request, folder, config.model_copy(update={"others": ()}))
    else:
        variants = variants_named(options.variants)
        run_study("ranking", request, folder, config, variants=variants, ranker=options.ranker)
    text = (folder / f"{options.study}.md").read_text(encoding="utf-8")
    machine = f"Machine: {platform.machine()}, {os.cpu_count()} cores, one thread."
    tell(f"{text}\n{machine}", options.page, options.mark or name)
