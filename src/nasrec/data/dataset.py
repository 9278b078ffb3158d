"""A prepared data set on disk, and batches out of it.

    folder/
      manifest.json     version, counts, size and sha256 of every other file, fingerprint
      schema.yaml       what the columns are (see schema.py)
      encoder.json      how raw rows become numbers (see encode.py)
      train/  valid/  test/
        dense.npy       (n, n_dense)   little-endian float32
        sparse.npy      (n, n_sparse)  little-endian int32, ids from 0 (unknown)
        labels.npy      (n,)           little-endian float32, 0 or 1

The arrays are ordinary NumPy files in row order (the order of the source), memory-mapped when
opened: opening costs milliseconds and no memory. The manifest carries a checksum of itself, is
written last, and makes the folder a data set: without it nothing opens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasrec.data.schema import Schema
from nasrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nasrec.data.encode import Encoder

MANIFEST = "manifest.json"
FORMAT, VERSION = "nasrec-data", 1
SPLITS = ("train", "valid", "test")
ARRAYS = {"dense": "<f4", "sparse": "<i4", "labels": "<f4"}
CHECK_AT_OPEN = 2**28
"""Bytes up to which opening verifies checksums too (at about 1 GB/s)."""
AGAIN = "delete the folder and prepare the data again"


class Batch(NamedTuple):
    """Rows for a model.

    dense: (B, n_dense) float32; sparse: (B, n_sparse) int64; labels: (B,) float32.
    """

    dense: Tensor
    sparse: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a prepared data set; `len()` is its number of rows.

    Args:
        name: `train`, `valid` or `test`.
        dense: (n, n_dense) float32, memory-mapped like the others.
        sparse: (n, n_sparse) int32.
        labels: (n,) float32.
        click_rate: share of rows with label 1.
    """

    name: str
    dense: NDArray[np.float32]
    sparse: NDArray[np.int32]
    labels: NDArray[np.float32]
    click_rate: float

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, start: int, stop: int) -> Batch:
        """Rows `start` to `stop` (excluded, cut at the end) in the order of the file."""
        part = slice(start, stop)
        return Batch(
            torch.from_numpy(self.dense[part].copy()),
            torch.from_numpy(self.sparse[part].astype(np.int64)),
            torch.from_numpy(self.labels[part].copy()),
        )

    def take(self, indices: NDArray[np.integer[Any]]) -> Batch:
        """The rows with these numbers, in this order, repeats allowed."""
        return Batch(
            torch.from_numpy(self.dense.take(indices, axis=0)),
            torch.from_numpy(self.sparse.take(indices, axis=0).astype(np.int64)),
            torch.from_numpy(self.labels.take(indices)),
        )

    def n_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """How many batches one pass has."""
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size} is below 1", mend="choose 1 or more")
        return len(self) // batch_size if drop_last else -(-len(self) // batch_size)

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        start: int = 0,
    ) -> Iterator[Batch]:
        """One pass over the rows.

        Args:
            batch_size: rows a batch; the last one may have fewer.
            shuffle_seed: None keeps the order of the file; a seed gives a permutation of all
                rows, always the same one for the same seed.
            drop_last: leave out a last batch that is not full.
            start: the batch to begin at. The rest is exactly what a pass from 0 would give.
        """
        count = self.n_batches(batch_size, drop_last)
        order = None
        if shuffle_seed is not None:
            generator = np.random.Generator(np.random.PCG64(shuffle_seed))
            order = generator.permutation(len(self))
        for i in range(start, count):
            low, high = i * batch_size, min((i + 1) * batch_size, len(self))
            yield self.rows(low, high) if order is None else self.take(order[low:high])


class PreparedData:
    """A prepared folder, opened by `PreparedData.open`.

    Attributes:
        path: the folder.
        manifest: the content of manifest.json.
        fingerprint: a hash of everything that models see; equal fingerprints, equal data.
        n_dense, n_sparse: number of numeric and of categorical features.
        vocabulary_sizes: number of ids of each categorical feature, the unknown id 0 included.
        train, valid, test: the splits.
        warnings: what preparing found suspicious, such as leaks.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.fingerprint: str = manifest["fingerprint"]
        self.n_dense: int = manifest["n_dense"]
        self.n_sparse: int = manifest["n_sparse"]
        self.vocabulary_sizes: tuple[int, ...] = tuple(manifest["vocabulary_sizes"])
        self.warnings: tuple[str, ...] = tuple(manifest["warnings"])
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
        """The encoder, for new rows (read when first asked for: it can be large)."""
        from nasrec.data.encode import Encoder

        return Encoder.load(self.path / "encoder.json")

    def check(self) -> None:
        """Verify every checksum and id range; raises a `DataError` naming the damaged file."""
        verify_checksums(self.path, self.manifest)
        for split in (self.train, self.valid, self.test):
            if len(split) and self.n_sparse:
                low, high = split.sparse.min(axis=0), split.sparse.max(axis=0)
                if low.min() < 0 or (high >= np.array(self.vocabulary_sizes)).any():
                    raise DataError(
                        "an id is outside its vocabulary",
                        where=str(self.path / split.name / "sparse.npy"),
                        mend=AGAIN,
                    )

    def _split(self, name: str) -> Split:
        counts = self.manifest["splits"][name]
        rows = counts["rows"]
        shapes = {"dense": (rows, self.n_dense), "sparse": (rows, self.n_sparse), "labels": (rows,)}
        arrays = {}
        for array, dtype in ARRAYS.items():
            file = self.path / name / f"{array}.npy"
            # An array without elements cannot be mapped into memory, and need not be.
            try:
                if np.prod(shapes[array]):
                    loaded = np.load(file, mmap_mode="r", allow_pickle=False)
                else:
                    loaded = np.load(file, allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError("not a NumPy file", where=str(file), mend=AGAIN) from error
            if loaded.shape != shapes[array] or loaded.dtype != np.dtype(dtype):
                raise DataError(
                    f"the array is {loaded.dtype} {loaded.shape} and should be "
                    f"{np.dtype(dtype)} {shapes[array]}",
                    where=str(file),
                    mend=AGAIN,
                )
            arrays[array] = np.asarray(loaded)
        return Split(name, **arrays, click_rate=counts["clicks"] / rows)


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
    try:
        manifest = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"not a prepared folder: there is no {MANIFEST}",
            where=str(path),
            mend="prepare a log first (nasrec prepare)",
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot read the manifest: {error.strerror}", where=str(file), mend="check its rights"
        ) from error
    except ValueError as error:
        raise DataError("the manifest is damaged: not JSON", where=str(file), mend=AGAIN) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError("not the manifest of a prepared folder", where=str(file), mend=AGAIN)
    if manifest.get("version") != VERSION:
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
