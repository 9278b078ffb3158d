"""Random rows and architectures for the tests of this room."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nasrec.nn import Inputs
from nasrec.space import NASREC_FULL, Architecture

INPUTS = Inputs(3, (5, 7, 4, 9))
SMALL_WIDTHS = {"dense_dims": (16, 32, 64, 128), "sparse_dims": (4, 16, 24)}
MULTI = NASREC_FULL.with_(
    name="multi",
    max_ops_per_branch=None,
    blocks=4,
    dense_ops=(*NASREC_FULL.dense_ops, "Flat", "PlainDP"),
    **SMALL_WIDTHS,
)


def rows(inputs: Inputs, batch: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Dense (B, n_dense), ids (B, F) and labels (B,)."""
    g = torch.Generator().manual_seed(seed)
    dense = torch.randn(batch, inputs.dense, generator=g)
    ids = [torch.randint(v, (batch,), generator=g) for v in inputs.vocabulary]
    sparse = torch.stack(ids, 1) if ids else torch.zeros(batch, 0, dtype=torch.int64)
    labels = torch.randint(2, (batch,), generator=g).to(dense.dtype)
    return dense, sparse, labels


def draw(seed: int, space=MULTI) -> Architecture:
    return space.sample(np.random.default_rng(seed))
