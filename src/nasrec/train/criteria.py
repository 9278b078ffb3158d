"""Which measure decides between models: the criterion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from nasrec.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nasrec.data import Split


@dataclass(frozen=True)
class Criterion:
    """One measure of quality.

    Attributes:
        name: as settings and commands take it.
        field: of `Metrics` and `Score`, and in records.
        title: as tables call it.
        rises: whether more is better.
    """

    name: str
    field: str
    title: str
    rises: bool = False

    def loss(self, measured: Any) -> float:
        """To sort by, less is better: infinite where the measure is not a number.

        Args:
            measured: has the attribute `field`, as `Metrics` and `Score` have.
        """
        return self.loss_of(getattr(measured, self.field))

    def loss_of(self, value: float | None) -> float:
        """The same of a value as records have it: None where it is not a number."""
        if value is None or not math.isfinite(value):
            return math.inf
        return -value if self.rises else value

    def require(self, rows: Split) -> None:
        """ConfigError unless this can be measured on rows like these."""
        if self.field == "grouped_auc" and not rows.layout.grouped:
            raise ConfigError(
                f"the criterion {self.name} needs rows that belong to groups, and these have none",
                where=f"{rows.name} rows",
                mend="give a column (a user, a session) the role group in the schema and prepare "
                "the log with it, or choose another criterion",
            )


CRITERIA = {
    criterion.name: criterion
    for criterion in (
        Criterion("logloss", "logloss", "log loss"),
        Criterion("auc", "auc", "AUC", rises=True),
        Criterion("grouped-auc", "grouped_auc", "grouped AUC", rises=True),
        Criterion("normalized-entropy", "normalized_entropy", "normalised entropy"),
    )
}


def _known(name: str) -> str:
    if name not in CRITERIA:
        raise ConfigError(f"there is no criterion {name!r}", mend=nearest(name, CRITERIA))
    return name


CriterionName = Annotated[str, AfterValidator(_known)]
"""A name in `CRITERIA`, as a field of settings."""
