"""The model folder: one trained model with all it needs to score raw rows.

    model/
      manifest.json        format, library versions, data fingerprint, size and sha256 of the rest
      schema.yaml          what the columns are
      encoder.parquet      how raw rows become numbers
      model.json           which model, on which columns, with which options
      architecture.json    of a NASRecNet only
      weights.safetensors
      metrics.json         what it scored, by split
      config.json          the settings it was trained with

Nothing in it is a pickle, and nothing is read that the manifest's checksums do not cover.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from nasrec.data import Encoder, PreparedData, Schema, Split
from nasrec.data.dataset import sha256_of_file
from nasrec.data.encode import ENCODER_FILE
from nasrec.data.formats import Chunk, format_of, open_log
from nasrec.data.values import labels_of
from nasrec.errors import DataError, NasrecError, RunError
from nasrec.files import finite, folder_written_aside
from nasrec.nn import Inputs, ModelOptions, NASRecNet, build_baseline
from nasrec.nn.parameters import shapes_only
from nasrec.serve.versions import versions
from nasrec.space import Architecture
from nasrec.train.metrics import Metrics, evaluate, predict_logits

FORMAT = "nasrec-model/1"
NASREC = "nasrec"
AGAIN = "copy the folder again from where it was trained, or train the model again"


@dataclass(frozen=True)
class ModelSpec:
    """Which network a model is: enough to build it, without its weights.

    Attributes:
        model: `nasrec`, or a name in `nasrec.nn.BASELINES`.
        inputs: the columns it reads.
        options: how it is made.
        architecture: of a NASRecNet; None for the hand-made models.
    """

    model: str
    inputs: Inputs
    options: ModelOptions
    architecture: Architecture | None = None

    def build(self, seed: int = 0) -> nn.Module:
        """The network, newly initialised."""
        if self.architecture is not None:
            return NASRecNet(self.architecture, self.inputs, self.options, seed=seed)
        return build_baseline(self.model, self.inputs, self.options, seed=seed)

    def load(self, weights: Path) -> nn.Module:
        """The network with the weights of a safetensors file.

        Raises:
            RunError: the file is damaged, or holds other tensors than the network has.
        """
        if self.architecture is not None:  # large tables need not be initialised to be replaced
            network: nn.Module = NASRecNet(
                self.architecture, self.inputs, self.options, source=shapes_only
            )
        else:
            network = self.build()
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"the weights cannot be read: {error}", where=str(weights), mend=AGAIN
            ) from None
        needed = network.state_dict()
        if missing := [name for name in needed if name not in tensors]:
            raise RunError(
                f"{len(missing)} of {len(needed)} tensors are missing, the first is {missing[0]!r}",
                where=str(weights),
                mend=AGAIN,
            )
        if unknown := [name for name in tensors if name not in needed]:
            raise RunError(
                f"there is a tensor that the model does not have, {unknown[0]!r}",
                where=str(weights),
                mend=AGAIN,
            )
        for name, tensor in tensors.items():
            if tensor.shape != needed[name].shape:
                raise RunError(
                    f"the tensor {name!r} has the shape {tuple(tensor.shape)} and should have "
                    f"{tuple(needed[name].shape)}",
                    where=str(weights),
                    mend=AGAIN,
                )
        network.load_state_dict(tensors, assign=True)
        return network.eval()


class Model:
    """A trained model that scores raw rows; made by `load_model`.

    Attributes:
        path: its folder.
        spec: which network it is.
        schema: the columns it was trained on.
        metrics: what it scored, by split: `{"valid": {...}, "test": {...}}`.
        fingerprint: of the prepared data it was trained on.

    Example:
        >>> model = nasrec.load("run/model")  # doctest: +SKIP
        >>> model.predict_proba("new-rows.csv")  # doctest: +SKIP
        array([0.113, 0.471, ...])
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], spec: ModelSpec) -> None:
        self.path, self.spec = path, spec
        self.fingerprint: str = manifest["fingerprint"]
        self.schema = Schema.load(path / "schema.yaml")
        self.metrics: dict[str, dict[str, Any]] = _json(path / "metrics.json")

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
        return Encoder.load(self.path / ENCODER_FILE)

    def predict_proba(self, data: pl.DataFrame | str | Path) -> NDArray[np.float64]:
        """The click probability of each row, (rows,), in the order of the rows.

        Args:
            data: a data frame or a file with the columns of the schema; a label is not needed.

        Raises:
            DataError: a column is not there, or holds what it must not, with its place.
        """
        return _sigmoid(self._logits(self._table(data)))

    def evaluate(self, data: pl.DataFrame | str | Path, split: str = "test") -> Metrics:
        """Log loss and AUC on labelled rows.

        Args:
            data: a data frame, a file, or a prepared folder that this model was trained on.
            split: which part of a prepared folder.

        Raises:
            DataError: bad rows, or a folder that another encoder has prepared.
        """
        if not isinstance(data, pl.DataFrame) and Path(data).is_dir():
            return evaluate(self.network, self._split_of(Path(data), split))
        table = self._table(data)
        labels = labels_of(table, self.schema.label)
        return evaluate(self.network, self._encoded(table, labels))

    def _table(self, data: pl.DataFrame | str | Path) -> Chunk:
        """The rows, a file's read as its extension says, else as the training data were."""
        if isinstance(data, pl.DataFrame):
            return open_log(data).whole()
        trained = self.schema.format
        try:
            format = format_of(Path(data))
        except DataError:  # the extension says nothing
            if trained is None:
                raise
            format = trained
        log = open_log(data, format)
        if trained is not None and not set(self.encoder.columns) <= set(log.columns):
            # The format of the training data may compute columns from those that are there.
            other = open_log(data, trained)
            if set(log.columns) <= set(other.columns):
                log = other
        return log.whole()

    def _encoded(self, table: Chunk, labels: NDArray[np.float32]) -> Split:
        dense, sparse = self.encoder.encode(table)
        rate = float(labels.mean()) if len(labels) else 0.0
        return Split("given", dense, sparse, labels, click_rate=rate)

    def _logits(self, table: Chunk) -> NDArray[np.float64]:
        rows = self._encoded(table, np.zeros(table.frame.height, dtype=np.float32))
        return np.asarray(predict_logits(self.network, rows).double().numpy())

    def _split_of(self, folder: Path, split: str) -> Split:
        data = PreparedData.open(folder)
        if split not in ("train", "valid", "test"):
            raise DataError(f"there is no split {split!r}", mend="use train, valid or test")
        if sha256_of_file(folder / ENCODER_FILE) != sha256_of_file(self.path / ENCODER_FILE):
            raise DataError(
                "the data were prepared with another encoder than this model's",
                where=str(folder),
                mend="evaluate on the raw file instead",
            )
        part: Split = getattr(data, split)
        return part


def save_model(
    path: Path,
    spec: ModelSpec,
    weights: Mapping[str, Any],
    data: PreparedData,
    *,
    metrics: Mapping[str, Metrics],
    config: Mapping[str, Any],
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        path: the folder; must not exist.
        spec: which network it is.
        weights: its tensors by name.
        data: the prepared data it was trained on; schema and encoder are copied from there.
        metrics: what it scored, by split.
        config: the settings it was trained with, as plain JSON types.
    """
    if path.exists():
        raise RunError(
            "the folder exists already", where=str(path), mend="choose another, or delete it"
        )
    with folder_written_aside(path) as aside:
        for name in ("schema.yaml", ENCODER_FILE):
            shutil.copyfile(data.path / name, aside / name)
        _write(
            aside / "model.json",
            {"model": spec.model, "inputs": asdict(spec.inputs), "options": asdict(spec.options)},
        )
        if spec.architecture is not None:
            _write(aside / "architecture.json", spec.architecture.to_dict())
        save_file(dict(weights), aside / "weights.safetensors")
        _write(aside / "metrics.json", {split: m.to_dict() for split, m in metrics.items()})
        _write(aside / "config.json", config)
        files = {
            file.name: {"bytes": file.stat().st_size, "sha256": sha256_of_file(file)}
            for file in sorted(aside.iterdir())
        }
        _write(
            aside / "manifest.json",
            {
                "format": FORMAT,
                "versions": versions(),
                "fingerprint": data.fingerprint,
                "files": files,
            },
        )


def load_model(path: str | Path) -> Model:
    """Open a model folder, after verifying every file of it.

    Raises:
        RunError: not a model folder, of another format version, or damaged; with the file.
    """
    path = Path(path)
    if not path.is_dir():
        told = "this is a file" if path.exists() else "no such folder"
        raise RunError(told, where=str(path), mend="give a model folder, such as RUN/model")
    manifest = _manifest(path)
    for name, entry in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise RunError("the file is missing", where=str(file), mend=AGAIN)
        if file.stat().st_size != entry["bytes"] or sha256_of_file(file) != entry["sha256"]:
            raise RunError(
                "the file is damaged: its checksum is wrong", where=str(file), mend=AGAIN
            )
    content = _json(path / "model.json")
    architecture = None
    try:
        if content["model"] == NASREC:
            architecture = Architecture.from_dict(_json(path / "architecture.json"))
        spec = ModelSpec(
            content["model"],
            Inputs(**content["inputs"]),
            ModelOptions(**content["options"]),
            architecture,
        )
    except (KeyError, TypeError, NasrecError) as error:
        raise RunError(
            f"the model's description is not valid: {error}", where=str(path), mend=AGAIN
        ) from None
    return Model(path, manifest, spec)


def _manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file():
        beside = path / "model" / "manifest.json"
        raise RunError(
            "not a model folder: there is no manifest.json",
            where=str(path),
            mend=f"give {beside.parent}" if beside.is_file() else "give a folder such as RUN/model",
        )
    manifest = _json(file)
    name, _, version = str(manifest.get("format")).partition("/")
    if name != FORMAT.partition("/")[0]:
        raise RunError(
            f"not a model folder: its manifest is of the format {manifest.get('format')!r}",
            where=str(file),
            mend="give a folder such as RUN/model",
        )
    if manifest["format"] != FORMAT:
        raise RunError(
            f"the model has format version {version}, and this library reads version "
            f"{FORMAT.partition('/')[2]}",
            where=str(file),
            mend="use the version of nasrec that wrote it: "
            f"{manifest.get('versions', {}).get('nasrec', 'unknown')}",
        )
    needed = {"schema.yaml", ENCODER_FILE, "model.json", "weights.safetensors", "metrics.json"}
    if not isinstance(manifest.get("files"), dict) or "fingerprint" not in manifest:
        raise RunError("the manifest is damaged", where=str(file), mend=AGAIN)
    if missing := sorted(needed - set(manifest["files"])):
        raise RunError(f"the manifest does not list {missing[0]!r}", where=str(file), mend=AGAIN)
    return manifest


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot be read: {error}", where=str(path), mend=AGAIN) from None
    if not isinstance(content, dict):
        raise RunError("is not a JSON object", where=str(path), mend=AGAIN)
    return content


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(finite(content), indent=1) + "\n", encoding="utf-8")


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))
