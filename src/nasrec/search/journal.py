"""The append-only record of a search: one JSON line for each evaluation."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from nasrec.errors import NasrecError, RunError
from nasrec.files import finite
from nasrec.search.candidate import Candidate, Score
from nasrec.space import Architecture
from nasrec.train.checkpoint import refuse_difference

FORMAT, VERSION = "nasrec-journal", 2


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(finite(record), separators=(",", ":")).encode() + b"\n"


class Journal:
    """Evaluations on disk, in the order they were made.

    Every line is on the disk before the search goes on (fsync: under a millisecond on a local
    SSD, where an evaluation takes a hundred), so neither kill -9 nor a power cut loses a finished
    one. Only the last line can be cut; it is dropped with a warning. Anything else that does not
    read is an error: a search that silently forgot an evaluation would end elsewhere.

    Args:
        path: created when missing.
        header: JSON settings that the scores depend on. A journal with others is refused.

    Attributes:
        candidates: the evaluations read from disk and added since.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.candidates: list[Candidate] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b")
        try:
            self._lock()
            self._open({"format": FORMAT, "version": VERSION, **finite(header)})
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        if sys.platform == "win32":  # two searches on one journal are not noticed there
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                "another process is writing this journal",
                where=str(self.path),
                mend="wait for the other search to end, or give this one a folder of its own",
            ) from None

    def _open(self, header: dict[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        cut = content[whole:]
        lines = content[:whole].splitlines()
        if lines:
            found = self._json(lines[0], 1)
            if found.get("format") != FORMAT:
                raise self._damaged(1, f"not the header of a {FORMAT} of version {VERSION}")
            if found.get("version") != VERSION:
                raise RunError(
                    f"the journal has version {found.get('version')!r}, this library writes "
                    f"{VERSION}",
                    where=str(self.path),
                    mend="go on with the nasrec that began it, or search in a new folder",
                )
            refuse_difference(found, header, self.path)
            for number, line in enumerate(lines[1:], start=2):
                self.candidates.append(self._candidate(line, number))
        elif not _line(header).startswith(cut):
            raise self._damaged(1, f"not the header of a {FORMAT} of version {VERSION}")
        if cut:  # only now is it sure that this file is a journal
            warnings.warn(
                f"{self.path}: the last line was cut short when the search was stopped; "
                "that evaluation is made again",
                stacklevel=4,
            )
            self._file.truncate(whole)
        if not lines:
            self._write(header)

    def _damaged(self, number: int, what: str) -> RunError:
        return RunError(
            what,
            where=f"{self.path}, line {number}",
            mend="restore the file from a copy, or delete this line and all after it: the search "
            "makes those evaluations again",
        )

    def _json(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise self._damaged(number, f"not valid JSON: {error}") from None
        if not isinstance(record, dict):
            raise self._damaged(number, "not a JSON object")
        return record

    def _candidate(self, line: bytes, number: int) -> Candidate:
        record = self._json(line, number)
        try:
            index, seconds = int(record["index"]), float(record["seconds"])
            score, digest = dict(record["score"]), record["digest"]
            rows = int(score.pop("rows"))
            values = {k: math.nan if v is None else float(v) for k, v in score.items()}
            found = Score(**values, rows=rows)
            costs = {str(name): cost + 0 for name, cost in record["costs"].items()}
            architecture = Architecture.from_dict(record["architecture"])
        except (AttributeError, KeyError, TypeError, ValueError, NasrecError) as error:
            raise self._damaged(number, f"not an evaluation ({error!r})") from None
        if index != number - 2:
            raise self._damaged(number, f"evaluation {index} where {number - 2} should be")
        if architecture.digest != digest:
            raise self._damaged(number, "the digest does not belong to the architecture")
        return Candidate(architecture, found, index, seconds, costs)

    def _write(self, record: Mapping[str, Any]) -> None:
        self._file.write(_line(record))
        self._file.flush()
        os.fsync(self._file.fileno())

    def add(self, candidate: Candidate) -> None:
        """Append one evaluation; it is on disk when this returns."""
        if candidate.index != len(self.candidates):
            raise ValueError(f"evaluation {candidate.index} after {len(self.candidates)} others")
        self._write(
            {
                "index": candidate.index,
                "digest": candidate.digest,
                "score": asdict(candidate.score),
                "costs": dict(candidate.costs),
                "seconds": round(candidate.seconds, 6),
                "architecture": candidate.architecture.to_dict(),
            }
        )
        self.candidates.append(candidate)

    def close(self) -> None:
        """Close the file and let others write it."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """The evaluations of a journal, as they are written there.

    Only reads: another process may be writing. A last line without its end is left out.

    Raises:
        RunError: not a journal, of another version, or a line that does not read.
    """
    try:
        records = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    except (OSError, ValueError) as error:
        raise RunError(f"the journal cannot be read: {error}", where=str(path)) from None
    if records and (records[0].get("format"), records[0].get("version")) != (FORMAT, VERSION):
        raise RunError(
            f"not a {FORMAT} of version {VERSION}",
            where=str(path),
            mend="use the version of nasrec that made it",
        )
    return records[1:]
