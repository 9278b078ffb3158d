"""Sizes and settings of a study: what its ground truth depends on, and how subnets are scored."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from nasrec.config import Space
from nasrec.nn import ModelOptions
from nasrec.search import SCORE_RECIPES, ScoreConfig
from nasrec.space import NASREC_FULL_STUDY
from nasrec.study.statistics import FEWEST
from nasrec.train.config import Settings, TrainConfig

AS_TRAINED, FINE_TUNED = "as trained", "fine-tuned"
_CHANGED: dict[str, dict[str, Any]] = {"calm": {"head": "calm"}, "calibrated": {"calibrate": True}}
_STEPS, _BATCH = 60, 512
_SIZED = re.compile(
    r"(norms|all|whole|scratch)(?::([1-9]\d*)(?:x([1-9]\d*))?(?:@(0?\.\d*[1-9]))?)?"
)


class StudyConfig(Settings):
    """What the ground truth of a study is; the defaults are the paper's (supplement 7.3).

    Attributes:
        seed: decides the subnets, and with each repeat's number its weights and order of rows.
        space: where the subnets are drawn; a name, a file, or a SearchSpace.
        subnets: how many.
        rows: most rows of each split; None takes all.
        seeds: repeats of every training, from scratch and of shared weights.
        repeated: of the subnets, so many are trained from scratch with every seed, the others with
            the first; None is all. How well the truth repeats can be told by some.
        supernets: repeats of every supernet; None is `seeds`.
        model: how networks are made, alone and on shared weights; LayerNorm and tables of at most
            500,000 rows, as in the paper's supernet.
        training: from scratch.
        scoring: with shared weights; every variant is scored with and without its fine-tuning.
        others: further ways to score. `whole`, `scratch`: those recipes of `SCORE_RECIPES`, the
            latter without a supernet; `calm`: the last FC at a rate that falls with its width;
            `calibrated`: `scoring`, calibrated; `norms` or `all`: fine-tune more than the last FC,
            60 steps of 512 rows; `whole:200`, `all:200x128`: in so many steps, of so many rows;
            `all:200@0.12`: its rate falls from 0.12 by a cosine.
    """

    seed: int = Field(default=0, ge=0)
    space: Space = NASREC_FULL_STUDY
    subnets: int = Field(default=100, ge=FEWEST)
    rows: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=2, ge=1)
    repeated: int | None = Field(default=None, ge=FEWEST)
    supernets: int | None = Field(default=None, ge=1)
    model: ModelOptions = ModelOptions(embedding_cap=500_000)
    training: TrainConfig = TrainConfig(batch_size=1024, patience=None)
    scoring: ScoreConfig = ScoreConfig()
    others: tuple[str, ...] = ()

    @field_validator("others")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in _CHANGED and not _SIZED.fullmatch(name):
                known = "whole, scratch, calibrated, calm, norms, all, all:200x128"
                raise ValueError(f"{name!r} is none of {known}")
        return names

    @property
    def repeats(self) -> range:
        """The seeds of the repeats."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def supernet_seeds(self) -> range:
        """The seeds of supernets and of what is compared with them."""
        return range(self.seed, self.seed + (self.supernets or self.seeds))

    @property
    def scorings(self) -> dict[str, ScoreConfig]:
        """The ways to score a subnet, by name."""
        plain = self.scoring.model_copy(update={"finetune_steps": 0})
        found = {AS_TRAINED: plain, FINE_TUNED: self.scoring}
        return found | dict(self._other(name) for name in self.others)

    def scorings_with(self, supernet: bool) -> dict[str, ScoreConfig]:
        """Those that need a trained supernet, or those that need none."""
        return {
            name: scoring
            for name, scoring in self.scorings.items()
            if (scoring.start == "supernet") == supernet
        }

    def _other(self, name: str) -> tuple[str, ScoreConfig]:
        if name in _CHANGED:
            how = {"calm": "calmly fine-tuned", "calibrated": "fine-tuned, calibrated"}[name]
            return how, self.scoring.model_copy(update=_CHANGED[name])
        sized = _SIZED.fullmatch(name)
        assert sized is not None  # validated
        kind, recipe = sized[1], SCORE_RECIPES.get(sized[1])
        changes: dict[str, Any] = {"valid_rows": self.scoring.valid_rows}
        if recipe is None:
            recipe = ScoreConfig(finetune_steps=_STEPS, finetune_batch=_BATCH)
            changes["scope"] = kind
        if sized[2]:
            changes |= {"finetune_steps": int(sized[2]), "finetune_batch": int(sized[3] or _BATCH)}
        if sized[4]:
            changes |= {"learning_rate": float(sized[4]), "schedule": "cosine"}
        found = recipe.model_copy(update=changes)
        if name in SCORE_RECIPES:
            return name, found
        told = kind if kind in SCORE_RECIPES else f"{kind} fine-tuned"
        told += f", {found.finetune_steps} x {found.finetune_batch}"
        return told + (f", from {float(sized[4]):g}" if sized[4] else ""), found
