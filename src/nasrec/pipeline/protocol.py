"""The named protocols of a comparison: what every model is given, and why."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from nasrec.config import Recipe
from nasrec.errors import ConfigError
from nasrec.nn import ModelOptions
from nasrec.train import TrainConfig


@dataclass(frozen=True)
class Protocol:
    """How every model of a comparison is made and trained; docs/compare.md has the reasons.

    Attributes:
        name: figures of different protocols may not be compared.
        model: before a recipe changes it.
        training: likewise.
        recipes: what each family of models tries.
        trials: trainings of each family unless told otherwise: its recipes, then other learning
            rates, or other architectures, by the best of them.
    """

    name: str
    model: ModelOptions
    training: TrainConfig
    recipes: tuple[Recipe, ...]
    trials: int


#: The paper's: one pass, no regularisation, Adagrad at 0.12 with a cosine, no LayerNorm in what is
#: trained from scratch; the learning rate is what is tuned.
PAPER = Protocol(
    "paper",
    ModelOptions(layer_norm=False),
    TrainConfig(epochs=1, patience=None),
    (Recipe(name="paper"),),
    3,
)

#: As leaderboards are made: passes until validation gets no better, and ways to regularise.
#: `small` is for the factorization machines: their products of large first embeddings, which
#: Xavier gives the rows of small tables, begin with logits far from any click rate. `bars` is what
#: won on BARS's Frappe: Adam, BatchNorm, much L2 on small first embeddings; `adam` the same with as
#: little L2 as BARS has on Criteo and Avazu, where ids are many.
LEADERBOARD = Protocol(
    "leaderboard",
    ModelOptions(layer_norm=False),
    TrainConfig(
        epochs=20, batch_size=1024, schedule="plateau", warmup_fraction=0.0, patience=2
    ),
    (
        Recipe(name="plain"),
        Recipe(name="small", embedding_std=0.01),
        Recipe(name="dropout", embedding_std=0.01, embedding_dropout=0.3, dropout=0.3),
        Recipe(
            name="bars", optimizer="adam", learning_rate=1e-3, batch_norm=True, dropout=0.2,
            embedding_std=1e-4, embedding_rows="all", embedding_l2=0.05,
        ),
        Recipe(
            name="adam", optimizer="adam", learning_rate=1e-3, batch_norm=True, dropout=0.2,
            embedding_std=1e-4, embedding_l2=1e-5,
        ),
    ),
    6,
)  # fmt: skip

PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, LEADERBOARD)}


def protocol_of(name: str) -> Protocol:
    """A protocol by name; ConfigError with the names there are."""
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, n=1) or list(PROTOCOLS)
        raise ConfigError(f"unknown protocol {name!r}", mend=f"did you mean {' or '.join(near)}?")
    return PROTOCOLS[name]
