"""What every column says for itself: the part of a logit that is linear in the columns."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant


class FirstOrder(nn.Module):
    """b + w·x_dense + Σ_f v_f[id_f]: (B, n_dense) and ids (B, F) to (B,); all zero at first."""

    def __init__(self, inputs: Inputs, options: ModelOptions, make: Maker) -> None:
        super().__init__()
        # Embeddings of width 1 are the one-hot weights.
        zero = constant(0)
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"), dim=1, init=zero)
        self.weight = make("weight", Axis.fixed(inputs.dense), init=zero)
        self.bias = make("bias", Axis.fixed(1), init=zero)
        self.madds = inputs.dense

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        one_hot: Tensor = self.embedding(sparse).sum((1, 2))
        return one_hot + F.linear(dense, self.weight.unsqueeze(0), self.bias).squeeze(1)
