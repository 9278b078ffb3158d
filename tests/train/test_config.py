from __future__ import annotations

import pytest
from pydantic import Field

from nasrec.errors import ConfigError
from nasrec.train import Settings, SupernetConfig, TrainConfig


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"epochs": 0}, ["TrainConfig", "epochs = 0", "greater than or equal to 1"]),
        ({"learning_rate": -1.0}, ["learning_rate = -1.0", "greater than 0"]),
        ({"learning_rate": float("nan")}, ["learning_rate", "finite"]),
        ({"optimizer": "sgd"}, ["optimizer = 'sgd'", "'adagrad' or 'adam'"]),
        ({"learning_rte": 1.0}, ["'learning_rte'", "did you mean 'learning_rate'"]),
        ({"zzz": 1.0}, ["'zzz'", "choose from: epochs, batch_size"]),
        ({"warmup_fraction": 1.0}, ["warmup_fraction = 1.0", "less than 1"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_range(settings, parts) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**settings)
    for part in parts:
        assert part in str(caught.value)


def test_settings_are_frozen_and_survive_json() -> None:
    config = SupernetConfig(epochs=2)
    with pytest.raises(Exception, match="frozen"):
        config.epochs = 3  # type: ignore[misc]
    assert SupernetConfig.model_validate_json(config.model_dump_json()) == config


def test_nested_and_parsed_settings_raise_the_same_error() -> None:
    class Whole(Settings):
        train: TrainConfig = Field(default_factory=TrainConfig)

    for build in (
        lambda: Whole(train={"epochs": 0}),
        lambda: Whole.model_validate({"train": {"epochs": 0}}),
    ):
        with pytest.raises(ConfigError, match="epochs = 0"):
            build()
