"""What the columns of a click log are: the schema that every later stage goes by.

A schema is data. `infer_schema` (in `infer.py`) writes one by looking at a log, a person may
print it, edit the YAML file and pass it back, and nothing downstream ever asks for a data set's
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nasrec.errors import DataError, nearest

Role = Literal["label", "dense", "categorical", "timestamp", "group", "weight", "ignore"]
Transform = Literal["log1p", "standardize", "none"]
HashAs = Literal["text", "decimal", "hex"]

SINGLE: tuple[Role, ...] = ("timestamp", "group", "weight")
"""Roles that at most one column has."""
CATEGORICAL_OPTIONS = ("min_count", "cap", "hash_size", "hash_as", "separator", "max_values")
DEFAULT_MAX_VALUES = 8
"""Slots of a multi-valued column; of a longer list the first values are used."""

DEFAULT_MIN_COUNT = 2
"""Rows a value must be seen in to get an id of its own.

Two is the least count with a use: an id seen once teaches its embedding one label by heart and
helps no other row. And the ids seen once are what trains the "unknown" embedding, which every
value first met after training will use; with 1 that embedding would never be trained."""


class Column(BaseModel):
    """One column of the log.

    Args:
        name: its name in the header (or in the format, where the file has no header).
        role: `label` (0/1), `dense` (a number), `categorical` (an id, or several), `timestamp`
            (when the row happened), `group` (whose row it is: a user, a session), `weight` (how
            much the row counts) or `ignore`. The time and the group are not features: they are
            for splits and metrics.
        transform: for `dense`: `log1p` is log(1 + max(x, 0)), `standardize` takes off the mean
            of train and divides by its standard deviation, `none` leaves the number alone.
        min_count: for `categorical`: values seen in fewer rows of train share the unknown id.
        cap: for `categorical`: at most so many values get an id of their own, the most frequent.
        hash_size: for `categorical`: no vocabulary; a value's id is 1 + its hash modulo
            (hash_size - 1), and 0 if it is missing. Excludes `min_count` and `cap`.
        hash_as: what the hash of a value is: `text` a stable hash of its characters, `decimal`
            or `hex` the integer that it spells (what spells none is hashed as text).
        separator: for `categorical`: the text between the values of a multi-valued column.
            Columns of lists (Parquet) are multi-valued without it.
        max_values: for multi-valued columns: slots; of a longer list the first values are used.
        reason: why this role was chosen; for people, without effect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    role: Role
    transform: Transform | None = None
    min_count: int | None = Field(default=None, ge=1)
    cap: int | None = Field(default=None, ge=1)
    hash_size: int | None = Field(default=None, ge=2, le=2**31 - 1)  # ids are int32
    hash_as: HashAs | None = None
    separator: str | None = Field(default=None, min_length=1)
    max_values: int | None = Field(default=None, ge=1)
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)

        def default(name: str, value: Any) -> None:
            if values.get(name) is None:
                values[name] = value

        if values.get("role") == "dense":
            default("transform", "standardize")
        if values.get("role") == "categorical":
            if values.get("hash_size") is None:
                default("min_count", DEFAULT_MIN_COUNT)
            else:
                default("hash_as", "text")
            if values.get("separator") is not None:
                default("max_values", DEFAULT_MAX_VALUES)
        return values

    @model_validator(mode="after")
    def _options_fit_role(self) -> Self:
        if self.transform is not None and self.role != "dense":
            raise ValueError(f"column {self.name!r}: 'transform' is for dense columns only")
        for option in CATEGORICAL_OPTIONS:
            if getattr(self, option) is not None and self.role != "categorical":
                raise ValueError(
                    f"column {self.name!r}: {option!r} is for categorical columns only"
                )
        if self.hash_size is not None:
            for option in ("min_count", "cap"):
                if getattr(self, option) is not None:
                    raise ValueError(
                        f"column {self.name!r}: {option!r} is for a vocabulary, and 'hash_size' "
                        "makes none"
                    )
        elif self.hash_as is not None:
            raise ValueError(f"column {self.name!r}: 'hash_as' needs a 'hash_size'")
        return self

    @property
    def multi_valued(self) -> bool:
        """Whether a row may have several values."""
        return self.max_values is not None

    @property
    def slots(self) -> int:
        """How many ids a row has: 1, or `max_values`."""
        return self.max_values or 1

    def options(self) -> str:
        """The options in words, for people."""
        named = {
            "min": self.min_count,
            "cap": self.cap,
            "hash": self.hash_size,
            "values": self.max_values,
        }
        words = [f"{name} {value}" for name, value in named.items() if value is not None]
        return ", ".join([self.transform] if self.transform else words)


def named(name: str, role: Role) -> Column:
    """A column whose role the user has named."""
    return Column(name=name, role=role, reason=f"named as the {role}")


class Schema(BaseModel):
    """The columns of a log, in the order in which features are fed to models.

    Args:
        columns: exactly one label, at least one dense or categorical column, at most one time
            stamp, group and weight, unique names.
        format: the named format to read the log with; None goes by the file's extension.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]
    format: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns named more than once: {', '.join(twice)}")
        labels = [column.name for column in self.columns if column.role == "label"]
        if len(labels) != 1:
            raise ValueError(f"exactly one column must have the role 'label', got {labels}")
        for role in SINGLE:
            found = [column.name for column in self.columns if column.role == role]
            if len(found) > 1:
                raise ValueError(f"at most one column may have the role {role!r}, got {found}")
        if not self.dense and not self.categorical:
            raise ValueError("no column is dense or categorical: there is nothing to learn from")
        return self

    @property
    def label(self) -> str:
        """Name of the label column."""
        return next(column.name for column in self.columns if column.role == "label")

    @property
    def dense(self) -> tuple[Column, ...]:
        """The numeric columns, in order."""
        return tuple(column for column in self.columns if column.role == "dense")

    @property
    def categorical(self) -> tuple[Column, ...]:
        """The categorical columns, in order."""
        return tuple(column for column in self.columns if column.role == "categorical")

    @property
    def timestamp(self) -> Column | None:
        """The column that says when a row happened."""
        return self._single("timestamp")

    @property
    def group(self) -> Column | None:
        """The column that says whose row it is."""
        return self._single("group")

    @property
    def weight(self) -> Column | None:
        """The column that says how much a row counts."""
        return self._single("weight")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, all but the ignored ones."""
        return tuple(column.name for column in self.columns if column.role != "ignore")

    @property
    def slots(self) -> tuple[int, ...]:
        """The number of ids in a row of each categorical column."""
        return tuple(column.slots for column in self.categorical)

    def _single(self, role: Role) -> Column | None:
        return next((column for column in self.columns if column.role == role), None)

    def revised(
        self,
        *,
        ignore: Iterable[str] = (),
        roles: Mapping[str, Role] | None = None,
        min_count: int | None = None,
    ) -> Schema:
        """The same schema with some columns ignored or in another role (a column that had it is
        ignored), or another `min_count` in each vocabulary.

        Raises:
            DataError: a name in `ignore` or `roles` is not a feature of this schema, or none would
                be left.
        """
        ignore, roles = tuple(ignore), roles or {}
        features = {column.name for column in self.columns if column.role != "label"}
        for name in (*ignore, *roles):
            if name not in features:
                what = f"take {name!r} as {roles[name]}" if name in roles else f"ignore {name!r}"
                raise DataError(
                    f"cannot {what}: the schema has no such feature",
                    mend=nearest(name, sorted(features)),
                )
        columns = []
        for column in self.columns:
            if column.name in ignore:
                column = Column(name=column.name, role="ignore", reason="ignored on request")
            elif column.name in roles:
                column = named(column.name, roles[column.name])
            elif column.role in roles.values():
                column = Column(name=column.name, role="ignore", reason=f"a second {column.role}")
            elif column.min_count is not None and min_count is not None:
                column = column.model_copy(update={"min_count": min_count})
            columns.append(column)
        if not any(column.role in ("dense", "categorical") for column in columns):
            raise DataError("every feature is ignored", mend="leave at least one column")
        return Schema(columns=tuple(columns), format=self.format)

    def describe(self) -> str:
        """A table for people: one line a column, with the reason for its role."""
        width = max(len(column.name) for column in self.columns)
        room = max(11, *(len(column.options()) for column in self.columns))
        lines = []
        for column in self.columns:
            option = f"{column.options():<{room}}"
            line = f"{column.name:<{width}}  {column.role:<11}  {option}  {column.reason}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the schema as a YAML file that can be edited and loaded again."""
        content = self.model_dump(exclude_none=True)
        content["columns"] = list(content["columns"])
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        Path(path).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read a schema from a YAML file.

        Raises:
            DataError: the file is missing, is not YAML, or is not a valid schema.
        """
        path = Path(path)
        mend = "compare it with the schema.yaml of a prepared folder"
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"cannot read the schema: {error.strerror}", where=str(path), mend="check the path"
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(
                f"the schema is not YAML: {error}", where=str(path), mend=mend
            ) from error
        if not isinstance(content, dict):
            raise DataError("the schema is not a mapping", where=str(path), mend=mend)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}".lstrip(": ")
                for fault in error.errors()
            )
            raise DataError(f"not a valid schema: {faults}", where=str(path), mend=mend) from error
