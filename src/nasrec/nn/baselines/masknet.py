"""MaskNet: Wang et al., *Feature-Wise Multiplication by Instance-Guided Mask*, DLP-KDD 2021."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Fields, Perceptron, weighted_sum
from nasrec.nn.dropout import dropout
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.layers import LayerNorm, Linear
from nasrec.nn.parameters import Axis, Maker, constant, fresh


class MaskBlock(nn.Module):
    """ReLU(LN(W (mask ∘ x))), mask = W'' ReLU(W' v + b') + b'': x (B, A), v (B, D), to (B, out).

    The mask's inner layer is as wide as v.
    """

    def __init__(self, guide: int, width: int, out: int, dropout: float, make: Maker) -> None:
        super().__init__()
        self.dropout = dropout
        self.mask = Perceptron((guide, guide, width), make.child("mask"))
        self.linear = Linear(
            {"x": Axis.fixed(width)}, Axis.fixed(out), bias=False, make=make.child("linear")
        )
        self.norm = LayerNorm(Axis.fixed(out), make.child("norm"))
        self.madds = self.mask.madds + self.linear.madds

    def forward(self, guide: Tensor, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.linear({"x": self.mask(guide) * x})))
        return dropout(y, self.dropout, self.training)


class MaskNet(Baseline):
    """The serial MaskNet: blocks one after the other, each masked by the fields.

    v = [x_1 u_1, …, e_1, …, e_F]; x_0 = [LN_1(v_1), …, LN_M(v_M)]; x_l = MaskBlock_l(v, x_{l-1});
    logit = w·x_L + b. One block for each of `options.hidden`, its width. Numeric columns are
    fields, so either kind may be absent.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "MaskNet"
    paper = "Wang et al., DLP-KDD 2021, arXiv 2102.07619"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make, embedding_dim = Maker(fresh(seed)), options.embedding_dim
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        shape = (Axis.fixed(self.fields.count), Axis.fixed(embedding_dim))
        self.gain = make("gain", *shape, init=constant(1))
        self.shift = make("shift", *shape, init=constant(0))
        widths = (self.fields.width, *options.hidden)
        blocks = [
            MaskBlock(widths[0], a, b, options.dropout, make.child(f"blocks.{i}"))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        ]
        self.blocks = nn.ModuleList(blocks)
        self.head = weighted_sum(widths[-1], make.child("head"), bias=True)
        self.madds = sum(block.madds for block in blocks) + self.head.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        fields_BME = self.fields(dense, self.embedding(sparse))
        guide = fields_BME.flatten(1)
        normed = F.layer_norm(fields_BME, fields_BME.shape[2:]) * self.gain + self.shift
        x = normed.flatten(1)
        for block in self.blocks:
            x = block(guide, x)
        logits: Tensor = self.head({"x": x})
        return logits.squeeze(1)
