"""A search space as data: what each block may choose, and how choices are drawn and changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from nasrec.errors import SpaceError
from nasrec.space import counting, drawing
from nasrec.space.architecture import Architecture
from nasrec.space.operators import operator_info
from nasrec.space.sets import COUNT_RULES, CountRule


@dataclass(frozen=True)
class SearchSpace:
    """What a search may choose from (paper section 3).

    Attributes:
        name: for messages and reports.
        dense_ops: names of the dense branch's operators (`nasrec.space.operators`).
        sparse_ops: the same for the sparse branch.
        dense_dims: widths dim_d of a block's dense output.
        sparse_dims: numbers N_s of tokens of a block's sparse output.
        blocks: number N of choice blocks.
        max_ops_per_branch: most operators in one branch; 1 is exactly one, None any number.
        max_connections: most sources of one concatenated input; None is any number.
        connection_count: how many sources `sample` connects. `subsets`: every allowed set is
            equally likely. `binomial`: 1 + Binomial(m - 1, 0.5), m being the most that are
            possible, as in the authors' code. `uniform`: every number from 1 to m equally likely.
    """

    name: str
    dense_ops: tuple[str, ...]
    sparse_ops: tuple[str, ...]
    dense_dims: tuple[int, ...]
    sparse_dims: tuple[int, ...]
    blocks: int = 7
    max_ops_per_branch: int | None = 1
    max_connections: int | None = None
    connection_count: CountRule = "subsets"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpaceError(f"name must be a non-empty text, not {self.name!r}", where="space")
        for field in ("dense_ops", "sparse_ops"):
            ops = self._list(field)
            for op in ops:
                if not isinstance(op, str):
                    raise self._fault(field, f"holds {op!r}", "give operators by name, quoted")
                try:
                    branch = operator_info(op).branch
                except SpaceError as error:
                    raise self._fault(
                        field,
                        f"holds the unknown operator {op!r}",
                        f"{error.mend}, or declare your own before (nasrec.space.operators)",
                    ) from None
                if field != f"{branch}_ops":
                    raise self._fault(field, f"holds {op!r}", f"move it to {branch}_ops")
        for field in ("dense_dims", "sparse_dims"):
            for dim in self._list(field):
                self._positive(field, dim, "holds ")
        self._positive("blocks", self.blocks)
        for field in ("max_ops_per_branch", "max_connections"):
            if getattr(self, field) is not None:
                self._positive(field, getattr(self, field), or_none=True)
        if self.connection_count not in COUNT_RULES:
            raise self._fault(
                "connection_count",
                f"is {self.connection_count!r}",
                f"use one of {', '.join(COUNT_RULES)}",
            )

    def _fault(self, field: str, what: str, mend: str) -> SpaceError:
        return SpaceError(f"{field} {what}", where=f"space {self.name!r}", mend=mend)

    def _list(self, field: str) -> tuple[Any, ...]:
        """Check a list field and store it as a tuple, in the order given."""
        value = getattr(self, field)
        if not isinstance(value, list | tuple):
            raise self._fault(field, f"is {value!r}", "give a list")
        if not value:
            raise self._fault(field, "is empty", "give at least one entry")
        for entry in value:
            if value.count(entry) > 1:
                raise self._fault(field, f"holds {entry!r} more than once", "give it once")
        object.__setattr__(self, field, tuple(value))
        return tuple(value)

    def _positive(
        self, field: str, value: object, told: str = "is ", or_none: bool = False
    ) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._fault(
                field,
                f"{told}{value!r}",
                "give a positive integer" + (", or null (None) for no limit" if or_none else ""),
            )

    def with_(self, **changes: Any) -> SearchSpace:
        """A copy with some fields changed, validated like any space."""
        known = {field.name for field in dataclasses.fields(self)}
        if wrong := sorted(set(changes) - known):
            raise self._fault(wrong[0], "is not a field", f"use {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)

    # -- drawing, counting -------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture, every choice independently and uniformly.

        Connections follow `connection_count`. Fields that no operator reads are drawn as well: a
        later mutation may bring them to life.
        """
        return drawing.sample(self, rng)

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, mutations: int = 1
    ) -> Architecture:
        """Change one choice of one block `mutations` times; see `nasrec.space.drawing.mutate`."""
        return drawing.mutate(self, architecture, rng, mutations)

    def maximal(self, rng: np.random.Generator | None = None) -> Architecture:
        """The full supernet as one architecture: everything on, at the largest widths.

        It goes beyond the space's limits on operators and connections. `left` and `right` are
        single by nature: the two latest sources, or random ones when `rng` is given.
        """
        return drawing.maximal(self, rng)

    def narrowest(self) -> list[Architecture]:
        """One architecture for each pair of single operators that computes as little as it can.

        Only the last block is alive; it reads the raw columns, at the smallest widths. Whatever
        reaches a logit has come through some block from the raw columns, so no architecture of
        the space needs less than the cheapest of these.
        """
        return drawing.narrowest(self)

    def cardinality(self) -> int:
        """Exact number of architectures, counted by `cardinality_rules`."""
        return counting.cardinality(self)

    def paper_cardinality(self) -> int:
        """Exact number by the paper's rule; see `nasrec.space.counting.paper_cardinality`."""
        return counting.paper_cardinality(self)

    @property
    def cardinality_rules(self) -> list[str]:
        """What `cardinality` counts as different, in plain words."""
        return counting.rules(self)

    # -- belonging --------------------------------------------------------------------------

    def validate(self, architecture: Architecture) -> None:
        """Raise SpaceError, with block, choice and allowed values, unless it is of this space."""
        if len(architecture.blocks) != self.blocks:
            raise SpaceError(
                f"the architecture has {len(architecture.blocks)} blocks",
                mend=f"space {self.name!r} has {self.blocks}",
            )
        for i, block in enumerate(architecture.blocks, start=1):
            for field, options, limit in (
                ("dense_ops", self.dense_ops, self.max_ops_per_branch),
                ("sparse_ops", self.sparse_ops, self.max_ops_per_branch),
                ("dense_dim", self.dense_dims, None),
                ("sparse_dim", self.sparse_dims, None),
                ("dense_inputs", None, self.max_connections),
                ("sparse_inputs", None, self.max_connections),
            ):
                value = getattr(block, field)
                values = value if isinstance(value, tuple) else (value,)
                for one in values:
                    if options is not None and one not in options:
                        raise SpaceError(
                            f"{field} has {one!r}",
                            where=f"block {i}",
                            mend=f"space {self.name!r} allows {', '.join(map(str, options))}",
                        )
                if limit is not None and len(values) > limit:
                    raise SpaceError(
                        f"{field} has {len(values)} entries, {list(values)}",
                        where=f"block {i}",
                        mend=f"space {self.name!r} allows at most {limit}",
                    )

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        try:
            self.validate(architecture)
        except SpaceError:
            return False
        return True

    # -- files ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain YAML or JSON types; `from_dict` gives the equal space back."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, data: object, where: str = "space") -> SearchSpace:
        """Build from a mapping of the fields; `where` names the file in messages."""
        if not isinstance(data, Mapping):
            raise SpaceError(f"a space must be a mapping of fields, not {data!r}", where=where)
        fields = dataclasses.fields(cls)
        names = [field.name for field in fields]
        if wrong := [key for key in data if key not in names]:
            raise SpaceError(
                f"unknown field {wrong[0]!r}", where=where, mend=f"use {', '.join(names)}"
            )
        needed = [field.name for field in fields if field.default is dataclasses.MISSING]
        if missing := [name for name in needed if name not in data]:
            raise SpaceError(
                f"field {missing[0]!r} is missing", where=where, mend=f"give {', '.join(needed)}"
            )
        try:
            return cls(**data)
        except SpaceError as error:
            raise SpaceError(error.what, where=where, mend=error.mend) from None

    def to_yaml(self) -> str:
        """YAML text that `from_yaml` and `nasrec.space.load_space` read."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None))

    @classmethod
    def from_yaml(cls, text: str, where: str = "space") -> SearchSpace:
        """Read the fields from YAML text; `where` names the file in messages."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark is not None else ""
            what = getattr(error, "problem", None) or getattr(error, "reason", None)
            raise SpaceError(f"not valid YAML: {what}", where=f"{where}{line}") from None
        except RecursionError:
            raise SpaceError("nested too deeply to be a space", where=where) from None
        return cls.from_dict(data, where)
