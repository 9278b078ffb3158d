"""What every column says for itself: the part of a logit that adds up over the columns."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant


class FirstOrder(nn.Module):
    """b + w·x_dense + Σ_f v_f[id_f]: (B, n_dense) and ids (B, F) to (B,); all zero at first.

    With `ModelOptions.bends` a number's part is piecewise linear: Σ_p u_p clip((x_j - a_p) /
    (c_p - a_p), 0, 1) / P_j is added over the P_j pieces p, from a_p to c_p, that the quantiles of
    column j make (Gorishniy et al., *On Embeddings for Numerical Features in Tabular Deep
    Learning*, NeurIPS 2022). A count of 0, of 3 and of 3000 then each say their own. The pieces
    below a number all move together, each by a full step of Adagrad: divided by P_j they move the
    logit as far as one weight would, without which a linear model became worse where the truth
    has no bends.
    """

    def __init__(self, inputs: Inputs, options: ModelOptions, make: Maker) -> None:
        super().__init__()
        # Embeddings of width 1 are the one-hot weights.
        zero = constant(0)
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"), dim=1, init=zero)
        self.weight = make("weight", Axis.fixed(inputs.dense), init=zero)
        self.bias = make("bias", Axis.fixed(1), init=zero)
        pieces = [
            (column, low, high - low, 1 / (len(values) - 1))
            for column, values in enumerate(inputs.quantiles if options.bends else ())
            for low, high in pairwise(values)
        ]
        self.bends = make("bends", Axis.fixed(len(pieces)), init=zero) if pieces else None
        self.columns: Tensor
        self.starts: Tensor
        self.widths: Tensor
        self.shares: Tensor
        columns, *numbers = zip(*pieces, strict=True) if pieces else ((), (), (), ())
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        for name, of_pieces in zip(("starts", "widths", "shares"), numbers, strict=True):
            tensor = torch.tensor(of_pieces, dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)
        self.madds = inputs.dense + len(pieces)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        one_hot: Tensor = self.embedding(sparse).sum((1, 2))
        found = one_hot + F.linear(dense, self.weight.unsqueeze(0), self.bias).squeeze(1)
        if self.bends is None:
            return found
        way = (dense[:, self.columns] - self.starts) / self.widths
        way = way.clamp(0, 1) * self.shares
        return found + F.linear(way, self.bends.unsqueeze(0)).squeeze(1)
