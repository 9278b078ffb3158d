"""Deep Crossing: Shan et al., *Web-Scale Modeling without Manually Crafted Features*, KDD 2016."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Perceptron, weighted_sum
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant, fresh


class DeepCrossing(Baseline):
    """Residual units on the stack of numeric columns and rectified embeddings.

    x_0 = [x_dense, ReLU(e_1 + b_1), …, ReLU(e_F + b_F)];
    x_l = ReLU(x_{l-1} + W'_l ReLU(W_l x_{l-1} + c_l) + c'_l); logit = w·x_L + b.
    One unit for each of `options.hidden`, its inner width; narrow features such as numbers are
    stacked as they are, as in the paper.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "Deep Crossing"
    paper = "Shan et al., KDD 2016"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make, embedding_dim = Maker(fresh(seed)), options.embedding_dim
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.bias = make(
            "bias", Axis.fixed(inputs.sparse), Axis.fixed(embedding_dim), init=constant(0)
        )
        width = inputs.dense + inputs.sparse * embedding_dim
        self.units = nn.ModuleList(
            Perceptron((width, inner, width), make.child(f"units.{i}"), options)
            for i, inner in enumerate(options.hidden)
        )
        self.head = weighted_sum(width, make.child("head"), bias=True)
        self.madds = sum(2 * width * inner for inner in options.hidden) + self.head.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        embedded = F.relu(self.embedding(sparse) + self.bias)
        x = torch.cat([dense, embedded.flatten(1)], 1)
        for unit in self.units:
            x = F.relu(x + unit(x))
        logits: Tensor = self.head({"x": x})
        return logits.squeeze(1)
