"""How fast a log is prepared, beside what limits it and what research code does.

    python -m benchmarks prepare --rows 4000000 --json

On one file of Criteo's shape: rows a second of preparing it under both protocols, over those of
polars merely scanning and counting all its columns, and over those of two programs that go line by
line in plain Python: a parser, which does what `criteo-paper` asks, and one that makes vocabularies
with a minimum count, for which it goes over the lines twice, as `criteo-leaderboard` asks. Both see
so few rows that their dictionaries stay small, which makes them faster than they are on the whole
file. And the scan's own speed over that of the parser: a goal beyond it asks a preparation to be
faster than merely counting. Runs alternate, so that a busy machine slows all of
them; each is a process of its own, and the peak of memory of preparing is told too. The time to
import the library is not counted.
Processor time tells what the work costs where other work takes the processors away.
"""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import criteo
from benchmarks.harness import Result, at_least, at_most, in_process, result

OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "rows": (int, 4_000_000, "of the file"),
    "memory": (float, 4.0, "GB that preparing may need"),
    "folder": (Path, None, "where to write; needs about 1 kB a row"),
    "log": (Path, None, "a file with so many rows, made earlier; it is kept"),
}
TARGETS = {"criteo-paper": 1 / 3, "criteo-leaderboard": 1 / 5}
PYTHON_TARGET, PYTHON_ROWS = 20.0, 20_000
VOCABULARIES, LEAST = "criteo-leaderboard", 10
"""The protocol with vocabularies, and how often a value must be seen to have an id."""

PREPARE = """
import json, resource, sys, time
from nasrec.data import prepare
began, processor = time.perf_counter(), time.process_time()
prepare(
    sys.argv[1], sys.argv[2], protocol=sys.argv[3], memory=int(float(sys.argv[4]) * 1e9),
    tell=lambda text: print(text, file=sys.stderr, flush=True),
)
found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({**found, "peak": peak}))
"""

SCAN = """
import json, sys, time
import polars as pl
from nasrec.data.formats import FORMATS
names = FORMATS["criteo"].reader.names
types = {name: pl.String if name[0] == "C" else pl.Int64 for name in names}
began, processor = time.perf_counter(), time.process_time()
log = pl.scan_csv(sys.argv[1], separator="\\t", has_header=False, quote_char=None, schema=types)
log.select(pl.all().count()).collect(engine="streaming")
found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}
print(json.dumps(found))
"""


def plain_python(path: Path, rows: int) -> dict[str, float]:
    """Seconds to parse so many rows line by line, as research code does."""
    began, processor = time.perf_counter(), time.process_time()
    labels, dense, sparse = [], [], []
    with path.open() as file:
        for _, line in zip(range(rows), file, strict=False):
            fields = line.rstrip("\n").split("\t")
            labels.append(int(fields[0]))
            dense.append([math.log(1 + max(int(x), 0)) if x else 0.0 for x in fields[1:14]])
            sparse.append(
                [
                    int(x, 16) % (size - 1) + 1 if x else 0
                    for x, size in zip(fields[14:], criteo.CRITEO_SIZES, strict=True)
                ]
            )
    return {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}


def plain_python_vocabulary(path: Path, rows: int, least: int) -> dict[str, float]:
    """Seconds to parse so many rows line by line, with ids for the values that come often enough,
    as research code does: one time to count, one time to look up."""
    began, processor = time.perf_counter(), time.process_time()
    counts: list[defaultdict[str, int]] = [defaultdict(int) for _ in criteo.CRITEO_SIZES]
    with path.open() as file:
        for _, line in zip(range(rows), file, strict=False):
            fields = line.rstrip("\n").split("\t")
            for seen, x in zip(counts, fields[14:], strict=True):
                seen[x] += 1
    vocabularies = []
    for seen in counts:
        kept = [x for x, count in seen.items() if count >= least]
        vocabularies.append({x: i for i, x in enumerate(kept, start=1)})
    labels, dense, sparse = [], [], []
    with path.open() as file:
        for _, line in zip(range(rows), file, strict=False):
            fields = line.rstrip("\n").split("\t")
            labels.append(int(fields[0]))
            dense.append([math.log(1 + max(int(x), 0)) if x else 0.0 for x in fields[1:14]])
            sparse.append([ids.get(x, 0) for x, ids in zip(fields[14:], vocabularies, strict=True)])
    return {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}


def measure(
    repeats: int, rows: int, memory: float, folder: Path | None, log: Path | None
) -> list[Result]:
    """Preparing a log of Criteo's shape beside merely scanning it and beside plain Python."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = log or Path(scratch) / "train.txt"
        if log is None:
            criteo.write(path, rows)
        return compared(path, Path(scratch), rows, repeats, memory)


def compared(path: Path, scratch: Path, rows: int, repeats: int, memory: float) -> list[Result]:
    """The results on a file of so many rows."""
    scans, plain, counted = [], [], []
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in TARGETS}
    few = min(rows, PYTHON_ROWS)
    for _ in range(repeats):
        plain.append(plain_python(path, few))
        counted.append(plain_python_vocabulary(path, few, LEAST))
        for name in TARGETS:
            scans.append(in_process(SCAN, str(path)))
            out = scratch / name
            runs[name].append(in_process(PREPARE, str(path), str(out), name, str(memory)))
            shutil.rmtree(out)

    def median(found: list[dict[str, Any]], key: str, of: int) -> float:
        return statistics.median(each[key] / of for each in found)

    results = []
    for name, target in TARGETS.items():
        for key, told in (("seconds", ""), ("processor", ", processor time")):
            each = [run[key] / rows for run in runs[name]]
            others = [("scan", scans, rows, target), ("plain Python", plain, few, PYTHON_TARGET)]
            if name == VOCABULARIES:
                others.append(("plain Python with vocabularies", counted, few, None))
            for other, found, of, goal in others:
                ratios = [median(found, key, of) / seconds for seconds in each]
                goal = goal if key == "seconds" else None
                holds = None if goal is None else at_least(goal)
                results.append(result(f"{name} / {other}{told}", ratios, "ratio", goal, holds))
        speeds = [rows / run["seconds"] for run in runs[name]]
        results.append(result(f"{name} rows", speeds, "rows/s"))
        peaks = [run["peak"] / 1e9 for run in runs[name]]
        results.append(result(f"{name} memory", peaks, "GB", memory, at_most(memory)))
    ratio = [median(plain, "seconds", few) / (run["seconds"] / rows) for run in scans]
    results.append(result("scan / plain Python", ratio, "ratio"))
    results.append(result("scan rows", [rows / run["seconds"] for run in scans], "rows/s"))
    for other, found in (("plain Python", plain), ("plain Python with vocabularies", counted)):
        speeds = [few / run["seconds"] for run in found]
        results.append(result(f"{other} rows", speeds, "rows/s"))
    return results
