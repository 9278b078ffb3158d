"""Small data, spaces and models for the tests of training and search."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.data import Split
from nasrec.nn import Inputs, ModelOptions, SharedWeights
from nasrec.space import NASREC_FULL, SearchSpace

INPUTS = Inputs(3, (11, 7, 50))
OPTIONS = ModelOptions(embedding_dim=8, heads=4, merger_tokens=2)
SPACE = NASREC_FULL.with_(name="tiny", blocks=2, dense_dims=(8, 16), sparse_dims=(4, 8))


def make_split(rows: int, seed: int = 0, inputs: Inputs = INPUTS) -> Split:
    """Rows with something to learn: clicks depend on one number and one category."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, inputs.dense)).astype(np.float32)
    sparse = np.stack([rng.integers(0, v, rows) for v in inputs.vocabulary], 1).astype(np.int32)
    logit = 2 * dense[:, 0] + np.where(sparse[:, 0] % 2, 1.0, -1.0) - 0.5
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return Split("rows", dense, sparse, labels, float(labels.mean()) if rows else 0.0)


class TinyNet(nn.Module):
    """An embedding with sparse gradients, a hidden layer with dropout."""

    def __init__(self, seed: int = 0, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.starts = [0, 11, 18]
        self.embedding = nn.Embedding(68, 4, sparse=True)
        self.hidden = nn.Linear(3 + 12, 16)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(16, 1)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        tokens = self.embedding(sparse + torch.tensor(self.starts)).flatten(1)
        return self.out(self.dropout(F.relu(self.hidden(torch.cat([dense, tokens], 1)))))[:, 0]


def make_shared(seed: int = 0, space: SearchSpace = SPACE) -> SharedWeights:
    return SharedWeights(space, INPUTS, OPTIONS, seed=seed)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    there, here = a.state_dict(), b.state_dict()
    return there.keys() == here.keys() and all(torch.equal(there[k], here[k]) for k in there)
