"""Batch normalisation, for networks that own their weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.parameters import Axis, Maker, constant

#: Share of a batch in the running statistics, and what is added to a variance; torch's.
MOMENTUM, EPS = 0.1, 1e-5


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) · gain + shift for each channel of the last axis.

    Mean and variance are the batch's in training, over all axes but the last, and running averages
    of them otherwise (Ioffe and Szegedy, 2015). A training batch of one row has no variance; it is
    normalised by the running averages. Equal to `torch.nn.BatchNorm1d` on (B, width).

    Shapes: (B, ..., width) to the same.
    """

    def __init__(self, width: Axis, make: Maker) -> None:
        super().__init__()
        self.weight = make("weight", width, init=constant(1))
        self.bias = make("bias", width, init=constant(0))
        self.mean: Tensor
        self.var: Tensor
        self.register_buffer("mean", torch.zeros(width.size))
        self.register_buffer("var", torch.ones(width.size))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        of_batch = self.training and len(flat) > 1
        y = F.batch_norm(flat, self.mean, self.var, self.weight, self.bias, of_batch, MOMENTUM, EPS)
        return y.view(x.shape)
