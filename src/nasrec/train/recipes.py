"""Ways to train from scratch: what all have in common, and recipes for validation to choose."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pydantic import Field

from nasrec.nn import Inputs, ModelOptions
from nasrec.nn.rates import reads_rates
from nasrec.train.config import Settings, TrainConfig

#: Training from scratch, in a search and on a leaderboard: passes until validation gets no better,
#: then at a tenth of the rate, and an end after two evaluations in vain. How many passes a log
#: needs nobody knows beforehand, and a cosine has to be told; a log of tens of millions of rows
#: wants `epochs=1` and the cosine. Probabilities are calibrated on validation.
FROM_SCRATCH = TrainConfig(
    epochs=20, schedule="plateau", warmup_fraction=0.0, patience=2, calibrate=True
)


#: With fewer passes than these a rate that waits for validation never falls.
FEWEST_PASSES = 4


def in_passes(config: TrainConfig, epochs: int) -> TrainConfig:
    """The training in at most so many passes: by a cosine over them if a plateau cannot be met."""
    if config.schedule != "plateau" or epochs >= FEWEST_PASSES:
        return config.model_copy(update={"epochs": epochs})
    few = {"schedule": "cosine", "warmup_fraction": 0.1, "evaluations_per_epoch": 2}
    return config.model_copy(update={"epochs": epochs, **few})


class Recipe(Settings):
    """One way to train from scratch: what it changes of `SearchConfig.model` and `.retrain`.

    Which of them is right depends on the log more than on the model: where every row is nearly
    determined by its columns dropout only slows the learning down, and where ids are many and rows
    few nothing helps as much. So each family of models tries all recipes, and validation chooses.

    Attributes:
        name: in the names of trainings.
        layer_norm, batch_norm, click_rates, embedding_std, embedding_dropout, dropout: fields of
            `ModelOptions`; None leaves one as it is.
        optimizer, learning_rate, embedding_rows, embedding_l2: fields of `TrainConfig`, likewise.
        rate: factor on the learning rate.
        most_table_weights: it is left out where the embedding tables have more weights; None is
            never.
    """

    name: str = Field(min_length=1, pattern=r"^[a-z0-9-]+$")
    layer_norm: bool | None = None
    batch_norm: bool | None = None
    click_rates: bool | None = None
    embedding_std: float | None = Field(default=None, gt=0)
    embedding_dropout: float | None = Field(default=None, ge=0, lt=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    optimizer: Literal["adagrad", "adam"] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    embedding_rows: Literal["touched", "all"] | None = None
    embedding_l2: float | None = Field(default=None, ge=0)
    rate: float = Field(default=1.0, gt=0)
    most_table_weights: int | None = Field(default=None, ge=0)

    def suits(self, inputs: Inputs, options: ModelOptions) -> bool:
        """Whether tables for these columns are small enough for it, and there are ids to rate."""
        if self.click_rates and not reads_rates(inputs, self.model(options)):
            return False
        weights = sum(inputs.vocabulary) * options.embedding_dim
        return self.most_table_weights is None or weights <= self.most_table_weights

    def model(self, options: ModelOptions) -> ModelOptions:
        """How its networks are made."""
        return dataclasses.replace(
            options,
            **self._given(
                "layer_norm",
                "batch_norm",
                "click_rates",
                "embedding_std",
                "embedding_dropout",
                "dropout",
            ),
        )

    def training(self, config: TrainConfig) -> TrainConfig:
        """How they are trained."""
        rate = (self.learning_rate or config.learning_rate) * self.rate
        given = self._given("optimizer", "embedding_rows", "embedding_l2")
        return config.model_copy(update={"learning_rate": rate, **given})

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


#: The recipes that a search tries if it is not told others, most promising first. `click-rates`
#: gives networks the click rates of ids as numbers: where rows are few and ids many that is worth
#: more than anything else here, and where they are not it misleads. `small` is for networks with
#: products: Xavier gives the rows of small tables long first embeddings, whose products are logits
#: far from any click rate. `dropout` is for logs of many ids and few rows, and `adam`, with
#: BatchNorm and a little L2, is near what BARS (Zhu et al., SIGIR 2022) has on Criteo and Avazu.
#: `bars`, with much L2 on all rows of the embeddings, is what it has on Frappe; its steps go
#: through whole tables, so it is for small ones.
RECIPES = (
    Recipe(name="plain"),
    Recipe(name="click-rates", click_rates=True),
    Recipe(name="small", embedding_std=0.01),
    Recipe(name="dropout", embedding_std=0.01, embedding_dropout=0.3, dropout=0.3),
    Recipe(
        name="adam", optimizer="adam", learning_rate=1e-3, batch_norm=True, dropout=0.2,
        embedding_std=1e-4, embedding_l2=1e-5,
    ),
    Recipe(
        name="bars", optimizer="adam", learning_rate=1e-3, batch_norm=True, dropout=0.2,
        embedding_std=1e-4, embedding_rows="all", embedding_l2=0.05,
        most_table_weights=1_000_000,
    ),
)  # fmt: skip

#: Tried in this order where a family's first network learns nothing by any recipe, until it does: a
#: large network without LayerNorm diverges at a high rate, and a search, which may have had time
#: for that recipe alone, shall not end without a model.
STEADY = (
    Recipe(name="steady", layer_norm=True, rate=0.5),
    Recipe(name="steadier", layer_norm=True, rate=0.1),
)
