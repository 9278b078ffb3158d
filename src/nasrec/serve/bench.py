"""How fast a model scores encoded rows: latency and rows a second, by batch size and runtime."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import ConfigError
from nasrec.serve.export import TARGETS, load_program, require_onnx, write_program
from nasrec.serve.model import Data, Model

RUNTIMES = ("torch", "onnx")
BATCHES = (1, 16, 128, 1024, 8192)
WARM_UP = 3
FEWEST = 20


@dataclass(frozen=True)
class Timing:
    """Latency of one runtime at one batch size.

    Attributes:
        runtime: `torch` (the model itself) or `onnx` (onnxruntime).
        batch: rows a call.
        calls: how many were timed.
        p50, p99: milliseconds a call, median and 99th percentile.
        rows_per_second: rows divided by the time of all calls.
    """

    runtime: str
    batch: int
    calls: int
    p50: float
    p99: float
    rows_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def bench(
    model: Model,
    *,
    rows: Data | None = None,
    batches: Sequence[int] = BATCHES,
    runtimes: Sequence[str] = RUNTIMES,
    seconds: float = 1.0,
) -> list[Timing]:
    """Time a model on real rows, encoded beforehand, with torch's number of threads.

    Args:
        model: the model.
        rows: rows to score; None takes those in the model folder. Repeated to fill a batch.
        batches: rows a call.
        runtimes: `torch`, `onnx` or both.
        seconds: time for each runtime and batch size, and at least 20 calls.

    Raises:
        ConfigError: no such runtime, or a size or time that is not positive.
        RunError: packages for ONNX are not installed.
    """
    if wrong := [name for name in runtimes if name not in RUNTIMES]:
        raise ConfigError(f"there is no runtime {wrong[0]!r}", mend="use torch, onnx or both")
    if not batches or min(batches) < 1 or not seconds > 0:
        raise ConfigError(
            "batch sizes and seconds must be positive", mend="say --batch 1,128 --seconds 1"
        )
    if "onnx" in runtimes:
        require_onnx()
    taken = model.encoded(rows, max(batches))
    timings = []
    with tempfile.TemporaryDirectory(prefix="nasrec-bench-") as scratch:
        for runtime in runtimes:
            score: Callable[..., Any] = model.probabilities
            if runtime == "onnx":
                path = Path(scratch) / TARGETS["onnx"]
                write_program(model, path, "onnx")
                score = load_program(path, "onnx")
            for batch in batches:
                chosen = np.arange(batch) % len(taken.dense)
                dense, sparse = taken.dense[chosen], taken.sparse[chosen]
                call = partial(score, dense, sparse)
                taken_ms = timed_calls(call, seconds)
                p50, p99 = np.quantile(taken_ms, [0.5, 0.99]).tolist()
                rate = 1000 * batch / taken_ms.mean()
                timings.append(Timing(runtime, batch, len(taken_ms), p50, p99, float(rate)))
    return timings


def timed_calls(
    call: Callable[[], Any], seconds: float, *, fewest: int = FEWEST, warm_up: int = WARM_UP
) -> NDArray[np.float64]:
    """(calls,) milliseconds of each call, after some that are not timed.

    Args:
        call: what is timed.
        seconds: for this long, and
        fewest: at least so many times.
        warm_up: calls before.
    """
    for _ in range(warm_up):
        call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    last = time.perf_counter()
    while last < end or len(taken) < fewest:
        call()
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return 1000 * np.array(taken)


def timing_table(timings: Sequence[Timing]) -> str:
    """The timings as text."""
    lines = [f"{'runtime':<8} {'batch':>6} {'p50 ms':>9} {'p99 ms':>9} {'rows/s':>12}"]
    lines += [
        f"{t.runtime:<8} {t.batch:>6} {t.p50:>9.3f} {t.p99:>9.3f} {t.rows_per_second:>12,.0f}"
        for t in timings
    ]
    return "\n".join(lines)
