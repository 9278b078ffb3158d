"""Writing files so that a half-written one is never taken for a whole one."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasrec.errors import NasrecError, RunError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file to; rename it there when the block succeeds.

    The file is flushed to disk before the rename; after an exception nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none of it."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_new_text(path: Path, text: str) -> None:
    """`write_text` to a file that must not be there yet; RunError if it is."""
    if path.exists():
        raise RunError("the file exists already", where=str(path), mend="give another --out")
    write_text(path, text)


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity as None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; non-finite numbers become null."""
    write_text(path, json.dumps(finite(value), indent=2) + "\n")


def read_object(path: Path, error: type[NasrecError], mend: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        NasrecError: of the type `error`; the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as fault:
        told = getattr(fault, "strerror", None) or fault
        raise error(f"the file cannot be read: {told}", where=str(path), mend=mend) from None
    return content


@contextmanager
def folder_written_aside(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; rename it to `path` when the block succeeds.

    All its files are flushed to disk before the rename. `path` must not exist yet, or be an empty
    folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield aside
        aside.chmod(0o755)
        for file in aside.rglob("*"):
            if file.is_file():
                _sync(file)
        os.replace(aside, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
