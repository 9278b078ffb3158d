"""The named protocols of a comparison: what every model is given, and why."""

from __future__ import annotations

from dataclasses import dataclass

from nasrec.config import MODEL
from nasrec.errors import ConfigError, nearest
from nasrec.nn import ModelOptions
from nasrec.train import TrainConfig
from nasrec.train.recipes import FROM_SCRATCH, RECIPES, Recipe


@dataclass(frozen=True)
class Protocol:
    """How every model of a comparison is made and trained; docs/compare.md has the reasons.

    Attributes:
        name: figures of different protocols may not be compared.
        model: before a recipe changes it.
        training: likewise.
        recipes: what each family of models tries.
        blends: whether several trainings of a family may be one model, as `SearchConfig.blend` has
            it.
        trials: trainings of each family unless told otherwise: its recipes, then other learning
            rates by the best of them, and of a search other architectures in turn with rates.
    """

    name: str
    model: ModelOptions
    training: TrainConfig
    recipes: tuple[Recipe, ...]
    trials: int
    blends: bool


#: The paper's: one pass, no regularisation, Adagrad at 0.12 with a cosine, no LayerNorm in what is
#: trained from scratch; the learning rate is what is tuned.
PAPER = Protocol(
    "paper",
    ModelOptions(layer_norm=False),
    TrainConfig(epochs=1, patience=None),
    (Recipe(name="paper"),),
    3,
    blends=False,
)

#: As leaderboards are made: passes until validation gets no better, calibration, the ways to
#: regularise that a search tries, and blends.
LEADERBOARD = Protocol("leaderboard", MODEL, FROM_SCRATCH, RECIPES, 7, blends=True)

PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, LEADERBOARD)}


def protocol_of(name: str) -> Protocol:
    """A protocol by name; ConfigError with the names there are."""
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}", mend=nearest(name, PROTOCOLS))
    return PROTOCOLS[name]
