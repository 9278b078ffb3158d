"""Logistic regression on numeric columns and one-hot categories."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant, fresh


class LogisticRegression(nn.Module):
    """logit = b + w·x_dense + Σ_f v_f[id_f].

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        # Embeddings of width 1 are the one-hot weights.
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"), dim=1)
        with torch.no_grad():
            self.embedding.weight.zero_()
        self.weight = make("weight", Axis.fixed(inputs.dense), init=constant(0))
        self.bias = make("bias", Axis.fixed(1), init=constant(0))
        self.madds = inputs.dense

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        one_hot: Tensor = self.embedding(sparse).sum((1, 2))
        return one_hot + dense @ self.weight + self.bias
