"""Training the supernet: its arithmetic beside the machine's, its tables, its memory.

The rows are random ones of Criteo's shape: 13 numeric and 26 categorical columns. A step is one of
`train_steps`: reading the batch, drawing the subnet, forward, backward, clipping, update.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.harness import Limits, Result, at_least, at_most, clock, in_process, result
from benchmarks.products import Products
from nasrec.data import Split
from nasrec.data.protocols import CRITEO_SIZES
from nasrec.nn import Inputs, ModelOptions, SharedWeights, live_madds
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.parameters import Maker, fresh
from nasrec.space import NASREC_FULL, NASREC_SMALL, PathSampler, SearchSpace
from nasrec.train import Adagrad, LoopConfig, Step
from nasrec.train.loop import train_steps

DENSE, BATCH, CAP = 13, 512, 500_000
SMALL_TABLES = 4_000
"""Rows of each of 26 tables where the tables are not what is measured: 0.1 M in all."""
SUBNETS = 64
"""Subnets a repeat trains, the same ones in each. Their work differs by a factor of ten and more;
the mean of so many is known to 7 %."""


def criteo_inputs(rows: int | None = None) -> Inputs:
    """Criteo's columns; with `rows`, every table has so many."""
    return Inputs(DENSE, CRITEO_SIZES if rows is None else (rows,) * len(CRITEO_SIZES))


def random_rows(inputs: Inputs, rows: int, seed: int = 0) -> Split:
    """Rows without anything to learn, ids drawn evenly."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, inputs.dense)).astype(np.float32)
    ids = [rng.integers(0, size, rows, dtype=np.int32) for size in inputs.vocabulary]
    labels = (rng.random(rows) < 0.25).astype(np.float32)
    return Split("train", dense, np.stack(ids, 1), labels, 0.25)


class Training:
    """A supernet in training, on the same subnets again and again."""

    def __init__(
        self, space: SearchSpace, inputs: Inputs, options: ModelOptions, subnets: int = SUBNETS
    ) -> None:
        self.shared = SharedWeights(space, inputs, options, seed=0)
        self.inputs = inputs
        sampler = PathSampler(space, total_steps=1, warmup_fraction=0.0)
        rng = np.random.default_rng(1)
        self.subnets = [sampler.sample(0, rng) for _ in range(subnets)]
        self.madds = 3 * BATCH * sum(live_madds(a, inputs, options) for a in self.subnets)
        self._steps = self._endless()

    def _endless(self) -> Iterator[Step]:
        split = random_rows(self.inputs, BATCH * len(self.subnets))
        optimizer = Adagrad(shape_of=self.shared.shape)
        config = LoopConfig(batch_size=BATCH, epochs=10**6, schedule="constant")
        return train_steps(
            lambda step: self.shared.subnet(self.subnets[step % len(self.subnets)]),
            split, optimizer, config, 0,
        )  # fmt: skip

    def seconds(self) -> float:
        """Time of training each subnet for one step."""
        began = clock()
        for _ in self.subnets:
            next(self._steps)
        return clock() - began


def _share(name: str, space: SearchSpace, target: float, repeats: int) -> list[Result]:
    limits = Limits()
    training = Training(space, criteo_inputs(SMALL_TABLES), ModelOptions())
    products = Products(training.subnets, training.inputs, ModelOptions(), BATCH)
    training.seconds()  # makes all tensors
    products.seconds()
    shares, rates, alone = [], [], []
    for _ in range(repeats):
        limit = limits()
        seconds = training.seconds()
        shares.append(training.madds / seconds / limit)
        rates.append(BATCH * SUBNETS / seconds)
        alone.append(products.madds / products.seconds() / limit)
    madds = training.madds / 3 / BATCH / SUBNETS
    return [
        result(
            name, shares, "of the GEMM rate at 1024²", target, at_least(target), limits,
            rows_per_second=statistics.median(rates), madds_a_row=madds,
            products_alone=statistics.median(alone),
            madds_outside_attention=products.madds / training.madds,
        )
    ]  # fmt: skip


def full(repeats: int) -> list[Result]:
    """Live multiply-adds (forward x 3) a second of supernet steps, Full, over the GEMM rate.

    `products_alone` is the same share of steps that do nothing but their matrix products outside
    attention layers, which have `madds_outside_attention` of all multiply-adds.
    """
    return _share("supernet-full", NASREC_FULL, 0.35, repeats)


def small(repeats: int) -> list[Result]:
    """Live multiply-adds (forward x 3) a second of supernet steps, Small, over the GEMM rate.

    `products_alone` is the same share of steps that do nothing but their matrix products.
    """
    return _share("supernet-small", NASREC_SMALL, 0.5, repeats)


def table_growth(repeats: int) -> list[Result]:
    """Time of supernet steps on tables of 30 M rows over that on tables of 0.1 M rows."""
    limits = Limits()
    trainings = [
        Training(NASREC_FULL, criteo_inputs(rows // len(CRITEO_SIZES)), ModelOptions(), subnets=16)
        for rows in (100_000, 30_000_000)
    ]
    # A step that touches a page for the first time pays for it once, so all are touched before.
    for training in trainings:
        for tensor in training.shared.tensors.values():
            tensor.add_(0)
        training.seconds()
    ratios = []
    for _ in range(repeats):
        limits()
        few, many = (training.seconds() for training in trainings)
        ratios.append(many / few)
    return [result("table-growth", ratios, "ratio", 1.1, at_most(1.1), limits)]


MEMORY = """
import json, pathlib
status = pathlib.Path("/proc/self/status")  # getrusage begins with the parent's peak
peak = lambda: int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
bare = peak()
import torch
torch.set_num_threads(1)
from benchmarks.supernet import BATCH, CAP, criteo_inputs, random_rows
from nasrec.nn import ModelOptions, SharedWeights
from nasrec.space import NASREC_FULL
from nasrec.train import SupernetConfig, train_supernet
imported = peak()
inputs = criteo_inputs()
shared = SharedWeights(NASREC_FULL, inputs, ModelOptions(embedding_cap=CAP))
split = random_rows(inputs, 40 * BATCH)
train_supernet(shared, split, SupernetConfig(batch_size=BATCH))
held = 8 * sum(tensor.numel() for tensor in shared.tensors.values())
print(json.dumps({"peak": peak() - bare, "imports": imported - bare, "held": held}))
"""


def memory(repeats: int) -> list[Result]:
    """Peak memory of training the supernet for 40 steps, warm-up included, tables capped.

    In a process of its own, above a Python interpreter that has imported nothing; Linux only.
    """
    found = [in_process(MEMORY) for _ in range(repeats)]
    peaks = [f["peak"] / 1e9 for f in found]
    imports, held = (statistics.median(f[key] for f in found) / 1e9 for key in ("imports", "held"))
    return [
        result(
            "supernet-memory", peaks, "GB", 1.2, at_most(1.2),
            imports_gb=imports, weights_and_state_gb=held,
        )
    ]  # fmt: skip


def embedding(repeats: int) -> list[Result]:
    """Lookup, gradient and row-sparse Adagrad, over gathering and scattering the same bytes.

    26 fields x 512 rows. The bytes: a lookup gathers every id's vector; the update gathers and
    scatters weight and state of every distinct row.
    """
    limits = Limits()
    sizes = tuple(min(size, CAP) for size in CRITEO_SIZES)
    table = EmbeddingTable(Inputs(DENSE, sizes), ModelOptions(), Maker(fresh(0)))
    weight, optimizer = table.weight, Adagrad()
    state = torch.zeros_like(weight)
    state.add_(1), weight.data.add_(0)
    optimizer.state["sum"]["weight"] = torch.zeros_like(weight).add_(1)
    split = random_rows(Inputs(0, sizes), BATCH * 64)
    batches = [split.rows(i * BATCH, (i + 1) * BATCH).sparse for i in range(64)]
    upstream = torch.randn(BATCH, len(sizes), table.dim) * 1e-3

    def step(ids: torch.Tensor) -> None:
        weight.grad = None
        table(ids).backward(upstream)
        optimizer.step([("weight", weight)], 0.1)

    def floor(flat: torch.Tensor, unique: torch.Tensor) -> None:
        weight.data.index_select(0, flat)
        for tensor in (weight.data, state):
            tensor.index_copy_(0, unique, tensor.index_select(0, unique))

    indices = [(ids + table.starts).flatten() for ids in batches]
    distinct = [torch.unique(flat) for flat in indices]
    for _ in range(2):
        for ids in batches:
            step(ids)
    ratios, seconds = [], []
    for _ in range(repeats):
        limits()
        began = clock()
        for flat, unique in zip(indices, distinct, strict=True):
            floor(flat, unique)
        middle = clock()
        for ids in batches:
            step(ids)
        seconds.append((clock() - middle) / len(batches))
        ratios.append((clock() - middle) / (middle - began))
    return [
        result(
            "embedding", ratios, "of gather and scatter", 2.0, at_most(2.0), limits,
            milliseconds=1000 * statistics.median(seconds),
        )
    ]  # fmt: skip
