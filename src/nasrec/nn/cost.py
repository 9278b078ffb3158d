"""What an architecture costs, counted without building its weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.network import NASRecNet
from nasrec.nn.parameters import shapes_only
from nasrec.space.architecture import Architecture

BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Cost:
    """Costs of one architecture on given columns.

    Attributes:
        weights: weights of all parts, dead ones included, embeddings excluded.
        live_weights: weights that get a gradient from the logit; what a model stores.
        madds: multiply-adds a row of all parts: matrix products, no element-wise work.
        live_madds: multiply-adds a row of what is computed.
        live_blocks: numbers, from 1, of the blocks that reach the logit.
        embedding_weights: weights of the embedding tables.
        bytes: size of a stored model: live and embedding weights in 32-bit floats.
    """

    weights: int
    live_weights: int
    madds: int
    live_madds: int
    live_blocks: tuple[int, ...]
    embedding_weights: int
    bytes: int


def cost(architecture: Architecture, inputs: Inputs, options: ModelOptions | None = None) -> Cost:
    """Count an architecture's weights, multiply-adds and bytes."""
    live, everything = (
        NASRecNet(architecture, inputs, options, prune=prune, source=shapes_only)
        for prune in (True, False)
    )
    embedding = count_weights(live) - count_dense_weights(live)
    return Cost(
        weights=count_dense_weights(everything),
        live_weights=count_dense_weights(live),
        madds=everything.madds,
        live_madds=live.madds,
        live_blocks=architecture.live_blocks,
        embedding_weights=embedding,
        bytes=BYTES_PER_WEIGHT * count_weights(live),
    )


def live_madds(
    architecture: Architecture, inputs: Inputs, options: ModelOptions | None = None
) -> int:
    """Multiply-adds a row of what an architecture computes."""
    return NASRecNet(architecture, inputs, options, source=shapes_only).madds


def standalone_costs(
    architecture: Architecture, inputs: Inputs, options: ModelOptions | None = None
) -> dict[str, float]:
    """What an architecture costs when it stands alone: `madds` a row, `weights`, `bytes`.

    The live parts only, as `cost` counts them, at half its effort; of all `options.members`.
    """
    network = NASRecNet(architecture, inputs, options, source=shapes_only)
    members = 1 if options is None else options.members
    return {
        "madds": members * network.madds,
        "weights": members * count_dense_weights(network),
        "bytes": members * BYTES_PER_WEIGHT * count_weights(network),
    }


def count_weights(model: nn.Module) -> int:
    """All weights of a model, embeddings included."""
    return sum(p.numel() for p in model.parameters())


def count_dense_weights(model: nn.Module) -> int:
    """Weights of a model outside its embedding tables."""
    tables = [module for module in model.modules() if isinstance(module, EmbeddingTable)]
    return count_weights(model) - sum(table.weight.numel() for table in tables)
