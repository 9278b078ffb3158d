"""The ways of training and scoring that studies compare, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from nasrec.data import Split
from nasrec.errors import ConfigError, nearest
from nasrec.pipeline.data import some_rows
from nasrec.study.config import StudyConfig
from nasrec.train import SUPERNET_RECIPES, SupernetConfig


class Variant(SupernetConfig):
    """A way to train shared weights in a study.

    Attributes:
        share: of the training rows, drawn by the seed.
        trained: or there is no supernet, and a candidate is scored by steps from scratch.
    """

    share: float = Field(default=1.0, gt=0, le=1)
    trained: bool = True

    def rows_of(self, train: Split, seed: int) -> Split:
        """The rows that it is trained on."""
        return some_rows(train, max(1, round(self.share * len(train))), seed)


def _paper(**changes: Any) -> Variant:
    """The paper's training with some settings changed."""
    return Variant(**SUPERNET_RECIPES["paper"].model_dump() | changes)


#: Where there is no supernet.
NONE = "no-supernet"

#: Trainings of shared weights, by name.
SUPERNETS: dict[str, Variant] = {
    "paper": _paper(),
    "single-single": _paper(strategy="single-single"),
    "any-any": _paper(strategy="any-any"),
    "no-warmup": _paper(path_warmup_fraction=0.0),
    "calm": _paper(head="calm"),
    "calm-no-warmup": _paper(head="calm", path_warmup_fraction=0.0),
    "fair": _paper(path_warmup_fraction=0.0, fair=True),
    "slow": _paper(learning_rate=0.04),
    "fast": _paper(learning_rate=0.36),
    "small-batches": _paper(batch_size=128),
    "sandwich": _paper(head="calm", path_warmup_fraction=0.0, sandwich=True),
    "short-warmup": _paper(path_warmup_fraction=0.05),
    NONE: _paper(trained=False),
}

#: Comparisons that belong together; each is measured against its first.
GROUPS: dict[str, tuple[str, ...]] = {
    "strategies": ("paper", "single-single", "any-any"),
    "warmup": ("paper", "short-warmup", "no-warmup"),
    "recipes": (
        "paper", "no-warmup", "fair", "calm", "calm-no-warmup", "slow", "fast", "small-batches",
        "sandwich",
    ),
}  # fmt: skip


def variants_named(names: str) -> dict[str, Variant]:
    """The variants of a list such as `strategies,no-warmup:4,paper:0.2`, in its order.

    A number behind a colon is one of epochs, or below one the share of the training rows that one
    epoch goes through; for all variants of a group.

    Raises:
        ConfigError: no such variant or group.
    """
    found: dict[str, Variant] = {}
    for part in names.split(","):
        name, _, epochs = part.strip().partition(":")
        if name not in SUPERNETS and name not in GROUPS:
            known = [*GROUPS, *SUPERNETS]
            raise ConfigError(
                f"there is no variant {name!r}", where="--variants", mend=nearest(name, known)
            )
        changes = _length(epochs)
        if changes is None:
            raise ConfigError(
                f"{epochs!r} is no number of epochs",
                where=f"--variants {part.strip()}",
                mend=f"write {name}:4 for four epochs, {name}:0.2 for a fifth of the rows",
            )
        for one in GROUPS.get(name, (name,)):
            told = f"{one}:{epochs}" if epochs else one
            found[told] = SUPERNETS[one].model_copy(update=changes)
    return found


def _length(told: str) -> dict[str, Any] | None:
    """The settings that `4`, `0.2` or nothing stands for; None if it is neither."""
    if not told:
        return {}
    if told.isdecimal() and int(told):
        return {"epochs": int(told)}
    try:
        share = float(told)
    except ValueError:
        return None
    return {"share": share} if 0 < share < 1 else None


def with_none(variants: Mapping[str, Variant], config: StudyConfig) -> dict[str, Variant]:
    """The variants, and that without a supernet where the study has scores that need none."""
    alone = {NONE: SUPERNETS[NONE]} if config.scorings_with(supernet=False) else {}
    return {**variants, **alone}
