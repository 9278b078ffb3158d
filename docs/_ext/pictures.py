"""Draws the pictures of the site: `make pictures` writes docs/pictures.

The published network is drawn by `nasrec arch show` alone; the others show what a space of three
blocks, small enough to be read, gives by its own methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nasrec.report import drawing
from nasrec.space import NASREC_FULL, Architecture, PathSampler, load_architecture

FOLDER = Path(__file__).parents[1] / "pictures"
SPACE = NASREC_FULL.with_(
    name="picture",
    dense_ops=("FC", "SG", "DP"),
    blocks=3,
    dense_dims=(16, 32, 64),
    sparse_dims=(8, 16),
    max_connections=2,
)


def architectures() -> Iterator[tuple[str, Architecture]]:
    """Each picture's name and what it shows."""
    yield "criteo-full", load_architecture("published:criteo-full")
    yield "whole", SPACE.maximal()
    sampler = PathSampler(SPACE, "single-any", total_steps=1, warmup_fraction=0.0)
    for i in range(2):
        yield f"path-{i + 1}", sampler.sample(0, np.random.default_rng(i))
    parent = SPACE.sample(np.random.default_rng(3))
    yield "parent", parent
    yield "child", SPACE.mutate(parent, np.random.default_rng(0))


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, architecture in architectures():
        (FOLDER / f"{name}.svg").write_text(f"{drawing(architecture)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
