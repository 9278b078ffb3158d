"""The ways of training and scoring that studies compare, by name."""

from __future__ import annotations

from typing import Any

from nasrec.errors import ConfigError, nearest
from nasrec.train import SUPERNET_RECIPES, SupernetConfig

PAPER = SUPERNET_RECIPES["paper"]


def _paper(**changes: Any) -> SupernetConfig:
    """The paper's training with some settings changed."""
    return PAPER.model_copy(update=changes)


#: Trainings of shared weights, by name.
SUPERNETS: dict[str, SupernetConfig] = SUPERNET_RECIPES | {
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
}

#: Comparisons that belong together; each is measured against its first.
GROUPS: dict[str, tuple[str, ...]] = {
    "strategies": ("paper", "single-single", "any-any"),
    "warmup": ("paper", "no-warmup"),
    "recipes": (
        "paper", "no-warmup", "fair", "calm", "calm-no-warmup", "slow", "fast", "small-batches",
        "sandwich",
    ),
}  # fmt: skip


def variants_named(names: str) -> dict[str, SupernetConfig]:
    """The variants of a list such as `strategies,no-warmup:4`, in its order.

    A number behind a colon is one of epochs, for all variants of a group.

    Raises:
        ConfigError: no such variant or group.
    """
    found: dict[str, SupernetConfig] = {}
    for part in names.split(","):
        name, _, epochs = part.strip().partition(":")
        if name not in SUPERNETS and name not in GROUPS:
            known = [*GROUPS, *SUPERNETS]
            raise ConfigError(
                f"there is no variant {name!r}", where="--variants", mend=nearest(name, known)
            )
        if epochs and not (epochs.isdecimal() and int(epochs)):
            raise ConfigError(
                f"{epochs!r} is no number of epochs",
                where=f"--variants {part.strip()}",
                mend=f"write {name}:4 for four epochs",
            )
        for one in GROUPS.get(name, (name,)):
            config = SUPERNETS[one]
            if epochs:
                found[f"{one}:{epochs}"] = config.model_copy(update={"epochs": int(epochs)})
            else:
                found[one] = config
    return found
