"""Wide & Deep: Cheng et al., *Wide & Deep Learning for Recommender Systems*, DLRS 2016."""

from __future__ import annotations

import torch
from torch import Tensor

from nasrec.nn.baselines.layers import Baseline, Perceptron
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class WideDeep(Baseline):
    """logit = b + w·x_dense + Σ_f v_f[id_f] + MLP([x_dense, e_1, …, e_F]).

    The paper's wide part also has crossed columns that an expert chooses; none are chosen here.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "Wide & Deep"
    paper = "Cheng et al., DLRS 2016, arXiv 1606.07792"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.wide = FirstOrder(inputs, options, make.child("wide"))
        width = inputs.dense + inputs.sparse * options.embedding_dim
        self.deep = Perceptron((width, *options.hidden, 1), make.child("deep"), options)
        self.madds = self.wide.madds + self.deep.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        wide: Tensor = self.wide(dense, sparse)
        deep: Tensor = self.deep(torch.cat([dense, self.embedding(sparse).flatten(1)], 1))
        return wide + deep.squeeze(1)
