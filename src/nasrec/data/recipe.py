"""What a preparation is made of: the logs that were given, and what tells one from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nasrec.data.formats import Log
from nasrec.data.schema import Schema
from nasrec.data.store import canonical, sha256


@dataclass(frozen=True)
class GivenLog:
    """A log to be prepared, and the splits that are made of it."""

    role: str
    log: Log
    splits: tuple[int, ...]


def without_reasons(schema: Schema) -> Any:
    """A schema as plain JSON types, without what changes no byte of the result."""
    return schema.model_dump(mode="json", exclude={"columns": {"__all__": {"reason"}}})


def identities_of(sources: Sequence[GivenLog]) -> list[list[dict[str, Any]]]:
    """The files of each log, with size and checksum: reads all of them."""
    return [source.log.identity() for source in sources]


def recipe_of(settings: dict[str, Any], identities: list[list[dict[str, Any]]]) -> str:
    """What decides the content: the settings, and the files by their content."""
    files = [[entry["sha256"] for entry in identity] for identity in identities]
    return sha256(canonical([settings, files]))


def state_of(sources: Sequence[GivenLog]) -> list[Any]:
    """What shows at a glance whether the sources are the ones an earlier run has read."""
    states: list[Any] = []
    for source in sources:
        if source.log.frame is not None:
            states.append(source.log.identity())
        for file in source.log.files:
            stat = file.stat()
            states.append([str(file.resolve()), stat.st_size, stat.st_mtime_ns])
    return states


def described(
    sources: Sequence[GivenLog], identities: list[list[dict[str, Any]]], rows: dict[str, int]
) -> list[dict[str, Any]]:
    """The logs as the manifest tells them."""
    return [
        {"as": source.role, "rows": rows[source.role], "files": identity}
        for source, identity in zip(sources, identities, strict=True)
    ]
