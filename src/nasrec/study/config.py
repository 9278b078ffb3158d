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
_CALM, _WHOLE = "calm", "whole"
_STEPS, _BATCH = 60, 512
_SCOPED = re.compile(r"(norms|all)(?::([1-9]\d*)(?:x([1-9]\d*))?(?:@(0?\.\d*[1-9]))?)?")


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
        others: further ways to score. `whole`: that recipe of `SCORE_RECIPES`, the default of a
            search; `calm`: the last FC at a rate that falls with its width; `norms` or `all`:
            fine-tune more than the last FC, 60 steps of 512 rows; `all:200`, `all:200x128`: in so
            many steps, of so many rows; `all:200@0.12`: its rate falls from 0.12 by a cosine.
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
            if name not in (_CALM, _WHOLE) and not _SCOPED.fullmatch(name):
                raise ValueError(f"{name!r} is none of whole, calm, norms, all, all:200x128")
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

    def _other(self, name: str) -> tuple[str, ScoreConfig]:
        if name == _CALM:
            return "calmly fine-tuned", self.scoring.model_copy(update={"head": "calm"})
        if name == _WHOLE:
            rows = {"valid_rows": self.scoring.valid_rows}
            return name, SCORE_RECIPES[name].model_copy(update=rows)
        scoped = _SCOPED.fullmatch(name)
        assert scoped is not None  # validated
        scope, steps, batch = scoped[1], int(scoped[2] or _STEPS), int(scoped[3] or _BATCH)
        changes: dict[str, Any] = {"scope": scope, "finetune_rows": None}
        changes |= {"finetune_steps": steps, "finetune_batch": batch}
        told = f"{scope} fine-tuned, {steps} x {batch}"
        if scoped[4]:
            changes |= {"learning_rate": float(scoped[4]), "schedule": "cosine"}
            told += f", from {float(scoped[4]):g}"
        return told, self.scoring.model_copy(update=changes)
