"""How fast a log is prepared, beside what limits it and what research code does.

    python -m benchmarks prepare --rows 4000000 --json

On one file of Criteo's shape: rows a second of preparing it under both protocols, over those of
polars merely scanning and counting all its columns, and over those of a parser that goes line by
line in plain Python. Runs alternate, so that a busy machine slows all of them; each prepares in a
process of its own, whose peak of memory is told too. The time to import the library is not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import criteo

TARGETS = {"criteo-paper": 1 / 3, "criteo-leaderboard": 1 / 5}
PYTHON_TARGET, PYTHON_ROWS = 20.0, 20_000

PREPARE = """
import json, resource, sys, time
from nasrec.data import prepare
began = time.perf_counter()
prepare(sys.argv[1], sys.argv[2], protocol=sys.argv[3], memory=int(float(sys.argv[4]) * 1e9))
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "peak": peak}))
"""

SCAN = """
import json, sys, time
import polars as pl
from nasrec.data.formats import FORMATS
names = FORMATS["criteo"].reader.names
types = {name: pl.String if name[0] == "C" else pl.Int64 for name in names}
began = time.perf_counter()
log = pl.scan_csv(sys.argv[1], separator="\\t", has_header=False, quote_char=None, schema=types)
log.select(pl.all().count()).collect(engine="streaming")
print(json.dumps({"seconds": time.perf_counter() - began}))
"""


def plain_python(path: Path, rows: int) -> float:
    """Seconds to parse so many rows line by line, as research code does."""
    began = time.perf_counter()
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
    return time.perf_counter() - began


def in_process(code: str, *arguments: str) -> dict[str, float]:
    """What a script prints as JSON, run in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return dict(json.loads(run.stdout.splitlines()[-1]))


def result(
    name: str, values: list[float], unit: str, target: float | None, holds: Callable[[float], bool]
) -> dict[str, Any]:
    """One line of the results: the median, and all repeats."""
    value = statistics.median(values)
    told = None if target is None else bool(holds(value))
    return {
        "name": name, "value": value, "unit": unit, "target": target, "holds": told,
        "repeats": values,
    }  # fmt: skip


def measure(path: Path, rows: int, repeats: int, memory: float) -> list[dict[str, Any]]:
    """The results on a file of so many rows."""
    scans, plain = [], []
    seconds: dict[str, list[float]] = {name: [] for name in TARGETS}
    peaks: dict[str, list[float]] = {name: [] for name in TARGETS}
    for _ in range(repeats):
        few = min(rows, PYTHON_ROWS)
        plain.append(plain_python(path, few) / few)
        for name in TARGETS:
            scans.append(in_process(SCAN, str(path))["seconds"] / rows)
            out = path.parent / name
            found = in_process(PREPARE, str(path), str(out), name, str(memory))
            shutil.rmtree(out)
            seconds[name].append(found["seconds"] / rows)
            peaks[name].append(found["peak"] / 1e9)
    scan, results = statistics.median(scans), []
    for name, target in TARGETS.items():
        each = seconds[name]
        results.append(
            result(f"{name} / scan", [scan / s for s in each], "ratio", target, target.__le__)
        )
        over = [statistics.median(plain) / s for s in each]
        results.append(
            result(f"{name} / plain Python", over, "ratio", PYTHON_TARGET, PYTHON_TARGET.__le__)
        )
        results.append(result(f"{name} rows", [1 / s for s in each], "rows/s", None, bool))
        results.append(result(f"{name} memory", peaks[name], "GB", memory, memory.__ge__))
    results.append(result("scan rows", [1 / s for s in scans], "rows/s", None, bool))
    results.append(result("plain Python rows", [1 / s for s in plain], "rows/s", None, bool))
    return results


def show(results: list[dict[str, Any]], as_json: bool) -> None:
    """Print the results: one JSON object a line, or for people."""
    for line in results:
        if as_json:
            print(json.dumps(line))
            continue
        low, high = min(line["repeats"]), max(line["repeats"])
        told = "" if line["target"] is None else f"  target {line['target']:.3g}: {line['holds']}"
        value = f"{line['value']:,.4g} {line['unit']} ({low:,.4g} to {high:,.4g})"
        print(f"{line['name']:<36} {value}{told}")


def main(arguments: list[str]) -> None:
    """Make a file, or take one, and measure."""
    parser = argparse.ArgumentParser(prog="benchmarks prepare", description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=float, default=4.0, help="GB")
    parser.add_argument("--folder", type=Path, help="where to write; needs about 1 kB a row")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "train.txt"
        criteo.write(path, options.rows)
        show(measure(path, options.rows, options.repeats, options.memory), options.json)
