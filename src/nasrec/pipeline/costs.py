"""What standalone networks cost, and whether they are within a search's limits.

Multiply-adds, weights and bytes are counted; latency is measured, once for each network, and
written down: a search that goes on after a kill must decide as it did before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasrec.config import SearchConfig
from nasrec.data import Batch, Split
from nasrec.errors import ConfigError
from nasrec.files import write_json
from nasrec.nn import Inputs, Members, NASRecNet, standalone_costs
from nasrec.nn.inputs import ModelOptions
from nasrec.nn.parameters import Axis, Init, fresh
from nasrec.pipeline.folder import read_json
from nasrec.serve.bench import timed_calls
from nasrec.space import Architecture
from nasrec.train.checkpoint import refuse_difference

FORMAT = "nasrec-latency/1"
CALLS, WARM_UP = 300, 20
"""Timed and untimed calls: of 300 the 99th percentile is the third slowest."""


class Costs:
    """Costs of the standalone networks of a search.

    They are those of the dearest recipe: with LayerNorm if any recipe has it, so that a limit
    holds whichever recipe wins.

    Args:
        config: limits, recipes, rows of a batch.
        inputs: the columns.
        rows: latency is measured on rows of this split.
        file: where latencies are written down; None keeps them in memory.
    """

    def __init__(
        self, config: SearchConfig, inputs: Inputs, rows: Split, file: Path | None = None
    ) -> None:
        self.config, self.inputs, self.rows, self.file = config, inputs, rows, file
        self.options = dearest_options(config)
        self._seen: dict[str, dict[str, float]] = {}
        self._tables: dict[str, nn.Parameter] = {}

    def counted(self, architecture: Architecture) -> dict[str, float]:
        """Its `madds`, `weights` and `bytes`."""
        found = self._seen.get(architecture.digest)
        if found is None:
            found = standalone_costs(architecture, self.inputs, self.options)
            self._seen[architecture.digest] = found
        return found

    def latency(self, architecture: Architecture) -> dict[str, float]:
        """Milliseconds a batch, `p50` and `p99`, as the network would be served here."""
        networks = self._written["networks"]
        if architecture.digest not in networks:
            taken = timed_calls(self._call(architecture), 0.0, fewest=CALLS, warm_up=WARM_UP)
            p50, p99 = np.quantile(taken, [0.5, 0.99]).tolist()
            networks[architecture.digest] = {"p50": p50, "p99": p99}
            if self.file is not None:
                write_json(self.file, self._written)
        found: dict[str, float] = networks[architecture.digest]
        return found

    def of(self, architecture: Architecture) -> dict[str, float]:
        """All costs that are counted, and the median `latency` where the search goes by it."""
        found = dict(self.counted(architecture))
        if "latency" in self.config.costs or self.config.max_p99_ms is not None:
            found["latency"] = self.latency(architecture)["p50"]
        return found

    def allowed(self, architecture: Architecture) -> bool:
        """Whether it is within all limits; what is cheap to know is asked first."""
        counted, p99 = self.counted(architecture), self.config.max_p99_ms
        if any(counted[name] > limit for name, limit in counted_limits(self.config).items()):
            return False
        return p99 is None or self.latency(architecture)["p99"] <= p99

    def start(self) -> Architecture | None:
        """An architecture within the limits; None where the limits are none.

        Raises:
            ConfigError: no architecture of the space is, as far as can be told.
        """
        limits, p99 = counted_limits(self.config), self.config.max_p99_ms
        if not limits and p99 is None:
            return None
        narrowest = sorted(self.config.space.narrowest(), key=lambda a: self.counted(a)["madds"])
        for architecture in narrowest:
            if self.allowed(architecture):
                return architecture
        for name, limit in limits.items():
            least = min(self.counted(a)[name] for a in narrowest)
            if least > limit:
                told = self._told(name, least)
                raise ConfigError(
                    f"max_{name} {limit:,} is below what any architecture of space "
                    f"{self.config.space.name!r} needs: the cheapest needs {told}",
                    mend=f"raise --max-{name} to {least:,} or more, {self._other_way(name)}",
                )
        within = [
            a for a in narrowest if all(self.counted(a)[n] <= most for n, most in limits.items())
        ]
        if p99 is not None and within:
            least_ms = min(self.latency(a)["p99"] for a in within)
            raise ConfigError(
                f"max_p99_ms {p99:g} is below what the narrowest architectures of space "
                f"{self.config.space.name!r} take here: the fastest took {least_ms:.3g} ms at the "
                f"99th percentile, for {self.config.latency_batch} rows",
                mend="raise --max-p99-ms, or lower --batch",
            )
        raise ConfigError(
            "no architecture seems to be within all the limits at once, though one within each "
            "alone",
            mend="raise one of them",
        )

    def _told(self, name: str, least: float) -> str:
        if name == "madds":
            return f"{least:,} multiply-adds a row"
        if name == "weights":
            return f"{least:,} weights beside its embeddings"
        tables = 4 * self.options.embedding_dim * sum(self.inputs.vocabulary)
        return f"{least:,} bytes, {tables:,} of them for its embeddings"

    def _other_way(self, name: str) -> str:
        if name == "bytes":
            return "or make the embeddings smaller: --embedding-dim, or min_count in the schema"
        return "or search a space of narrower choices"

    @cached_property
    def _written(self) -> dict[str, Any]:
        header = {
            "format": FORMAT,
            "batch": self.config.latency_batch,
            "threads": torch.get_num_threads(),
        }
        if self.file is None or not self.file.is_file():
            return {**header, "networks": {}}
        there = read_json(self.file)
        refuse_difference({k: v for k, v in there.items() if k != "networks"}, header, self.file)
        return there

    @cached_property
    def _batch(self) -> Batch:
        return self.rows.take(np.arange(self.config.latency_batch) % len(self.rows))

    def _call(self, architecture: Architecture) -> Callable[[], Tensor]:
        """Scores a batch: encoded rows to probabilities."""
        made, initialised = self._tables, fresh(0)

        def source(name: str, axes: tuple[Axis, ...], init: Init) -> nn.Parameter:
            if not name.startswith("embedding."):
                return initialised(name, axes, init)
            if name not in made:  # the same for all architectures, and by far the largest
                made[name] = initialised(name, axes, init)
            return made[name]

        one = NASRecNet(architecture, self.inputs, self.options, source=source)
        network = Members([one] * self.options.members).eval()  # what others cost, it costs again
        dense, sparse = self._batch.dense, self._batch.sparse

        def call() -> Tensor:
            with torch.inference_mode():
                probabilities: Tensor = network(dense, sparse).sigmoid()
            return probabilities

        return call


def counted_limits(config: SearchConfig) -> dict[str, int]:
    """The limits on what can be counted, by the name of the cost."""
    limits = {
        "madds": config.max_madds,
        "weights": config.max_weights,
        "bytes": config.max_bytes,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def dearest_options(config: SearchConfig) -> ModelOptions:
    """How the networks of the dearest recipe are made."""
    made = [recipe.model(config.model) for recipe in config.recipes]
    return max(made, key=lambda options: options.layer_norm)
