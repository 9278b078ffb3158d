"""The mergers of a block's two branches: from its vector to tokens, from its tokens to the vector.

Legend of shape suffixes: B batch, D dense width, E embedding width, N tokens.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from nasrec.nn.inputs import ModelOptions
from nasrec.nn.layers import Projection, of_tokens
from nasrec.nn.parameters import Axis, Maker
from nasrec.nn.tokens import pooled


class DenseToSparse(nn.Module):
    """Merger: (B, dim_d) to K more tokens, (B, E, K); no projection where dim_d = K·E."""

    def __init__(self, dense: Axis, options: ModelOptions, make: Maker) -> None:
        super().__init__()
        self.shape = (options.embedding_dim, options.merger_tokens)
        out = Axis.fixed(math.prod(self.shape))
        self.project: Projection | None = None
        if dense.size != out.size:
            self.project = Projection(
                {"dense": dense}, out, of_tokens(options), make.child("project")
            )
        self.madds = self.project.madds if self.project else 0

    def forward(self, dense_BD: Tensor) -> Tensor:
        y: Tensor = self.project({"dense": dense_BD}) if self.project else dense_BD
        return y.view(-1, *self.shape)


class SparseToDense(nn.Module):
    """Merger: FM pooling (Σ_n x_n)² − Σ_n x_n² of (B, E, N), to (B, dim_d).

    Where dim_d equals E there is neither projection nor LayerNorm (released code).
    """

    def __init__(self, dense: Axis, options: ModelOptions, make: Maker) -> None:
        super().__init__()
        width = Axis.fixed(options.embedding_dim)
        self.project: Projection | None = None
        if dense.size != width.size:
            self.project = Projection({"pooled": width}, dense, options, make.child("project"))
        self.madds = self.project.madds if self.project else 0

    def forward(self, sparse_BEN: Tensor) -> Tensor:
        pooled_BE = pooled(sparse_BEN)
        return self.project({"pooled": pooled_BE}) if self.project else pooled_BE
