"""Files that a kill -9 cannot leave half-written, and checkpoints made of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasrec.errors import RunError
from nasrec.files import finite, folder_written_aside, write_json

FORMAT = 1


class JsonLines:
    """Metrics as JSON lines, one record a call. Call the object to write a record.

    Steps repeated after a kill are logged again: of records with equal `step` the last counts.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        if self._file.tell():  # end a line that a kill has cut, so that it spoils no other
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Write one record; it survives a kill at once."""
        self._file.write(json.dumps(finite(record)).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refuse_difference(there: Mapping[str, Any], here: Mapping[str, Any], where: Path) -> None:
    """RunError naming what differs between the settings on disk and those asked for."""
    here = json.loads(json.dumps(finite(here)))  # as it would read back: tuples are lists there
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if not keys:
        return
    parts = []
    for key in keys:
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = [k for k in {**old, **new} if old.get(k) != new.get(k)]
            parts += [f"{key}.{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in inner]
        else:
            parts.append(f"{key} was {old!r}, is {new!r}")
    raise RunError(
        "was written under other settings: " + "; ".join(parts),
        where=str(where),
        mend="use the same settings to go on, or another folder to start anew",
    )


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint: the step it was taken after, its folder and its small state."""

    step: int
    path: Path
    state: dict[str, Any]


class Checkpoints:
    """A folder of checkpoints, each in a sub-folder `step-N` that appears whole or not at all.

    Args:
        folder: created when missing.
        settings: what the training depends on; going on under others is refused.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, {"format": FORMAT, **settings}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):  # what a kill in the middle of a write leaves
            shutil.rmtree(left, ignore_errors=True)

    def path(self, step: int) -> Path:
        """The sub-folder of a step."""
        return self.folder / f"step-{step}"

    def _steps(self) -> list[int]:
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(name) for name in names if name.isdigit())

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None when there is none yet."""
        steps = self._steps()
        if not steps:
            return None
        path = self.path(steps[-1])
        try:
            content = json.loads((path / "state.json").read_text(encoding="utf-8"))
            settings, state = content["settings"], content["state"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"the checkpoint's state.json cannot be read ({error})",
                where=str(path),
                mend="delete this folder; training goes on from the checkpoint before it, if any",
            ) from None
        refuse_difference(settings, self.settings, self.folder)
        return Checkpoint(steps[-1], path, state)

    def save(
        self,
        step: int,
        state: Mapping[str, Any],
        write: Callable[[Path], None],
        keep: tuple[int, ...] = (),
    ) -> None:
        """Write step's checkpoint, then remove the older ones, except those in `keep`.

        Args:
            step: number of steps done; a checkpoint of this step that exists is left as it is.
            state: small JSON state.
            write: writes the large files into the folder it is given.
            keep: steps whose checkpoints stay.
        """
        if not self.path(step).exists():
            with folder_written_aside(self.path(step)) as aside:
                write(aside)
                write_json(aside / "state.json", {"settings": self.settings, "state": state})
        for old in self._steps():
            if old != step and old not in keep:
                shutil.rmtree(self.path(old), ignore_errors=True)
