"""What the three published benchmarks cost at full size: exact sizes, and times from a sample.

    python -m benchmarks full-size --page docs/benchmarks.md

Sizes follow from the protocol: bytes of a prepared record, rows of the embedding tables. Times are
processor seconds of one thread for a row of that many columns, over random rows and small tables,
times the number of rows. Nothing is trained at full size.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness import clock, machine, page_parser, tell
from benchmarks.supernet import SMALL_TABLES, random_rows
from nasrec.data.layout import Layout
from nasrec.data.protocols import AVAZU_SIZES, CRITEO_SIZES, KDD_SIZES
from nasrec.nn import Inputs, ModelOptions, NASRecNet, SharedWeights
from nasrec.space import NASREC_FULL, PathSampler, load_architecture
from nasrec.train import LoopConfig, build_optimizer, predict_logits
from nasrec.train.loop import train_steps

STEPS, WHOLE_STEPS, FORWARD_ROWS = 19, 4, 4096
"""Steps of sampled networks differ; those of the whole supernet do not, and take long."""
FINETUNE_ROWS = 500 * 512
"""Rows whose features a candidate's score needs beside validation's (paper)."""
EVALUATIONS = 400
"""Candidates that a search scores by default."""
VALID_ROWS = 150 * 8192
"""Validation rows of a score (released code)."""


class Benchmark(NamedTuple):
    """Rows (released code), numeric columns and table sizes of the `paper` protocol."""

    title: str
    name: str
    rows: int
    dense: int
    sizes: tuple[int, ...]
    batch: int


BENCHMARKS = (
    Benchmark("Criteo Kaggle", "criteo", 45_840_617, 13, CRITEO_SIZES, 512),
    Benchmark("Avazu", "avazu", 40_428_967, 0, tuple(AVAZU_SIZES.values()), 512),
    Benchmark("KDD Cup 2012", "kdd", 149_639_104, 3, tuple(KDD_SIZES.values()), 1024),
)


def _step_seconds(
    networks: Callable[[int], NASRecNet],
    inputs: Inputs,
    batch: int,
    shared: SharedWeights | None = None,
    count: int = STEPS,
) -> float:
    """Processor seconds of a training step, mean; the first ones allocate and do not count."""
    config = LoopConfig(batch_size=batch)
    rows = random_rows(inputs, batch * (count + 1))
    optimizer = build_optimizer(config, None if shared is None else shared.shape)
    steps = train_steps(networks, rows, optimizer, config, 0)
    taken, last = [], clock()
    for _ in islice(steps, count):
        now = clock()
        taken.append(now - last)
        last = now
    return statistics.mean(taken[1:])


def measure(benchmark: Benchmark) -> dict[str, float]:
    """Hours of one thread: an epoch of the supernet, a training from scratch, a score."""
    inputs = Inputs(benchmark.dense, (SMALL_TABLES,) * len(benchmark.sizes))
    batch, rng = benchmark.batch, np.random.default_rng(0)
    shared = SharedWeights(NASREC_FULL, inputs, ModelOptions(), seed=0)
    sampler = PathSampler(NASREC_FULL, total_steps=1, warmup_fraction=0.0)
    sampled = _step_seconds(lambda i: shared.subnet(sampler.sample(i, rng)), inputs, batch, shared)
    maximal = NASREC_FULL.maximal(rng)
    whole = _step_seconds(lambda _: shared.subnet(maximal), inputs, batch, shared, WHOLE_STEPS)
    net = NASRecNet(load_architecture(f"published:{benchmark.name}-full"), inputs)
    scratch = _step_seconds(lambda _: net, inputs, batch)
    rows = random_rows(inputs, FORWARD_ROWS)
    candidates = [shared.subnet(sampler.sample(0, rng)) for _ in range(4)]
    forward = []
    for candidate in candidates:
        began = clock()
        predict_logits(candidate, rows)
        forward.append((clock() - began) / FORWARD_ROWS)
    train = 0.8 * benchmark.rows
    # A warm-up of a fifth of the steps trains the whole supernet in a tenth of all.
    return {
        "supernet": (0.9 * sampled + 0.1 * whole) / batch * train / 3600,
        "scratch": scratch / batch * train / 3600,
        "score": statistics.mean(forward[1:]) * (FINETUNE_ROWS + VALID_ROWS) / 3600,
    }


def table() -> str:
    """The page's table and what is to be said of it."""
    torch.set_num_threads(1)
    lines = [
        "| | " + " | ".join(b.title for b in BENCHMARKS) + " |",
        "| --- |" + " --- |" * len(BENCHMARKS),
    ]

    def row(title: str, values: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(values) + " |")

    records = [Layout.of(b.dense, b.sizes, (1,) * len(b.sizes), False) for b in BENCHMARKS]
    bytes_a_row = [layout.dtype.itemsize for layout in records]
    row("rows", [f"{b.rows:,}" for b in BENCHMARKS])
    row("numeric, categorical columns", [f"{b.dense}, {len(b.sizes)}" for b in BENCHMARKS])
    row("prepared (`paper`), on disk", [
        f"{size * b.rows / 1e9:.1f} GB" for size, b in zip(bytes_a_row, BENCHMARKS, strict=True)
    ])  # fmt: skip
    row("rows of the full embedding tables", [f"{sum(b.sizes) / 1e6:.1f} M" for b in BENCHMARKS])
    row("memory to train with them", [f"{sum(b.sizes) * 16 * 8 / 1e9:.1f} GB" for b in BENCHMARKS])
    hours = [measure(b) for b in BENCHMARKS]
    row("supernet, one epoch", [f"{h['supernet']:.0f} h" for h in hours])
    row(f"{EVALUATIONS} candidates", [f"{EVALUATIONS * h['score']:.0f} h" for h in hours])
    row("one network from scratch, one epoch", [f"{h['scratch']:.0f} h" for h in hours])
    found = machine()
    said = (
        f"Made by `python -m benchmarks full-size` on one thread of {found['cpu']} "
        f"(torch {found['torch']}, {found['vector']}), which\nother work shared. The last three "
        "lines are extrapolated: processor seconds a row, times the rows\nof train, of the space "
        f"Full; for a candidate {FINETUNE_ROWS:,} train and {VALID_ROWS:,} validation rows. The\n"
        "lines before them follow from the protocol."
    )
    return "\n".join([*lines, "", said])


def main(arguments: list[str]) -> None:
    """The command line."""
    options = page_parser("full-size", __doc__).parse_args(arguments)
    tell(table(), options.page, "measured")
