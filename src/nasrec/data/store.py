"""The files of a prepared data set: shards of records, and a manifest that vouches for them.

The format is described in docs/prepared-data.md.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl

from nasrec.data.formats import BadLine
from nasrec.data.layout import Layout, Records
from nasrec.errors import DataError
from nasrec.files import read_object, written_aside

MANIFEST, QUARANTINE = "manifest.json", "quarantine.csv"
FORMAT, VERSION = "nasrec-data", 3
READABLE = (2, VERSION)
"""Version 2 has no groups, and is otherwise the same."""
SHARD_BYTES = 1 << 28
"""A shard has the largest power of two of rows that needs no more bytes than this."""
AGAIN = "delete the folder and prepare the data again"


def shard_rows(layout: Layout) -> int:
    """Rows of every shard but the last of a split."""
    return 1 << (SHARD_BYTES // layout.dtype.itemsize).bit_length() - 1


def shard_name(split: str, number: int) -> str:
    """The file of a shard, within the folder."""
    return f"{split}/{number:05d}.npy"


@dataclass
class ShardWriter:
    """Writes the records of one split, in order, to shards; goes on after those that are there.

    Args:
        folder: of the data set; shards appear in it whole or not at all.
        split: name of the split.
        layout: of the records.
        rows: how many rows the split will have.
    """

    folder: Path
    split: str
    layout: Layout
    rows: int
    row: int = 0
    """The row to be written next."""
    _file: IO[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = shard_rows(self.layout)
        (self.folder / self.split).mkdir(parents=True, exist_ok=True)
        while self.row < self.rows and self._path.is_file():
            self.row = min(self.row + self.size, self.rows)

    @property
    def _path(self) -> Path:
        return self.folder / shard_name(self.split, self.row // self.size)

    def write(self, records: Records) -> None:
        """Write the next rows."""
        while len(records):
            begin = self.row // self.size * self.size
            end = min(begin + self.size, self.rows)
            if self._file is None:
                self._file = self._aside.open("wb")
                _write_header(self._file, self.layout, end - begin)
            part = records[: end - self.row]
            self._file.write(np.ascontiguousarray(part).view(np.uint8).data)
            path, aside = self._path, self._aside
            self.row += len(part)
            records = records[len(part) :]
            if self.row == end:
                self._file.flush()
                os.fsync(self._file.fileno())
                self.close()
                os.replace(aside, path)

    @property
    def _aside(self) -> Path:
        return self._path.with_suffix(".tmp")

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_header(file: IO[bytes], layout: Layout, rows: int) -> None:
    description = {
        "descr": np.lib.format.dtype_to_descr(layout.dtype),
        "fortran_order": False,
        "shape": (rows,),
    }
    np.lib.format.write_array_header_1_0(file, description)


def shards_of(split: str, rows: int, layout: Layout) -> Iterator[tuple[str, int]]:
    """The name and the number of rows of each shard of a split."""
    size = shard_rows(layout)
    for number in range(-(-rows // size)):
        yield shard_name(split, number), min(size, rows - number * size)


def canonical(content: Any) -> bytes:
    """The one JSON text of `content`, for hashing."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_checksums(path: Path, manifest: dict[str, Any]) -> None:
    """Raise a `DataError` with the name of the first file whose content has changed."""
    for name, entry in manifest["files"].items():
        if sha256_of_file(path / name) != entry["sha256"]:
            raise DataError(
                "the file is damaged: its checksum is wrong", where=str(path / name), mend=AGAIN
            )


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a prepared folder, verified against its own checksum.

    Raises:
        DataError: no manifest, a damaged one, or one of another version.
    """
    file = path / MANIFEST
    if not file.exists():
        raise DataError(
            f"not a prepared folder: there is no {MANIFEST}",
            where=str(path),
            mend="prepare a log first (nasrec prepare)",
        )
    manifest = read_object(file, DataError, AGAIN)
    if manifest.get("format") != FORMAT:
        raise DataError("not the manifest of a prepared folder", where=str(file), mend=AGAIN)
    if manifest.get("version") not in READABLE:
        raise DataError(
            f"the folder has version {manifest.get('version')!r}, this library reads {VERSION}",
            where=str(file),
            mend="prepare the data again with this version",
        )
    if manifest.pop("checksum", None) != sha256(canonical(manifest)):
        raise DataError(
            "the manifest is damaged: its checksum is wrong", where=str(file), mend=AGAIN
        )
    return manifest


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with its own checksum."""
    content = {**manifest, "checksum": sha256(canonical(manifest))}
    (path / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def finish(result: Path, manifest: dict[str, Any], bad: Sequence[BadLine]) -> None:
    """Write the quarantine and the manifest."""
    if bad:
        rows = [(b.file, b.line, b.reason, b.text.decode("utf-8", "replace")) for b in bad]
        with written_aside(result / QUARANTINE) as aside:
            pl.DataFrame(rows, schema=["file", "line", "reason", "text"], orient="row").write_csv(
                aside
            )
    names = sorted(file for file in result.rglob("*") if file.is_file() and file.name != MANIFEST)
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(sha256_of_file, names))
    files = {
        file.relative_to(result).as_posix(): {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in zip(names, digests, strict=True)
    }
    seen = {
        name: entry["sha256"]
        for name, entry in files.items()
        if name not in ("schema.yaml", QUARANTINE)
    }
    write_manifest(result, {**manifest, "files": files, "fingerprint": sha256(canonical(seen))})
