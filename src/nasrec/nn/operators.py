"""The operators and mergers of a choice block (method: paper section 3).

Legend of shape suffixes: B batch, D dense width, E embedding width, N tokens, K merger tokens.
Sparse tensors lie as (B, E, N): an FC along the field axis and its LayerNorm then act on the last
axis and need no transposes.

A block's sparse input is a mapping from *parts* to tensors. Source j gives the part "j" (its own
tokens) and, if its dense-to-sparse merger is on, the part "j+" (the merger's tokens), so that a
slab of shared weight means the same tokens whatever their number. A dense part is a source, "j".

Adding an operator is one class with `info`, marked `@register`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, combinations_with_replacement
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasrec.errors import SpaceError
from nasrec.nn import encoder, joined
from nasrec.nn.attention import attention
from nasrec.nn.inputs import ModelOptions
from nasrec.nn.layers import LayerNorm, Linear, Parts, Projection, norm_of, of_tokens
from nasrec.nn.parameters import Axis, Maker, constant, xavier_uniform
from nasrec.nn.tokens import pair_products
from nasrec.space import operators as declared
from nasrec.space.operators import OperatorInfo, declare


@dataclass(frozen=True)
class Widths:
    """The widths an operator is built for.

    Attributes:
        dense: width of each part of the concatenated dense input.
        sparse: tokens of each part of the concatenated sparse input.
        left: width of the left source.
        right: width of the right source.
        pair_limit: greatest width a left or right source can have in this block.
        left_name: the part the left source is.
        out: dim_d for a dense operator, N_s for a sparse one.
    """

    dense: Mapping[str, Axis]
    sparse: Mapping[str, Axis]
    left: Axis
    right: Axis
    pair_limit: int
    left_name: str
    out: Axis


@dataclass(frozen=True)
class Reading:
    """What an operator is given: parts (B, D) of the dense, (B, E, N) of the sparse input."""

    dense: Parts
    sparse: Parts
    left: Tensor | None = None
    right: Tensor | None = None


class Operator(nn.Module):
    """Base of all operators. A subclass sets `info` and, after construction, `madds`.

    Attributes:
        info: what search spaces know of it.
        madds: multiply-adds for one row, element-wise work not counted.
    """

    info: ClassVar[OperatorInfo]
    madds: int

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__()

    def forward(self, x: Reading) -> Tensor:
        """Dense operators give (B, dim_d), sparse ones (B, E, N_s)."""
        raise TypeError(f"{type(self).__name__} does not say what it computes")


OPERATORS: dict[str, type[Operator]] = {}


def register(operator: type[Operator]) -> type[Operator]:
    """Make an operator available to search spaces and networks, under `operator.info.name`."""
    declare(operator.info)
    OPERATORS[operator.info.name] = operator
    return operator


def operator_class(name: str) -> type[Operator]:
    """The class of a registered operator."""
    if name not in OPERATORS:
        raise SpaceError(
            f"operator {name!r} is declared but nothing computes it",
            mend="decorate its class with nasrec.nn.operators.register",
        )
    return OPERATORS[name]


@register
class FullyConnected(Operator):
    """ReLU(LN(X_d W)): (B, Σ D) to (B, dim_d)."""

    info = declared.FC

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        self.project = Projection(widths.dense, widths.out, options, make.child("project"))
        self.madds = self.project.madds

    def forward(self, x: Reading) -> Tensor:
        return cast("Tensor", self.project(x.dense, relu=True))


class _Binary(Operator):
    """Common to Sum and Sigmoid Gating: fit the wider width to dim_d, then LayerNorm."""

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        self.wide = Axis(max(widths.left.size, widths.right.size), widths.pair_limit)
        self.fit: Linear | None = None
        self.madds = 0
        if self.wide.size != widths.out.size:
            self.fit = Linear(
                {"pair": self.wide},
                widths.out,
                bias=self.fit_bias(options),
                make=make.child("fit"),
            )
            self.madds = self.fit.madds
        self.norm = norm_of(options, widths.out, make) or nn.Identity()

    @staticmethod
    def fit_bias(options: ModelOptions) -> bool:
        return not options.normed

    def finish(self, x_BD: Tensor) -> Tensor:
        x_BD = _pad(x_BD, self.wide.size)
        y: Tensor = self.norm(x_BD if self.fit is None else self.fit({"pair": x_BD}))
        return y


def _pad(x_BD: Tensor, width: int) -> Tensor:
    return x_BD if x_BD.shape[1] == width else F.pad(x_BD, (0, width - x_BD.shape[1]))


@register
class SigmoidGating(_Binary):
    """LN(fit(sigmoid(left W + b) * right)), the narrower one zero-padded: to (B, dim_d)."""

    info = declared.SIGMOID_GATING

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        self.left_name = widths.left_name
        self.gate = Linear(
            {self.left_name: self.wide}, self.wide, bias=True, make=make.child("gate")
        )
        self.madds += self.gate.madds

    @staticmethod
    def fit_bias(options: ModelOptions) -> bool:
        return True

    def forward(self, x: Reading) -> Tensor:
        assert x.left is not None and x.right is not None
        left, right = _pad(x.left, self.wide.size), _pad(x.right, self.wide.size)
        return self.finish(torch.sigmoid(self.gate({self.left_name: left})) * right)


@register
class Sum(_Binary):
    """LN(fit(left + right)), the narrower one zero-padded: to (B, dim_d)."""

    info = declared.SUM

    def forward(self, x: Reading) -> Tensor:
        assert x.left is not None and x.right is not None
        return self.finish(_pad(x.left, self.wide.size) + _pad(x.right, self.wide.size))


def inner_tokens(dim: int) -> int:
    """Tokens whose pairwise products number about `dim`: round(√(2 dim))."""
    return round(math.sqrt(2 * dim))


@register
class DotProduct(Operator):
    """Operator-balanced interaction: pairwise products of few tokens (paper section 3.3).

    The dense input becomes one token, the sparse input is projected along the field axis to
    round(√(2 dim_d)) tokens; products of different tokens (strict triangle) are fitted to dim_d.
    """

    info = declared.DOT_PRODUCT

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        width = Axis.fixed(options.embedding_dim)
        self.token: Projection | None = None
        if sum(axis.size for axis in widths.dense.values()) != width.size:
            self.token = Projection(widths.dense, width, of_tokens(options), make.child("token"))
        inner = widths.out.map(inner_tokens)
        self.tokens = Projection(widths.sparse, inner, of_tokens(options), make.child("tokens"))
        count = inner.size + 1
        pairs = inner.map(lambda n: n * (n + 1) // 2)
        self.fit: Linear | None = None
        if pairs.size != widths.out.size:
            self.fit = Linear(
                {"pairs": pairs}, widths.out, bias=not options.normed, make=make.child("fit")
            )
        self.norm = norm_of(options, widths.out, make) or nn.Identity()
        # Row-major order of the lower triangle: fewer tokens use a prefix of the pairs of more.
        rows, columns = torch.tril_indices(count, count, -1)
        self.triangle: Tensor
        self.register_buffer("triangle", rows * count + columns, persistent=False)
        self.madds = (
            (self.token.madds if self.token else 0)
            + self.tokens.madds * width.size
            + count * count * width.size
            + (self.fit.madds if self.fit else 0)
        )

    def forward(self, x: Reading) -> Tensor:
        token_BE = self.token(x.dense) if self.token else torch.cat(list(x.dense.values()), 1)
        pairs_BP = pair_products(token_BE, self.tokens(x.sparse), self.triangle)
        y: Tensor = self.norm(pairs_BP if self.fit is None else self.fit({"pairs": pairs_BP}))
        return y


@register
class PlainDotProduct(Operator):
    """Interaction that is not balanced: pairwise products of all tokens as they are.

    What the paper compares its Dot-Product with (section 3.3, Table 2): N tokens give N (N - 1) / 2
    products, and as many weights for each unit of dim_d. The dense input becomes one token. Not in
    the paper's spaces.
    """

    info = declared.PLAIN_DOT_PRODUCT

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        width, out = Axis.fixed(options.embedding_dim), widths.out
        self.token = Projection(widths.dense, width, of_tokens(options), make.child("token"))
        parts = {"token": Axis.fixed(1), **widths.sparse}
        sizes = [axis.size for axis in parts.values()]
        starts = dict(zip(parts, accumulate(sizes, initial=0), strict=False))
        count = sum(sizes)
        fan_in, slabs = _pairs(count), make.child("weight")
        # A slab for the pairs within each part, and one for each two parts: they mean the same
        # pairs whatever other parts there are, and fewer tokens use a corner of it.
        self.weight = nn.ParameterDict()
        places = [torch.empty(0, dtype=torch.long)]
        for name, other in combinations_with_replacement(parts, 2):
            a, b = parts[name], parts[other]
            axes = (a.map(_pairs),) if name == other else (a, b)
            if not all(axis.size for axis in axes):
                continue
            limit, slab = math.prod(axis.limit for axis in axes), f"{name}-{other}"
            self.weight[slab] = slabs(
                slab, out, *axes, init=xavier_uniform(Axis(fan_in, limit), out)
            )
            rows = starts[name] + torch.arange(a.size).unsqueeze(1)
            columns = starts[other] + torch.arange(b.size)
            found = rows * count + columns
            places.append(found[rows > columns] if name == other else found.flatten())
        self.places: Tensor
        self.register_buffer("places", torch.cat(places), persistent=False)
        self.bias = None if options.normed else make("bias", out, init=constant(0))
        self.norm = norm_of(options, out, make) or nn.Identity()
        self.madds = self.token.madds + count * count * width.size + fan_in * out.size
        self.out = out.size

    def forward(self, x: Reading) -> Tensor:
        tokens_BEN = torch.cat([self.token(x.dense).unsqueeze(2), *x.sparse.values()], 2)
        products_BNN = tokens_BEN.transpose(1, 2) @ tokens_BEN
        pairs_BP = products_BNN.flatten(1).index_select(1, self.places)
        slabs = [slab.flatten(1) for slab in self.weight.values()]
        weight = torch.cat([pairs_BP.new_empty(self.out, 0), *slabs], 1)
        y: Tensor = self.norm(F.linear(pairs_BP, weight, self.bias))
        return y


def _pairs(tokens: int) -> int:
    return tokens * (tokens - 1) // 2


@register
class FlatFC(Operator):
    """ReLU(LN([X_d, vec(X_s)] W)): the dense input and all entries of all tokens, to (B, dim_d).

    The first layer of nearly every hand-made model. The paper's operators have none: its EFC mixes
    tokens by the same weights at each embedding position, so where a log has few numeric columns
    the dense branch sees the categories by products alone. Not in the paper's spaces.
    """

    info = declared.FLAT

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        width, out = Axis.fixed(options.embedding_dim), widths.out
        tokens = sum(axis.size for axis in widths.sparse.values())
        fan_in = sum(axis.size for axis in widths.dense.values()) + width.size * tokens
        of_dense, of_sparse = make.child("dense"), make.child("weight")
        self.dense = nn.ParameterDict(
            {
                name: of_dense(name, out, axis, init=xavier_uniform(Axis(fan_in, axis.limit), out))
                for name, axis in widths.dense.items()
            }
        )
        self.weight = nn.ParameterDict(
            {
                name: of_sparse(
                    name, out, width, axis,
                    init=xavier_uniform(Axis(fan_in, width.size * axis.limit), out),
                )
                for name, axis in widths.sparse.items()
            }
        )  # fmt: skip
        self.bias = None if options.normed else make("bias", out, init=constant(0))
        self.norm = norm_of(options, out, make) or nn.Identity()
        self.madds = fan_in * out.size

    def forward(self, x: Reading) -> Tensor:
        parts = [x.dense[name] for name in self.dense]
        parts += [x.sparse[name].flatten(1) for name in self.weight]
        slabs = [*self.dense.values(), *(slab.flatten(1) for slab in self.weight.values())]
        return F.relu(self.norm(joined.linear(parts, slabs, self.bias)))


@register
class ExtendedFC(Operator):
    """EFC: ReLU(LN(X_s W)) along the field axis: (B, E, Σ N) to (B, E, N_s)."""

    info = declared.EFC

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        self.project = Projection(
            widths.sparse, widths.out, of_tokens(options), make.child("project")
        )
        self.madds = self.project.madds * options.embedding_dim

    def forward(self, x: Reading) -> Tensor:
        return cast("Tensor", self.project(x.sparse, relu=True))


@register
class Attention(Operator):
    """Project the field axis to N_s tokens, then one Transformer encoder layer (post-norm).

    Q = K = V are the projected tokens; the feed-forward has width E and ReLU. The layer's linears
    always have a bias and its two LayerNorms always stay (released code).
    """

    info = declared.ATTENTION

    def __init__(self, widths: Widths, options: ModelOptions, make: Maker) -> None:
        super().__init__(widths, options, make)
        width, self.heads = Axis.fixed(options.embedding_dim), options.heads
        triple = Axis.fixed(3 * width.size)
        self.project = Projection(
            widths.sparse, widths.out, of_tokens(options), make.child("project")
        )

        def linear(name: str, out: Axis) -> Linear:
            return Linear({"x": width}, out, bias=True, make=make.child(name))

        self.qkv = linear("qkv", triple)
        self.mix = linear("mix", width)
        self.norm1 = LayerNorm(width, make.child("norm1"), options.attention_gain)
        self.up, self.down = linear("up", width), linear("down", width)
        self.norm2 = LayerNorm(width, make.child("norm2"), options.attention_gain)
        tokens, E = widths.out.size, width.size
        self.madds = self.project.madds * E + tokens * (6 * E * E + 2 * tokens * E)

    def forward(self, x: Reading) -> Tensor:
        x_BEN = self.project(x.sparse)
        if encoder.fits(x_BEN, self.heads):
            return encoder.encode(x_BEN, self.heads, self._weights())
        B, E, N = x_BEN.shape
        qkv = self.qkv.across(x_BEN).view(B, 3, self.heads, E // self.heads, N)
        mixed_BEN = attention(*qkv.unbind(1)).reshape(B, E, N)
        x_BNE = (x_BEN + self.mix.across(mixed_BEN)).transpose(1, 2).contiguous()
        x_BNE = self.norm1(x_BNE)
        x_BNE = self.norm2(x_BNE + self.down({"x": F.relu(self.up({"x": x_BNE}))}))
        y: Tensor = x_BNE.transpose(1, 2).contiguous()
        return y

    def _weights(self) -> list[Tensor]:
        """As `encoder.encode` takes them."""
        layers = (self.qkv, self.mix, self.norm1, self.up, self.down, self.norm2)
        found: list[Tensor | None] = []
        for layer in layers:
            found += [layer.weight["x"] if isinstance(layer, Linear) else layer.weight, layer.bias]
        return cast("list[Tensor]", found)
