"""How fast prepared data are read, beside a copy of the same bytes and a training step.

    python -m benchmarks read --json

Rows a second of block-shuffled batches over those of a plain copy out of a memory-mapped file,
batch by batch: of the bytes that are stored, and of those that a batch has, which the stored ones
are widened to. Beside them stands what no way of reading can pass: "runs copied" copies the runs of
32 neighbours that a pool is made of, one after the other, without mixing them, widening ids or
making a tensor; "kernel" is the pass that does all that (where it is compiled), with all random
numbers drawn before, into memory that is used again and again; "widened" is that pass over rows in
the order of the file, the least work that gives the bytes of a batch. Batches in the order of the
file tell what the shuffling costs. Then the time to read a batch over that of a
training step of a DLRM, and the time to open the folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import criteo
from benchmarks.harness import Result, at_least, at_most, clock, result
from nasrec.data import PreparedData, Split, gather, prepare
from nasrec.data.gather import Places, Shards
from nasrec.data.shuffle import BLOCK, BUFFER, POOL, BlockShuffle
from nasrec.nn import ModelOptions, build_baseline
from nasrec.pipeline.data import inputs_of
from nasrec.train import TrainConfig
from nasrec.train.loop import train_steps
from nasrec.train.optim import build_optimizer

COPY_TARGET, STEP_TARGET, OPEN_TARGET = 0.6, 0.05, 10.0
BATCHES, STEPS = (512, 8192), 30
OTHERS = {
    "ordered": "not shuffled",
    "runs": "runs copied only",
    "kernel": "kernel only",
    "widened": "widened only",
}
OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "rows": (int, 1_500_000, "of the log"),
    "folder": (Path, None, "where to write; needs about 1 kB a row"),
}


def copies(raw: NDArray[np.uint8], batch: int) -> Iterator[NDArray[np.uint8]]:
    """A (rows, width) array copied batch by batch."""
    for start in range(0, len(raw), batch):
        yield raw[start : start + batch].copy()


def seconds_of(batches: Iterator[Any]) -> float:
    """Seconds to go through all batches."""
    began = clock()
    for _ in batches:
        pass
    return clock() - began


def floors(split: Split) -> dict[str, float]:
    """Seconds a row for copying runs of rows, and for the kernel's pass over shuffled rows and over
    rows in the order of the file."""
    shuffle = BlockShuffle(len(split), 0, BLOCK, min(BUFFER, len(split) - 1))
    full = len(split) // BUFFER * BUFFER // POOL
    orders = [shuffle.order(i * POOL, (i + 1) * POOL) for i in range(full)]
    runs = [shuffle.runs_of(i * POOL, (i + 1) * POOL) for i in range(full)]
    pool = np.empty(POOL, split.layout.dtype)
    ways = {"runs": lambda i: split.gather(runs[i], shuffle.run, pool)}
    if gather.usable():
        batch, shards = gather.room(split.layout, POOL), Shards.of([pool])
        portions = [split.records(i * POOL, (i + 1) * POOL) for i in range(full)]
        stored = [Places(Shards.of([records]), POOL) for records in portions]

        def fill(i: int) -> None:
            split.gather(runs[i], shuffle.run, pool)
            gather.fill(split.layout, Places(shards, POOL, order=orders[i]), batch, 0)

        ways["kernel"] = fill
        ways["widened"] = lambda i: gather.fill(split.layout, stored[i], batch, 0)
    found = {}
    for name, way in ways.items():
        began = clock()
        for i in range(full):
            way(i)
        found[name] = (clock() - began) / (full * POOL)
    return found


def step_seconds(data: PreparedData, batch: int) -> float:
    """Seconds of a training step of a DLRM, the fastest that this library trains usefully."""
    config = TrainConfig(batch_size=batch, epochs=1)
    model = build_baseline("dlrm", inputs_of(data), ModelOptions())
    steps = train_steps(lambda _: model, data.train, build_optimizer(config), config, 0)
    next(steps)  # the first one allocates
    began = clock()
    done = sum(1 for _ in islice(steps, STEPS))
    return (clock() - began) / done


def measure(repeats: int, rows: int, folder: Path | None) -> list[Result]:
    """Reading batches beside a copy of the same bytes, and beside a training step."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "train.txt"
        criteo.write(path, rows)
        prepare(path, Path(scratch) / "data", protocol="criteo-leaderboard")
        return compared(Path(scratch) / "data", repeats)


def mapped(folder: Path, data: PreparedData) -> dict[str, NDArray[np.uint8]]:
    """Bytes of the first shard as they are stored, and as many as batches of its rows have."""
    (shard, *_) = sorted((folder / "train").glob("*.npy"))
    stored = np.load(shard, mmap_mode="r")
    first = next(data.train.batches(1))
    width = sum(t.element_size() * t[0].numel() for t in first if t is not None)
    file = folder.parent / "delivered"
    np.zeros((len(stored), width), np.uint8).tofile(file)
    delivered = np.memmap(file, np.uint8, "r", shape=(len(stored), width))
    # Plain arrays: slices of a memmap take longer.
    found = {"stored": stored.view(np.uint8).reshape(len(stored), -1), "delivered": delivered}
    return {name: np.asarray(raw) for name, raw in found.items()}


def compared(folder: Path, repeats: int) -> list[Result]:
    """The results on a prepared folder."""
    opened = []
    for _ in range(repeats):
        began = time.perf_counter()
        data = PreparedData.open(folder)
        opened.append(1000 * (time.perf_counter() - began))
    split, raws, results = data.train, mapped(folder, data), []
    for batch in BATCHES:
        taken: dict[str, list[float]] = {}
        for i in range(repeats):
            ways = {
                "shuffled": split.batches(batch, shuffle_seed=i),
                "ordered": split.batches(batch),
            }
            for name, batches in ways.items():
                taken.setdefault(name, []).append(seconds_of(batches) / len(split))
            for name, raw in raws.items():
                taken.setdefault(name, []).append(seconds_of(copies(raw, batch)) / len(raw))
            for name, seconds in floors(split).items():
                taken.setdefault(name, []).append(seconds)
            taken.setdefault("step", []).append(step_seconds(data, batch) / batch)
        read = taken["shuffled"]
        for name in raws:
            ratios = [c / r for c, r in zip(taken[name], read, strict=True)]
            title = f"batches of {batch} / copy of the {name} bytes"
            results.append(result(title, ratios, "ratio", COPY_TARGET, at_least(COPY_TARGET)))
            for other, told in ((o, t) for o, t in OTHERS.items() if o in taken):
                ratios = [c / r for c, r in zip(taken[name], taken[other], strict=True)]
                results.append(result(f"{title}, {told}", ratios, "ratio"))
        results.append(result(f"batches of {batch}", [1 / r for r in read], "rows/s"))
        shares = [r / s for r, s in zip(read, taken["step"], strict=True)]
        title = f"batches of {batch} / training step"
        results.append(result(title, shares, "ratio", STEP_TARGET, at_most(STEP_TARGET)))
    results.append(result("open", opened, "ms", OPEN_TARGET, at_most(OPEN_TARGET)))
    return results
