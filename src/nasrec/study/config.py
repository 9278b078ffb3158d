"""Sizes and settings of a study: what its ground truth depends on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nasrec.config import Space
from nasrec.nn import ModelOptions
from nasrec.search import ScoreConfig
from nasrec.space import NASREC_FULL_STUDY
from nasrec.study.statistics import FEWEST
from nasrec.train.config import Settings, TrainConfig

STEPS = 60
"""Of trainings that are cut short. At 512 rows 30,720 are trained on; the paper's 500 steps of a
last FC are, where no features are kept, as many forward passes as training on 85,000 rows."""
_SCOPES = {"norms": "norms fine-tuned", "all": "all fine-tuned"}


class StudyConfig(Settings):
    """What the ground truth of a study is; the defaults are the paper's (supplement 7.3).

    Attributes:
        seed: decides the subnets, and with each repeat's number its weights and order of rows.
        space: where the subnets are drawn; a name, a file, or a SearchSpace.
        subnets: how many.
        rows: most rows of each split; None takes all.
        seeds: repeats of every training, from scratch and of shared weights.
        model: how networks are made, alone and on shared weights; LayerNorm and tables of at most
            500,000 rows, as in the paper's supernet.
        training: from scratch.
        scoring: with shared weights; every variant is scored with and without its fine-tuning,
            and with a calm one.
        scopes: and with 60 steps of fine-tuning more than the last FC: `norms`, `all`.
    """

    seed: int = Field(default=0, ge=0)
    space: Space = NASREC_FULL_STUDY
    subnets: int = Field(default=100, ge=FEWEST)
    rows: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=2, ge=1)
    model: ModelOptions = ModelOptions(embedding_cap=500_000)
    training: TrainConfig = TrainConfig(batch_size=1024, patience=None)
    scoring: ScoreConfig = ScoreConfig()
    scopes: tuple[Literal["norms", "all"], ...] = ()

    @property
    def repeats(self) -> range:
        """The seeds of the repeats."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def scorings(self) -> dict[str, ScoreConfig]:
        """The ways to score a subnet, by name."""
        plain = self.scoring.model_copy(update={"finetune_steps": 0})
        calm = self.scoring.model_copy(update={"head": "calm"})
        found = {"as trained": plain, "fine-tuned": self.scoring, "calmly fine-tuned": calm}
        few = {"finetune_steps": STEPS, "finetune_rows": None}
        for scope in self.scopes:
            found[_SCOPES[scope]] = self.scoring.model_copy(update={"scope": scope, **few})
        return found
