"""The run folder: made for one request, locked while it is worked on, checked when gone on with.

    run/
      request.json      what was asked: settings, data by checksum; nothing else may go on here
      config.json       every setting, resolved once (a budget measures the machine)
      environment.json  versions, platform, cores, threads
      stages.jsonl      wall time of every stage that was completed
      data/             the prepared data; or data.json, where they already lay prepared
      supernet/         weights.safetensors, metrics.jsonl
      search/           journal.jsonl, latency.json (if measured), second.jsonl (if the best
                        were trained twice), ranking.json
      retrain/NAME/     one training from scratch: architecture, weights, metrics, result;
                        test-logits.npy of each family's chosen one
      front.json        the front of quality and costs, and what of it was trained from scratch
      leaderboard.json, leaderboard.txt, summary.txt
      model/            the best model, ready to take home
      report.html       all of it to look at

A stage is complete when its last file is there; files appear whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasrec.errors import RunError
from nasrec.files import finite, read_object, write_json
from nasrec.serve.versions import environment
from nasrec.train.checkpoint import JsonLines

FORMAT = "nasrec-run/1"
ANOTHER = "use the same settings and data to go on, or another --out to start anew"


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = path / "request.json"
        self.config = path / "config.json"
        self.environment = path / "environment.json"
        self.data = path / "data"
        self.data_pointer = path / "data.json"
        self.supernet = path / "supernet"
        self.search = path / "search"
        self.retrain = path / "retrain"
        self.front = path / "front.json"
        self.leaderboard = path / "leaderboard.json"
        self.leaderboard_text = path / "leaderboard.txt"
        self.summary = path / "summary.txt"
        self.model = path / "model"
        self.report = path / "report.html"

    def require_run(self) -> dict[str, Any]:
        """The request of the run in this folder; RunError if it is not one."""
        if not self.request.is_file():
            there = self.path.exists()
            raise RunError(
                "not a run folder: it has no request.json" if there else "no such run folder",
                where=str(self.path),
                mend="give a folder that nasrec search has made",
            )
        request = read_json(self.request)
        if request.get("format") != FORMAT:
            raise RunError(
                f"the run has the format {request.get('format')!r}, this library reads {FORMAT}",
                where=str(self.request),
                mend="use the version of nasrec that made it, or another --out",
            )
        return request

    @contextmanager
    def claimed(self, request: Mapping[str, Any]) -> Iterator[None]:
        """Make the folder for a request, or go on in one made for the same; ours while it lasts.

        Until the settings are resolved only the data must be the same, so that a setting that was
        refused can be mended without preparing the data again.

        Raises:
            RunError: the folder is something else, was made for another request, or is at work.
        """
        request = json.loads(json.dumps(finite({"format": FORMAT, **request})))
        if self.path.exists() and not self.path.is_dir():
            raise RunError("this is a file", where=str(self.path), mend="give another --out")
        if self._content() and not self.request.is_file():
            raise RunError(
                "the folder exists and is not a run folder",
                where=str(self.path),
                mend="give another --out; nothing in this one was touched",
            )
        if self.request.is_file():
            there = self.require_run()
            if self.config.is_file() or _data_of(there) != _data_of(request):
                _refuse_another(there, request, self.path)
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"cannot be written: {error.strerror}",
                where=str(self.path),
                mend="give an --out folder that you may write",
            ) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    "another process is working on this run",
                    where=str(self.path),
                    mend="wait for it, or stop it; then give the same command again",
                ) from None
            self._sweep()
            if not self.config.is_file():
                write_json(self.request, request)
            try:
                yield
            finally:
                if not self._content() - {self.request.name}:
                    # Nothing was made, say because the data are bad: leave no trace.
                    self.request.unlink(missing_ok=True)
                    (self.path / ".lock").unlink(missing_ok=True)
                    if made:
                        self.path.rmdir()
        finally:
            os.close(lock)

    def _content(self) -> set[str]:
        """Names in the folder, without those that a kill in mid-write leaves."""
        if not self.path.is_dir():
            return set()
        return {entry.name for entry in self.path.iterdir() if not _is_left_over(entry)}

    def _sweep(self) -> None:
        """Remove what earlier kills left half-written."""
        for folder in (self.path, self.supernet, self.search, self.retrain, *self._trials()):
            for entry in folder.glob(".*") if folder.is_dir() else ():
                if entry.name == ".lock" or not _is_left_over(entry):
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)

    def _trials(self) -> list[Path]:
        return list(self.retrain.iterdir()) if self.retrain.is_dir() else []

    def settle(
        self,
        settings: Mapping[str, Any],
        fingerprint: str,
        budget: float | None = None,
        measured: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the resolved settings: from now on a request with others is refused."""
        write_json(self.environment, environment())
        found = {"settings": settings, "fingerprint": fingerprint}
        write_json(self.config, {**found, "budget_minutes": budget, "measured": measured})

    def stage_done(self, stage: str, seconds: float) -> None:
        """Note the wall time of a completed stage."""
        with JsonLines(self.path / "stages.jsonl") as log:
            log({"stage": stage, "seconds": round(seconds, 3)})

    def stage_seconds(self) -> dict[str, float]:
        """Wall time of each completed stage, in order."""
        file = self.path / "stages.jsonl"
        seconds: dict[str, float] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
            try:
                record = json.loads(line)
                seconds[record["stage"]] = float(record["seconds"])
            except (ValueError, KeyError, TypeError):  # a line that a kill has cut
                continue
        return seconds


def _is_left_over(entry: Path) -> bool:
    name = entry.name
    return name == ".lock" or (name.startswith(".") and name.endswith((".tmp", ".partial")))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that this run wrote; RunError if it is damaged."""
    return read_object(path, RunError, "delete this file; the same command then makes it again")


def _data_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a request that the prepared data depend on."""
    found = {name: value for name, value in request.items() if name not in ("settings", "budget")}
    return {**found, "settings.seed": request.get("settings", {}).get("seed")}


def _refuse_another(there: Mapping[str, Any], here: Mapping[str, Any], path: Path) -> None:
    """RunError that names all that differs between two requests."""
    parts = _differences(there, here)
    if parts:
        raise RunError(
            "the run was started otherwise: " + "; ".join(parts), where=str(path), mend=ANOTHER
        )


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    if there == here:
        return []
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            part
            for key in {**there, **here}
            for part in _differences(
                there.get(key), here.get(key), f"{name}.{key}" if name else str(key)
            )
        ]
    if name.startswith("data."):
        return [
            f"the data differ ({name.removeprefix('data.')}: {_short(there)}, now {_short(here)})"
        ]
    for part in ("settings.", "preparation."):
        name = name.removeprefix(part)
    return [f"{name} was {_short(there)}, now {_short(here)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:56] + " ..."
