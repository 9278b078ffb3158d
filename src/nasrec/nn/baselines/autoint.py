"""AutoInt: Song et al., *Automatic Feature Interaction Learning*, CIKM 2019."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn.baselines.layers import Baseline, Fields, Perceptron, weighted_sum
from nasrec.nn.dropout import dropout
from nasrec.nn.embedding import EmbeddingTable
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.layers import Linear
from nasrec.nn.parameters import Axis, Maker, fresh

#: Width of a head, as in the paper.
HEAD_WIDTH = 32


class InteractingLayer(nn.Module):
    """ReLU(concat_h Σ_k α^h_mk V_h e_k + R e_m), α^h_m = softmax_k ⟨Q_h e_m, K_h e_k⟩, unscaled.

    Shapes: (B, M, width) to (B, M, heads · HEAD_WIDTH).
    """

    def __init__(self, fields: int, width: int, heads: int, dropout: float, make: Maker) -> None:
        super().__init__()
        self.dropout, self.heads, out = dropout, heads, heads * HEAD_WIDTH
        self.query, self.key, self.value, self.residual = (
            Linear({"x": Axis.fixed(width)}, Axis.fixed(out), bias=False, make=make.child(name))
            for name in ("query", "key", "value", "residual")
        )
        self.madds = fields * (4 * width * out + 2 * fields * out)

    def forward(self, x_BME: Tensor) -> Tensor:
        x = {"x": x_BME}
        q, k, v = (
            linear(x).unflatten(2, (self.heads, HEAD_WIDTH)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).flatten(2)
        return dropout(F.relu(mixed + self.residual(x)), self.dropout, self.training)


class AutoInt(Baseline):
    """Layers of self-attention among the fields; logit = w·[v_1, …, v_M] + b after the last.

    v = {x_1 u_1, …, e_1, …, e_F} at first: numeric columns are fields, so either kind may be
    absent. There are `options.attention_layers` layers of `options.attention_heads` heads. Dropout
    is on what each layer gives.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "AutoInt"
    paper = "Song et al., CIKM 2019, arXiv 1810.11921"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__()
        make = Maker(fresh(seed))
        self.embedding = EmbeddingTable(inputs, options, make.child("embedding"))
        self.fields = Fields(inputs, options, make.child("fields"))
        count, heads = self.fields.count, options.attention_heads
        width = heads * HEAD_WIDTH
        layers = [
            InteractingLayer(
                count, width if i else options.embedding_dim, heads, options.dropout,
                make.child(f"layers.{i}"),
            )
            for i in range(options.attention_layers)
        ]  # fmt: skip
        self.layers = nn.ModuleList(layers)
        self.head = weighted_sum(count * width, make.child("head"), bias=True)
        self.madds = sum(layer.madds for layer in layers) + self.head.madds

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        return self.logits(self.fields(dense, self.embedding(sparse)))

    def logits(self, fields_BME: Tensor) -> Tensor:
        """Logits (B,) from the fields."""
        x = fields_BME
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head({"x": x.flatten(1)})
        return logits.squeeze(1)


class AutoIntPlus(AutoInt):
    """AutoInt+: AutoInt and a perceptron on the same field vectors, their logits added.

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "AutoInt+"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__(inputs, options, seed=seed)
        widths = (self.fields.width, *options.hidden, 1)
        self.deep = Perceptron(widths, Maker(fresh(seed)).child("deep"), options)
        self.madds += self.deep.madds

    def logits(self, fields_BME: Tensor) -> Tensor:
        """Logits (B,) from the fields."""
        deep: Tensor = self.deep(fields_BME.flatten(1))
        return super().logits(fields_BME) + deep.squeeze(1)
