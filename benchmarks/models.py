"""Single models: retraining with full tables, scoring beside onnxruntime, the start of the CLI."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Limits, Result, at_least, at_most, clock, in_process, result
from benchmarks.supernet import BATCH, criteo_inputs

ROWS, TRAINED_ROWS = 8192, 20_000

RETRAIN = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
from benchmarks.supernet import BATCH, criteo_inputs, random_rows
from nasrec.nn import NASRecNet, count_weights
from nasrec.space import load_architecture
from nasrec.train import LoopConfig, build_optimizer
from nasrec.train.loop import train_steps

imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
inputs = criteo_inputs(int(sys.argv[1]) or None)
net = NASRecNet(load_architecture("published:criteo-full"), inputs)
config = LoopConfig(batch_size=BATCH)
optimizer = build_optimizer(config)
steps = train_steps(lambda _: net, random_rows(inputs, 60 * BATCH), optimizer, config, 0)
next(steps)
for tensor in optimizer.state["sum"].values():
    tensor.add_(0)  # a page touched for the first time would count as time of a step
for _ in range(4):
    next(steps)
seconds = []
for _ in range(50):
    began = time.process_time()
    next(steps)
    seconds.append(time.process_time() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
held = 4 * count_weights(net) * 2
print(json.dumps({
    "seconds": sorted(seconds)[len(seconds) // 2], "over": peak - imported - held, "held": held,
}))
"""


def retrain(repeats: int) -> list[Result]:
    """Training the published Criteo-Full network with full tables (33.8 M rows, 540 M weights).

    The time of a step over that on tables a hundredth of the size, medians of 50 steps; and the
    memory beyond imports, weights and optimiser state. Needs 5 GB of memory.
    """
    hundredth = sum(criteo_inputs().vocabulary) // 100 // len(criteo_inputs().vocabulary)
    limits, ratios, over, held, seconds = Limits(), [], [], 0.0, []
    for _ in range(repeats):
        limits()
        small, large = (in_process(RETRAIN, str(rows)) for rows in (hundredth, 0))
        ratios.append(large["seconds"] / small["seconds"])
        over.append(large["over"] / 1e9)
        held = large["held"] / 1e9
        seconds.append(large["seconds"])
    rate = BATCH / statistics.median(seconds)
    return [
        result("retrain", ratios, "ratio", 1.15, at_most(1.15), limits, rows_per_second=rate),
        result("retrain-memory", over, "GB", 0.5, at_most(0.5), weights_and_state_gb=held),
    ]


def predict(repeats: int) -> list[Result]:
    """Rows a second of the published Criteo-Full network in batches of 8192, over onnxruntime's.

    The same network, exported, with the same number of threads.
    """
    import nasrec
    from nasrec.data import prepare
    from nasrec.data.synthetic import SyntheticLog
    from nasrec.serve.export import TARGETS, load_program, write_program
    from nasrec.space import load_architecture
    from nasrec.train import TrainConfig

    limits, ratios, rates = Limits(), [], []
    with tempfile.TemporaryDirectory() as folder:
        log, path = Path(folder) / "log.csv", Path(folder) / TARGETS["onnx"]
        SyntheticLog(n_dense=13, n_sparse=26).write_csv(log, TRAINED_ROWS)
        data = prepare(log, Path(folder) / "data", label="label")
        config = TrainConfig(epochs=1, batch_size=BATCH)
        architecture = load_architecture("published:criteo-full")
        model = nasrec.train(data, architecture, Path(folder) / "model", config=config)
        write_program(model, path, "onnx")
        program = load_program(path, "onnx", threads=torch.get_num_threads())
        taken = model.encoded(None, ROWS)
        chosen = np.arange(ROWS) % len(taken.dense)
        dense, sparse = taken.dense[chosen], taken.sparse[chosen]
        for score in (model.probabilities, program):
            score(dense, sparse)
        for _ in range(repeats):
            limits()
            began = clock()
            model.probabilities(dense, sparse)
            middle = clock()
            program(dense, sparse)
            ratios.append((clock() - middle) / (middle - began))
            rates.append(ROWS / (middle - began))
    rate = statistics.median(rates)
    return [
        result(
            "predict", ratios, "of onnxruntime", 0.8, at_least(0.8), limits, rows_per_second=rate
        )
    ]


def startup(repeats: int) -> list[Result]:
    """Wall time of `nasrec --help`, and its processor seconds."""
    import resource

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    seconds, before = [], used()
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nasrec", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - began)
    mean = (used() - before) / repeats
    return [result("startup", seconds, "s of wall time", 0.5, at_most(0.5), processor_seconds=mean)]
