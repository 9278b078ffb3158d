"""How fast prepared data are read, beside a copy of the same bytes and a training step.

    python -m benchmarks read --json

Rows a second of block-shuffled batches over those of a plain copy out of a memory-mapped file,
batch by batch: of the bytes that are stored, and of the bytes that a batch has (which the stored
ones are widened to). Then the time to read a batch over that of a training step of a DLRM, and the
time to open the folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import criteo
from benchmarks.prepare import result, show
from nasrec.data import PreparedData, prepare
from nasrec.nn import ModelOptions, build_baseline
from nasrec.pipeline.data import inputs_of
from nasrec.train import TrainConfig
from nasrec.train.loop import train_steps
from nasrec.train.optim import build_optimizer

COPY_TARGET, STEP_TARGET, OPEN_TARGET = 0.6, 0.05, 10.0
STEPS = 30


def copies(raw: NDArray[np.uint8], batch: int) -> float:
    """Seconds to copy a (rows, width) array batch by batch."""
    began = time.perf_counter()
    for start in range(0, len(raw), batch):
        raw[start : start + batch].copy()
    return time.perf_counter() - began


def seconds_of(batches: Iterator[Any]) -> float:
    """Seconds to go through all batches."""
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def step_seconds(data: PreparedData, batch: int) -> float:
    """Seconds of a training step of a DLRM, the fastest that this library trains usefully."""
    config = TrainConfig(batch_size=batch, epochs=1)
    model = build_baseline("dlrm", inputs_of(data), ModelOptions())
    steps = train_steps(lambda _: model, data.train, build_optimizer(config), config, 0)
    next(steps)  # the first one allocates
    began = time.perf_counter()
    done = sum(1 for _ in islice(steps, STEPS))
    return (time.perf_counter() - began) / done


def measure(folder: Path, repeats: int) -> list[dict[str, Any]]:
    """The results on a prepared folder."""
    opened = []
    for _ in range(repeats):
        began = time.perf_counter()
        data = PreparedData.open(folder)
        opened.append(1000 * (time.perf_counter() - began))
    split, layout = data.train, data.layout
    rows = len(split)
    (shard, *_) = sorted((folder / "train").glob("*.npy"))
    stored = np.load(shard, mmap_mode="r").view(np.uint8).reshape(-1, layout.dtype.itemsize)
    wide = folder.parent / "wide"
    width = 4 * layout.n_dense + 8 * len(layout.ids) + 4
    np.zeros((len(stored), width), np.uint8).tofile(wide)
    widened = np.memmap(wide, np.uint8, "r", shape=(len(stored), width))
    results = []
    for batch in (512, 8192):
        whole = list(range(repeats))
        read = [seconds_of(split.batches(batch, shuffle_seed=i)) / rows for i in whole]
        for name, raw in (("stored", stored), ("widened", widened)):
            copied = [copies(raw, batch) / len(raw) for _ in whole]
            ratios = [c / r for c, r in zip(copied, read, strict=True)]
            title = f"batches of {batch} / copy of the {name} bytes"
            results.append(result(title, ratios, "ratio", COPY_TARGET, COPY_TARGET.__le__))
        results.append(result(f"batches of {batch}", [1 / r for r in read], "rows/s", None, bool))
        steps = [step_seconds(data, batch) for _ in whole]
        shares = [batch * r / s for r, s in zip(read, steps, strict=True)]
        title = f"batches of {batch} / training step"
        results.append(result(title, shares, "ratio", STEP_TARGET, STEP_TARGET.__ge__))
    results.append(result("open", opened, "ms", OPEN_TARGET, OPEN_TARGET.__ge__))
    return results


def main(arguments: list[str]) -> None:
    """Make a prepared folder and measure."""
    parser = argparse.ArgumentParser(prog="benchmarks read", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; needs about 1 kB a row")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "train.txt"
        criteo.write(path, options.rows)
        prepare(path, Path(folder) / "data", protocol="criteo-leaderboard")
        show(measure(Path(folder) / "data", options.repeats), options.json)
