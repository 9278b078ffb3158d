"""A plain multi-layer perceptron on embeddings and numeric columns."""

from __future__ import annotations

import torch
from torch import Tensor

from nasrec.nn.baselines.layers import Baseline, Perceptron
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class MLP(Baseline):
    """logit = MLP([x_dense, e_1, …, e_F]), with ReLU hidden layers.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "MLP"
    paper = "Covington et al., RecSys 2016"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        width = inputs.dense + inputs.sparse * options.embedding_dim
        self.layers = Perceptron((width, *options.hidden, 1), make.child("layers"), options)
        self.madds = self.layers.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([dense, self.embedding(sparse).flatten(1)], 1))
        return logits.squeeze(1)
