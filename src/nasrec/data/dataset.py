"""A prepared data set, opened: its splits, schema and encoder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data.batches import Split
from nasrec.data.encode import ENCODER_FILE, Encoder
from nasrec.data.formats import has_format
from nasrec.data.layout import Batch, Layout
from nasrec.data.schema import Schema
from nasrec.data.store import (
    AGAIN,
    MANIFEST,
    canonical,
    read_manifest,
    sha256,
    sha256_of_file,
    shards_of,
    verify_checksums,
)
from nasrec.errors import DataError

__all__ = ["Batch", "PreparedData", "Split", "canonical", "sha256", "sha256_of_file"]

SPLITS = ("train", "valid", "test")
CHECK_AT_OPEN = 2**22
"""Bytes up to which opening verifies checksums too: it takes milliseconds whatever the size."""
CHECKED_ROWS = 1 << 17
"""Rows whose ids are checked at a time."""


def is_prepared(source: object, format: str | None = None) -> bool:
    """Whether a source is a prepared folder (perhaps a damaged one), and not a folder of log files.

    Args:
        source: what a user has given.
        format: how its files are to be read; None goes by their extensions.
    """
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return False
    folder = Path(source)
    if any((folder / name).exists() for name in (MANIFEST, ENCODER_FILE)):
        return True
    return format is None and not any(map(has_format, folder.iterdir()))


class PreparedData:
    """A prepared folder, opened by `PreparedData.open`.

    Attributes:
        path: the folder.
        manifest: the content of manifest.json.
        fingerprint: a hash of everything that models see; equal fingerprints, equal data.
        n_dense, n_sparse: number of numeric and of categorical features.
        vocabulary_sizes: number of ids of each categorical feature, the unknown id 0 included.
        slots: ids a row of each categorical feature; more than one only if it is multi-valued.
        train, valid, test: the splits.
        warnings: what preparing found suspicious, such as leaks.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.fingerprint: str = manifest["fingerprint"]
        self.n_dense: int = manifest["n_dense"]
        self.vocabulary_sizes: tuple[int, ...] = tuple(manifest["vocabulary_sizes"])
        self.n_sparse = len(self.vocabulary_sizes)
        self.slots: tuple[int, ...] = tuple(manifest["slots"])
        self.warnings: tuple[str, ...] = tuple(manifest["warnings"])
        self.layout = Layout.of(
            self.n_dense,
            self.vocabulary_sizes,
            self.slots,
            manifest["weighted"],
            # version 2 had none
            manifest.get("grouped", False),
        )
        self.train, self.valid, self.test = (self._split(name) for name in SPLITS)

    @classmethod
    def open(cls, path: str | Path) -> PreparedData:
        """Open a prepared folder.

        Verifies the version and the size of every file, and up to `CHECK_AT_OPEN` bytes in all
        also the checksums; `check` verifies them for any size.

        Raises:
            DataError: not a prepared folder, another version, or a damaged file, with its name.
        """
        path = Path(path)
        manifest = read_manifest(path)
        for name, entry in manifest["files"].items():
            file = path / name
            if not file.is_file():
                raise DataError("the file is missing", where=str(file), mend=AGAIN)
            size = file.stat().st_size
            if size != entry["bytes"]:
                raise DataError(
                    f"the file is damaged: it has {size} bytes and should have {entry['bytes']}",
                    where=str(file),
                    mend=AGAIN,
                )
        if sum(entry["bytes"] for entry in manifest["files"].values()) <= CHECK_AT_OPEN:
            verify_checksums(path, manifest)
        return cls(path, manifest)

    @cached_property
    def schema(self) -> Schema:
        """What the columns are."""
        return Schema.load(self.path / "schema.yaml")

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, for new rows. Read when first asked for, since it can be large."""
        return Encoder.load(self.path / ENCODER_FILE)

    def check(self) -> None:
        """Verify every checksum, label and id range.

        Raises:
            DataError: with the name of the damaged file.
        """
        verify_checksums(self.path, self.manifest)
        for split in (self.train, self.valid, self.test):
            clicks = 0
            for name, rows in shards_of(split.name, len(split), self.layout):
                shard = Split.stored(split.name, self.layout, [(self.path / name, rows)], 0.0)
                for start in range(0, rows, CHECKED_ROWS):
                    records = shard.records(start, start + CHECKED_ROWS)
                    self._check_ids(self.layout.sparse(records), self.path / name)
                    clicks += int(records["label"].sum())
                    if records["label"].max() > 1:
                        raise DataError(
                            "a label is not 0 or 1", where=str(self.path / name), mend=AGAIN
                        )
            if clicks != self.manifest["splits"][split.name]["clicks"]:
                raise DataError(
                    f"split {split.name} has {clicks} clicks, and the manifest says "
                    f"{self.manifest['splits'][split.name]['clicks']}",
                    where=str(self.path),
                    mend=AGAIN,
                )

    def _check_ids(self, ids: np.ndarray[Any, np.dtype[np.int32]], file: Path) -> None:
        if not ids.size:
            return
        sizes = np.repeat(self.vocabulary_sizes, self.slots)
        if ids.min() < -1 or (ids.max(axis=0) >= sizes).any():
            raise DataError("an id is outside its vocabulary", where=str(file), mend=AGAIN)

    def _split(self, name: str) -> Split:
        counts = self.manifest["splits"][name]
        rate = counts["clicks"] / max(1, counts["rows"])
        return stored_split(self.path, name, counts["rows"], self.layout, rate)


def stored_split(path: Path, name: str, rows: int, layout: Layout, click_rate: float) -> Split:
    """A split whose shards are in a folder."""
    shards = [(path / file, count) for file, count in shards_of(name, rows, layout)]
    return Split.stored(name, layout, shards, click_rate)
