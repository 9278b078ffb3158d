"""The layers that operators and hand-made models are made of, on whole or lent weights.

Legend of shape suffixes: B batch, E embedding width, N tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.nn import joined
from nasrec.nn.batch_norm import BatchNorm
from nasrec.nn.inputs import ModelOptions
from nasrec.nn.parameters import Axis, Maker, constant, xavier_uniform

Parts = Mapping[str, Tensor]


class Linear(nn.Module):
    """y = Σ_j W_j x_j (+ b) on the last axis, with one slab of weight for each part j."""

    def __init__(self, parts: Mapping[str, Axis], out: Axis, bias: bool, make: Maker) -> None:
        super().__init__()
        self.fan_in = sum(axis.size for axis in parts.values())
        self.fan_out = out.size
        slabs = make.child("weight")
        self.weight = nn.ParameterDict(
            {
                # A shared slab is initialised by its own shape, whichever parts it is joined to.
                name: slabs(
                    name, out, axis, init=xavier_uniform(Axis(self.fan_in, axis.limit), out)
                )
                for name, axis in parts.items()
            }
        )
        self.bias = make("bias", out, init=constant(0)) if bias else None

    def forward(self, parts: Parts) -> Tensor:
        return joined.linear(*self.pairs(parts), self.bias)

    def pairs(self, parts: Parts) -> tuple[list[Tensor], list[Tensor]]:
        """The parts it reads, and the weight of each."""
        named = list(self.weight.items())
        return [parts[name] for name, _ in named], [weight for _, weight in named]

    def across(self, x_BEN: Tensor) -> Tensor:
        """The same for a single part and along the middle axis: (B, E, N) to (B, out, N)."""
        (weight,) = self.weight.values()
        assert self.bias is not None
        return torch.baddbmm(self.bias.unsqueeze(1), weight.expand(x_BEN.shape[0], -1, -1), x_BEN)

    @property
    def madds(self) -> int:
        """Multiply-adds for one vector."""
        return self.fan_in * self.fan_out


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, of the chosen width."""

    def __init__(self, width: Axis, make: Maker, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = make("weight", width, init=constant(gain))
        self.bias = make("bias", width, init=constant(0))

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        return joined.norm(x, self.weight, self.bias, relu)


def norm_of(options: ModelOptions, width: Axis, make: Maker) -> LayerNorm | BatchNorm | None:
    """The normalisation that the options give what an operator's linear map gives, if any."""
    if options.layer_norm:
        return LayerNorm(width, make.child("norm"))
    return BatchNorm(width, make.child("norm")) if options.batch_norm else None


def of_tokens(options: ModelOptions) -> ModelOptions:
    """How what gives tokens is made: without BatchNorm.

    It would make embeddings large however small they begin, and rare ids be learned by heart: the
    last FC reads tokens themselves.
    """
    return replace(options, batch_norm=False) if options.batch_norm else options


class Projection(nn.Module):
    """Linear, then `norm_of`, then ReLU if asked; without a norm the linear has a bias."""

    def __init__(
        self, parts: Mapping[str, Axis], out: Axis, options: ModelOptions, make: Maker
    ) -> None:
        super().__init__()
        self.linear = Linear(parts, out, bias=not options.normed, make=make.child("linear"))
        self.norm = norm_of(options, out, make)
        self.madds = self.linear.madds

    def forward(self, parts: Parts, relu: bool = False) -> Tensor:
        if isinstance(self.norm, LayerNorm):
            weights = self.norm.weight, self.norm.bias
            return joined.projection(*self.linear.pairs(parts), *weights, relu)
        y: Tensor = self.linear(parts)
        y = y if self.norm is None else self.norm(y)
        return F.relu(y) if relu else y
