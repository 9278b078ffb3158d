"""The six NASRecNets the paper's authors published, and architectures from files."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from pathlib import Path

from nasrec.errors import SpaceError, nearest
from nasrec.space.architecture import Architecture

#: Data set and search space of each published architecture.
PUBLISHED = (
    "criteo-full",
    "criteo-small",
    "avazu-full",
    "avazu-small",
    "kdd-full",
    "kdd-small",
)
_PREFIX = "published:"


@lru_cache(maxsize=1)
def _load_published() -> dict[str, Architecture]:
    text = resources.files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    return {name: Architecture.from_dict(blocks) for name, blocks in json.loads(text).items()}


def published(name: str) -> Architecture:
    """A published NASRecNet by name, for example `published("criteo-full")`; see PUBLISHED."""
    if name not in PUBLISHED:
        raise SpaceError(f"no published architecture {name!r}", mend=nearest(name, PUBLISHED))
    return _load_published()[name]


def load_architecture(spec: str | Path) -> Architecture:
    """An architecture from `published:NAME` or from a JSON file as `Architecture.to_json` writes.

    Raises:
        SpaceError: the name or the file does not exist, or what it holds is no architecture.
    """
    if str(spec).startswith(_PREFIX):
        return published(str(spec).removeprefix(_PREFIX))
    path = Path(spec)
    try:
        return Architecture.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = f"give the path of a JSON file that exists, or {_PREFIX}NAME"
        if str(spec) in PUBLISHED:
            hint = f"write {_PREFIX}{spec}"
        raise SpaceError(f"no architecture file {str(spec)!r}", mend=hint) from None
    except UnicodeDecodeError:
        raise SpaceError("not a text file in UTF-8", where=str(path)) from None
    except OSError as error:
        raise SpaceError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except SpaceError as error:
        where = f"{path}, {error.where}" if error.where else str(path)
        raise SpaceError(error.what, where=where, mend=error.mend) from None
