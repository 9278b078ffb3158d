"""DLRM: Naumov et al., *Deep Learning Recommendation Model*, 2019, arXiv 1906.00091."""

from __future__ import annotations

import torch
from torch import Tensor

from nasrec.nn.baselines.layers import Baseline, Perceptron
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class DLRM(Baseline):
    """Bottom MLP on numeric columns, pairwise dot products of all vectors, top MLP.

    z = bottom(x_dense); p = {⟨v_i, v_j⟩ : i < j, v ∈ {z, e_1, …, e_F}}; logit = top([z, p]).
    Without numeric columns there is no z, and the embeddings take its place in the top's input.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "DLRM"
    paper = "Naumov et al., 2019, arXiv 1906.00091"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make, width = Maker(fresh(seed)), options.embedding_dim
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.bottom = (
            Perceptron(
                (inputs.dense, *options.hidden, width),
                make.child("bottom"),
                options,
                last_relu=True,
            )
            if inputs.dense
            else None
        )
        vectors = inputs.sparse + bool(inputs.dense)
        rows, columns = torch.tril_indices(vectors, vectors, -1)
        self.triangle: Tensor
        self.register_buffer("triangle", rows * vectors + columns, persistent=False)
        beside = width if inputs.dense else inputs.sparse * width
        self.top = Perceptron((beside + len(rows), *options.hidden, 1), make.child("top"), options)
        self.madds = (
            (self.bottom.madds if self.bottom else 0) + vectors * vectors * width + self.top.madds
        )

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        vectors_BVE = self.embedding(sparse)
        if self.bottom:
            beside = self.bottom(dense)
            vectors_BVE = torch.cat([beside.unsqueeze(1), vectors_BVE], 1)
        else:
            beside = vectors_BVE.flatten(1)
        products = (vectors_BVE @ vectors_BVE.transpose(1, 2)).flatten(1)
        pairs = products.index_select(1, self.triangle)
        logits: Tensor = self.top(torch.cat([beside, pairs], 1))
        return logits.squeeze(1)
