"""A trained model that scores raw rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import nn

from nasrec.data import Encoder, PreparedData, Schema, Split
from nasrec.data.dataset import is_prepared
from nasrec.data.formats import Chunk
from nasrec.data.hash import hash_texts
from nasrec.data.values import clicks_of, require_both_classes, texts_of, weights_of
from nasrec.errors import DataError
from nasrec.serve.calibration import Calibration
from nasrec.serve.drift import Trained
from nasrec.serve.encoding import load_encoder, same_encoder
from nasrec.serve.reading import chunks
from nasrec.serve.spec import ModelSpec
from nasrec.space import Architecture
from nasrec.train.metrics import Metrics, metrics_of, predict_logits
from nasrec.train.platt import sigmoid

Data = pl.DataFrame | str | Path
Floats = NDArray[np.float64]
BATCH = 8192


class Rows(NamedTuple):
    """Encoded rows: dense (n, n_dense) float32, sparse (n, F) int64, logits (n,) float32."""

    dense: NDArray[np.float32]
    sparse: NDArray[np.int64]
    logits: NDArray[np.float32]


class Model:
    """A trained model that scores raw rows; made by `load_model`.

    Attributes:
        path: its folder.
        spec: which network it is.
        schema: the columns it was trained on.
        metrics: what it scored, by split: `{"valid": {...}, "test": {...}}`.
        calibration: what is done to its logits before they are called probabilities.
        trained: what is known of its training rows, by column.
        fingerprint: of the prepared data it was trained on.

    Example:
        >>> model = nasrec.load("model")
        >>> probabilities = model.predict_proba("new-rows.csv")
        >>> bool(0 < probabilities.min() < probabilities.max() < 1)
        True
    """

    def __init__(
        self,
        path: Path,
        spec: ModelSpec,
        *,
        fingerprint: str,
        schema: Schema,
        metrics: Mapping[str, Mapping[str, Any]],
        calibration: Calibration,
        trained: Trained,
    ) -> None:
        self.path, self.spec = path, spec
        self.fingerprint, self.schema = fingerprint, schema
        self.metrics, self.calibration = metrics, calibration
        self.trained = trained

    @property
    def architecture(self) -> Architecture | None:
        """The architecture of a NASRecNet, None for a hand-made model."""
        return self.spec.architecture

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode."""
        return self.spec.load(self.path / "weights.safetensors")

    @cached_property
    def encoder(self) -> Encoder:
        """How raw rows become numbers."""
        return load_encoder(self.path)

    @cached_property
    def sample(self) -> Rows:
        """Some validation rows with the logits they had when the model was saved."""
        return Rows(**load_file(self.path / "sample.safetensors"))

    def predict_proba(self, data: Data, format: str | None = None) -> Floats:
        """The click probability of each row, (rows,), in the order of the rows.

        Args:
            data: a data frame or a file with the columns of the schema; a label is not needed.
            format: how to read a file; by its extension if None.

        Raises:
            DataError: a column is not there, or holds what it must not, with its place.
        """
        parts = [
            self.probabilities(*self.encoder.encode(table)) for table in self.tables(data, format)
        ]
        return np.concatenate(parts)

    def evaluate(self, data: Data, split: str = "test", format: str | None = None) -> Metrics:
        """Log loss, AUC and calibration on labelled rows; grouped AUC where they have groups.

        A correction for negatives left out (`calibrate(..., negative_rate=...)`) applies to raw
        rows. A prepared folder's rows have them left out like the training rows, so there it is
        left off.

        Args:
            data: a data frame, a file, or a prepared folder that this model was trained on.
            split: which part of a prepared folder.
            format: how to read a file; by its extension if None.

        Raises:
            DataError: bad rows, or a folder that another encoder has prepared.
        """
        logits, labels, weights, groups = self.labelled(data, split, format)
        calibration = self.calibration
        if is_prepared(data):
            calibration = calibration.for_rows_like_training()
        return metrics_of(calibration(logits), labels, weights, groups)

    def labelled(
        self, data: Data, split: str = "test", format: str | None = None
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.float32] | None,
        NDArray[np.uint64] | None,
    ]:
        """Uncalibrated logits, labels, weights and groups of labelled rows, (rows,) each.

        Weights are None where the schema has none, groups where the rows have none; see
        `evaluate`.
        """
        if is_prepared(data):
            part = self.split_of(Path(str(data)), split)
            logits = predict_logits(self.network, part).numpy()
            return logits, part.labels, part.weights, part.groups
        scored, labels, weights, groups = [], [], [], []
        group = self.schema.group
        weight = self.schema.weight
        for table in self.tables(data, format, label=True):
            scored.append(self.logits(*self.encoder.encode(table)))
            labels.append(clicks_of(table, self.schema.label).astype(np.float32))
            if weight is not None:
                weights.append(weights_of(table, weight.name))
            if group is not None and group.name in table.frame.columns:
                groups.append(hash_texts(texts_of(table, group.name)))
        found = np.concatenate(labels)
        require_both_classes(found, f"column {self.schema.label!r}")
        return (
            np.concatenate(scored),
            found,
            np.concatenate(weights) if weights else None,
            np.concatenate(groups) if groups else None,
        )

    def labelled_rows(
        self, data: Data, most: int, split: str = "valid", format: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Up to `most` encoded rows, evenly spaced in a prepared folder, else the first ones.

        Returns:
            dense (rows, n_dense), sparse (rows, Σ slots), labels (rows,): in memory, writable.
        """
        if is_prepared(data):
            part = self.split_of(Path(str(data)), split)
            chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(np.int64))
            batch = part.take(chosen)
            return batch.dense.numpy(), batch.sparse.long().numpy(), batch.labels.numpy()
        dense, sparse, labels = self._first(data, most, format, label=True)
        require_both_classes(labels, f"column {self.schema.label!r}")
        return dense, sparse, labels

    def tables(
        self, data: Data, format: str | None = None, *, label: bool = False
    ) -> Iterator[Chunk]:
        """Raw rows, a chunk at a time, with the columns that the model (and a label) needs."""
        columns = [*self.encoder.columns]
        if label:
            columns.append(self.schema.label)
            columns += [self.schema.weight.name] if self.schema.weight else []
        optional = [self.schema.group.name] if label and self.schema.group else []
        return chunks(data, columns, format, self.schema.format, optional)

    def logits(self, dense: NDArray[Any], sparse: NDArray[Any]) -> NDArray[np.float32]:
        """Uncalibrated logits of encoded rows, (rows,)."""
        found = np.empty(len(dense), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(dense), BATCH):
                part = slice(start, start + BATCH)
                found[part] = self.network(
                    torch.from_numpy(np.ascontiguousarray(dense[part])),
                    torch.from_numpy(sparse[part].astype(np.int64)),
                ).numpy()
        return found

    def probabilities(self, dense: NDArray[Any], sparse: NDArray[Any]) -> Floats:
        """Calibrated click probabilities of encoded rows, (rows,)."""
        return sigmoid(self.calibration(self.logits(dense, sparse)))

    def split_of(self, folder: Path, split: str) -> Split:
        """A part of a prepared folder, which must be of this model's encoder."""
        data = PreparedData.open(folder)
        if split not in ("train", "valid", "test"):
            raise DataError(f"there is no split {split!r}", mend="use train, valid or test")
        if not same_encoder(folder, self.path):
            raise DataError(
                "the data were prepared with another encoder than this model's",
                where=str(folder),
                mend="evaluate on the raw file instead",
            )
        part: Split = getattr(data, split)
        return part

    def encoded(self, data: Data | None, rows: int, format: str | None = None) -> Rows:
        """Up to `rows` encoded rows of a file, or of the model's own sample if None."""
        if data is None:
            sample = self.sample
            return Rows(sample.dense[:rows], sample.sparse[:rows], sample.logits[:rows])
        dense, ids, _ = self._first(data, rows, format, label=False)
        return Rows(dense, ids, self.logits(dense, ids))

    def _first(
        self, data: Data, rows: int, format: str | None, *, label: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """The first rows, encoded, and their labels (zeros where they are not asked for)."""
        parts, taken = [], 0
        for table in self.tables(data, format, label=label):
            first = replace(table, frame=table.frame.head(rows - taken))
            dense, sparse = self.encoder.encode(first)
            labels = clicks_of(first, self.schema.label) if label else np.zeros(len(dense))
            parts.append((dense, sparse.astype(np.int64), labels.astype(np.float32)))
            taken += len(dense)
            if taken >= rows:
                break
        dense_parts, sparse_parts, label_parts = zip(*parts, strict=True)
        return (
            np.concatenate(dense_parts),
            np.concatenate(sparse_parts),
            np.concatenate(label_parts),
        )
