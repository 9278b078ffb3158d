"""What the columns of a click log are: the schema that every later stage goes by.

A schema is data. `infer_schema` (in `infer.py`) writes one by looking at a log, a person may
print it, edit the YAML file and pass it back, and nothing downstream ever asks for a data set's
name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nasrec.errors import DataError

Role = Literal["label", "dense", "categorical", "ignore"]
Transform = Literal["log1p", "standardize", "none"]

DEFAULT_MIN_COUNT = 2
"""Rows a value must be seen in to get an id of its own.

Two is the least count with a use: an id seen once teaches its embedding one label by heart and
helps no other row. And the ids seen once are what trains the "unknown" embedding, which every
value first met after training will use; with 1 that embedding would never be trained."""


class Column(BaseModel):
    """One column of the log.

    Args:
        name: its name in the header (or in the format, where the file has no header).
        role: `label` (0/1), `dense` (a number), `categorical` (an id) or `ignore`.
        transform: for `dense` only: `log1p` is log(1 + max(x, 0)), `standardize` takes off the
            mean of train and divides by its standard deviation, `none` leaves the number alone.
        min_count: for `categorical` only: rarer values share the unknown id.
        reason: why this role was chosen; for people, without effect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    role: Role
    transform: Transform | None = None
    min_count: int | None = Field(default=None, ge=1)
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = dict(values)
            if values.get("role") == "dense" and values.get("transform") is None:
                values["transform"] = "standardize"
            if values.get("role") == "categorical" and values.get("min_count") is None:
                values["min_count"] = DEFAULT_MIN_COUNT
        return values

    @model_validator(mode="after")
    def _options_fit_role(self) -> Self:
        if self.transform is not None and self.role != "dense":
            raise ValueError(f"column {self.name!r}: 'transform' is for dense columns only")
        if self.min_count is not None and self.role != "categorical":
            raise ValueError(f"column {self.name!r}: 'min_count' is for categorical columns only")
        return self


class Schema(BaseModel):
    """The columns of a log, in the order in which features are fed to models.

    Args:
        columns: exactly one label, at least one dense or categorical column, unique names.
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

    def revised(self, *, ignore: Iterable[str] = (), min_count: int | None = None) -> Schema:
        """The same schema with some columns ignored, or another `min_count` everywhere.

        Raises:
            DataError: a name in `ignore` is not a feature of this schema, or none would be left.
        """
        ignore = tuple(ignore)
        features = {column.name for column in self.columns if column.role != "label"}
        for name in ignore:
            if name not in features:
                raise DataError(
                    f"cannot ignore {name!r}: the schema has no such feature",
                    mend=f"choose from: {', '.join(sorted(features))}",
                )
        columns = []
        for column in self.columns:
            if column.name in ignore:
                column = Column(name=column.name, role="ignore", reason="ignored on request")
            elif column.role == "categorical" and min_count is not None:
                column = column.model_copy(update={"min_count": min_count})
            columns.append(column)
        if all(column.role in ("label", "ignore") for column in columns):
            raise DataError("every feature is ignored", mend="leave at least one column")
        return Schema(columns=tuple(columns), format=self.format)

    def describe(self) -> str:
        """A table for people: one line a column, with the reason for its role."""
        width = max(len(column.name) for column in self.columns)
        lines = []
        for column in self.columns:
            option = column.transform or (f"min {column.min_count}" if column.min_count else "")
            line = f"{column.name:<{width}}  {column.role:<11}  {option:<11}  {column.reason}"
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
