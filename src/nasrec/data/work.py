"""The work folder of a preparation: beside the output, kept when stopped, gone when done."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from nasrec.errors import DataError
from nasrec.files import write_text


def work_folder(out: Path) -> Path:
    """Where the preparation of `out` keeps what is done."""
    return out.with_name(f".{out.name}.preparing")


@contextmanager
def working(out: Path, recipe: str) -> Iterator[Path]:
    """Give the work folder of `out`, with what an earlier run of the same recipe has left there.

    It is removed when the block succeeds and when it ends with a fault of the input; it is kept
    when the run is stopped or the disk is full, to go on from.

    Raises:
        DataError: another run is preparing into `out`; or something cannot be written.
    """
    work = work_folder(out)
    try:
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataError(
                    "another run is preparing into this folder",
                    where=str(out),
                    mend="wait until it is done, or choose another folder",
                ) from error
            try:
                _keep_only(work, recipe)
                yield work
            except DataError:
                shutil.rmtree(work, ignore_errors=True)
                raise
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        told = str(getattr(error, "strerror", None) or error)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in told:
            raise DataError(
                f"the disk is full: {told}",
                where=str(out),
                mend=f"free some space and give the same command again: it goes on from {work}; "
                "or delete that folder",
            ) from error
        if not isinstance(error, OSError):
            raise
        raise DataError(
            f"cannot write the prepared data: {told}",
            where=str(out),
            mend="choose a folder that can be written, on a disk with room",
        ) from error


def _keep_only(work: Path, recipe: str) -> None:
    """Empty the work folder unless it is of this recipe."""
    file = work / "recipe.json"
    try:
        if json.loads(file.read_text(encoding="utf-8")) == recipe:
            for half in work.rglob("*.tmp"):
                half.unlink()
            return
    except (FileNotFoundError, ValueError):
        pass
    for entry in work.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()
    write_text(file, json.dumps(recipe))


def require_space(folder: Path, needed: int) -> int:
    """The free bytes of the disk that `folder` is on.

    Raises:
        DataError: they are fewer than `needed`.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"preparing needs about {size(needed)} of disk, and {size(free)} are free",
            where=str(folder.parent),
            mend="free some space, or choose a folder on another disk",
        )
    return free


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def rename_whole(folder: Path, out: Path) -> None:
    """Make `folder` appear as `out`, which must not exist or be an empty folder."""
    os.replace(folder, out)
    handle = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
