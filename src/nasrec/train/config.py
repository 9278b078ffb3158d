"""Settings of training: frozen, validated, each with its source."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nasrec.errors import ConfigError, nearest
from nasrec.train.criteria import CriterionName
from nasrec.train.device import PATTERN


def config_error(error: ValidationError, known: type[BaseModel]) -> ConfigError:
    """The first fault pydantic found, as a ConfigError that names setting, value and range."""
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"]) or known.__name__
    if fault["type"] == "extra_forbidden":
        mend = nearest(name, known.model_fields)
        return ConfigError(f"there is no setting {name!r}", where=known.__name__, mend=mend)
    message = fault["msg"].removeprefix("Value error, ")
    return ConfigError(
        f"{name} = {fault['input']!r} is not valid",
        where=known.__name__,
        mend=message[:1].lower() + message[1:],
    )


class Settings(BaseModel):
    """Base of all settings: frozen, unknown names refused, faults told as `ConfigError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # With an __init__ of its own, pydantic comes here for nested and parsed settings too.
    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise config_error(error, type(self)) from None


class LoopConfig(Settings):
    """What every training has: the released code's optimisation (method.md, section 4).

    Attributes:
        epochs: passes over the training rows; 1 in the paper, more overfit the embeddings.
        batch_size: rows a step; 512 (released code, Criteo and Avazu).
        optimizer: Adagrad in the paper; Adam is there for the baselines.
        learning_rate: the schedule's peak; 0.12 with Adagrad (paper). Adam wants about 0.001.
        eps: added to the optimiser's denominator; None is 1e-2 for Adagrad (released code; torch's
            1e-10 makes the first steps of every embedding row full-sized) and 1e-8 for Adam.
        schedule: cosine to ~0 after a linear warm-up (paper), or constant after the warm-up.
        warmup_fraction: share of the steps in which the rate rises from 0; 0.1 (released code).
        clip_norm: largest global gradient norm, embeddings included; 5.0 (released code). None
            does not clip.
        embedding_rows: which rows of the embeddings a step updates: those its batch has `touched`,
            so that a step costs the same whatever the vocabulary; or `all`, as frameworks do that
            keep dense gradients (BARS). With Adagrad and no L2 both are the same. Adam's moments
            move a row on in the steps that do not touch it, and L2 decays rare rows as fast as
            frequent ones: better on logs of few ids (docs/published.md), slow with millions.
        embedding_l2: L2 on those rows; 0 (paper).
        weight_decay: L2 on all other weights; 0 (paper).
    """

    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=512, ge=1)
    optimizer: Literal["adagrad", "adam"] = "adagrad"
    learning_rate: float = Field(default=0.12, gt=0)
    eps: float | None = Field(default=None, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float | None = Field(default=5.0, gt=0)
    embedding_rows: Literal["touched", "all"] = "touched"
    embedding_l2: float = Field(default=0.0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)


class TrainConfig(LoopConfig):
    """Training of one network from scratch (method.md, section 7).

    Attributes:
        schedule: also `plateau`: constant, and multiplied by `plateau_factor` after every
            evaluation that was no new best (BARS). Fit for a number of epochs that nobody knows
            beforehand, where a cosine must be told when to end.
        plateau_factor: 0.1 (BARS). The rate never falls below a thousandth of its peak.
        evaluations_per_epoch: how often validation is measured in an epoch, evenly spaced.
        patience: stop after this many evaluations in a row without a new best of the validation
            criterion; None never stops early. The best evaluation's weights are kept either way.
        criterion: what best means: log loss (paper), or another of `nasrec.train.CRITERIA`.
        calibrate: fit a slope and an intercept of the logit to the validation rows, measure each
            evaluation with them, and keep the best one's with its weights
            (`nasrec.train.platt.calibrated`). Not in the paper. Otherwise a training ends when the
            network grows too sure of itself, which may be long before it ranks best.
        device: where it is trained: `cpu`, `cuda` or `cuda:1`.
    """

    schedule: Literal["cosine", "constant", "plateau"] = "cosine"  # type: ignore[assignment]
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    evaluations_per_epoch: int = Field(default=1, ge=1)
    patience: int | None = Field(default=2, ge=1)
    criterion: CriterionName = "logloss"
    calibrate: bool = False
    device: str = Field(default="cpu", pattern=PATTERN)


class SupernetConfig(LoopConfig):
    """Training of the shared weights (method.md, section 4).

    Attributes:
        strategy: how a step's subnet is drawn: `single-single`, `any-any`, or the paper's
            `single-any` (one operator a branch, any connections).
        path_warmup_fraction: share of the steps in which the full supernet is trained with a
            probability falling from 1 to 0; one fifth (paper).
        fair: deal the operators, so that all are trained equally often: see
            `nasrec.space.PathSampler`.
        head: how the last FC is trained. `plain`: as all other weights (paper). `calm`: from zero,
            with the log odds of the click rate as its bias, at a rate that falls with its width
            (`nasrec.train.calm`).
        sandwich: train three subnets on each mini-batch and sum their gradients: a sampled path at
            its largest widths, which learns from the labels, the same path at its smallest and
            another sample, which learn from the first one's probabilities (Yu et al., BigNAS,
            ECCV 2020). A step costs about four times as much.
    """

    strategy: str = "single-any"
    path_warmup_fraction: float = Field(default=0.2, ge=0, le=1)
    fair: bool = False
    head: Literal["plain", "calm"] = "plain"
    sandwich: bool = False


#: Ways to train the shared weights, by name; `paper` is the paper's with the released code's sizes.
SUPERNET_RECIPES: dict[str, SupernetConfig] = {"paper": SupernetConfig()}
