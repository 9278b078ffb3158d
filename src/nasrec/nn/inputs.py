"""What a model is told of its data and its make: no data set's name, no search space."""

from __future__ import annotations

from dataclasses import dataclass

from nasrec.errors import ConfigError


@dataclass(frozen=True)
class Inputs:
    """The columns a model reads.

    Attributes:
        dense: number of numeric columns, 0 or more.
        vocabulary: for each categorical column its number of ids, the unknown id 0 included.
        slots: for each categorical column how many ids a row has room for: 1, or more where a
            column has several values; () where all have one.
        quantiles: for each numeric column values between which the training rows are about equally
            many, its least and greatest included, rising; () where nobody asked.
    """

    dense: int
    vocabulary: tuple[int, ...]
    slots: tuple[int, ...] = ()
    quantiles: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        object.__setattr__(self, "quantiles", tuple(map(tuple, self.quantiles)))
        slots = tuple(self.slots)
        object.__setattr__(self, "slots", () if set(slots) <= {1} else slots)
        wrong = self.quantiles and len(self.quantiles) != self.dense
        if self.dense < 0 or any(v < 1 for v in self.vocabulary) or wrong:
            raise ConfigError(f"columns cannot be counted: {self}")
        if self.slots and (len(slots) != len(self.vocabulary) or min(slots) < 1):
            raise ConfigError(f"every categorical column needs at least one slot: {self}")
        if not self.dense and not self.vocabulary:
            raise ConfigError(
                "a model needs at least one dense or categorical column",
                mend="give some column of the schema the role dense or categorical",
            )

    @property
    def sparse(self) -> int:
        """Number of categorical columns."""
        return len(self.vocabulary)


#: Options that are 1 or more.
COUNTS = (
    "embedding_dim", "heads", "merger_tokens", "cross_layers", "attention_layers",
    "attention_heads", "members",
)  # fmt: skip
#: Options of size that a comparison may be given: of hand-made models, and `members` of all.
SIZES = ("hidden", "cross_layers", "cin", "attention_layers", "attention_heads", "members")


@dataclass(frozen=True)
class ModelOptions:
    """How models are made, the same for every architecture that is compared.

    Attributes:
        embedding_dim: embedding width dim_s (paper: 16).
        heads: attention heads (released code: 8).
        merger_tokens: tokens K that a dense-to-sparse merger adds (released code: 8).
        layer_norm: LayerNorm in every operator. The paper's supernet has it, its final models
            do not.
        attention_gain: initial gain of the attention layer's two LayerNorms (released code: 0.17).
        batch_norm: BatchNorm (Ioffe and Szegedy, 2015) before the ReLU of every hidden layer of
            the hand-made models, and where LayerNorm would be in the dense branch of a NASRecNet
            that has none.
        embedding_std: standard deviation of new embeddings; None is Xavier normal for each table
            (released code), which gives the rows of a small table large vectors from the start.
        embedding_cap: most rows an embedding table may have; ids beyond are folded by modulo
            (paper: 500,000 during the search, none in the final training). None: no cap.
        hidden: widths of the hidden layers of the hand-made models.
        cross_layers: cross layers of DCN and DCN-V2 (papers: 1 to 6).
        cin: feature maps of each layer of xDeepFM's compressed interaction network (paper: up to
            three layers of 200, more than twenty times the multiply-adds of these).
        attention_layers: interacting layers of AutoInt and AutoInt+ (paper: 3).
        attention_heads: their heads, each 32 wide (paper: 2).
        first_order: a NASRecNet has a linear part beside its blocks, whose sum is one more feature
            of its last FC, as in Wide & Deep (Cheng et al., DLRS 2016). Not in the paper. Where
            rows are few most of what can be learned is linear, and the blocks learn it badly.
        bends: what is linear in a numeric column is piecewise linear, with bends at the quantiles
            that `Inputs` has. Not in the paper.
        click_rates: a model also reads how often rows of each id of a row were clicked, as a number
            (`nasrec.nn.rates`), where ids are not too many. Not in the paper.
        embedding_dropout: share of the embeddings' entries that a training step drops, at random
            and anew for each row (Srivastava et al., 2014); what is left is scaled up to make up
            for it. 0 in the paper. It keeps a network from learning rare ids by heart.
        dropout: the same for what each branch of a NASRecNet's blocks gives, and for every hidden
            layer of the hand-made models.
        members: a model is so many networks from different first weights, and its logit the mean of
            theirs (`nasrec.nn.Members`). Whoever builds one network alone leaves it aside: a search
            scores candidates by one.
    """

    embedding_dim: int = 16
    heads: int = 8
    merger_tokens: int = 8
    layer_norm: bool = True
    attention_gain: float = 0.17
    batch_norm: bool = False
    embedding_std: float | None = None
    embedding_cap: int | None = None
    hidden: tuple[int, ...] = (400, 400)
    cross_layers: int = 3
    cin: tuple[int, ...] = (32, 32, 32)
    attention_layers: int = 3
    attention_heads: int = 2
    first_order: bool = False
    bends: bool = False
    click_rates: bool = False
    embedding_dropout: float = 0.0
    dropout: float = 0.0
    members: int = 1

    @property
    def normed(self) -> bool:
        """Whether operators normalise what their linear maps give; these need no bias then."""
        return self.layer_norm or self.batch_norm

    def __post_init__(self) -> None:
        for name in ("hidden", "cin"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if any(width < 1 for width in getattr(self, name)):
                raise ConfigError(f"{name} has a layer of no width: {list(getattr(self, name))}")
        if not self.cin:
            raise ConfigError("cin needs at least one layer", mend="give its maps, such as [64]")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.embedding_dim % self.heads:
            raise ConfigError(
                f"embedding_dim {self.embedding_dim} is no multiple of heads {self.heads}",
                mend="choose a number of heads that divides the embedding width",
            )
        for name in ("embedding_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} {getattr(self, name)} is not a share",
                    mend="choose 0 or more, and less than 1",
                )
        if self.embedding_std is not None and not self.embedding_std > 0:
            raise ConfigError(f"embedding_std must be more than 0, not {self.embedding_std}")
        if self.embedding_cap is not None and self.embedding_cap < 1:
            raise ConfigError(f"embedding_cap must be at least 1, not {self.embedding_cap}")
