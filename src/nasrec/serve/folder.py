"""The model folder: one trained model with all it needs to score raw rows.

    model/
      manifest.json        format, library versions, data fingerprint, size and sha256 of the rest
      schema.yaml          what the columns are
      encoder.parquet      how raw rows become numbers
      model.json           which model, on which columns, with which options; of a blend its parts
      architecture.json    of a NASRecNet only; of a blend of them the first one's
      weights.safetensors
      calibration.json     what is done to logits before they are called probabilities
      metrics.json         what it scored, by split, with intervals
      statistics.json      missing and unknown values among the training rows, and how their numbers
                           are distributed
      sample.safetensors   some encoded validation rows with their logits, to check exports on
      config.json          the settings it was trained with
      training/            the records of its training: metrics.jsonl, TensorBoard events

Nothing in it is a pickle, and nothing is read that the manifest's checksums do not cover.
docs/serving.md describes each file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from nasrec.data import PreparedData, Schema
from nasrec.data.dataset import is_prepared, sha256_of_file
from nasrec.errors import NasrecError, RunError
from nasrec.files import finite, folder_written_aside, read_object
from nasrec.nn import Inputs, ModelOptions
from nasrec.serve.calibration import Calibration, fit_calibration
from nasrec.serve.drift import Trained, training
from nasrec.serve.encoding import ENCODER, SCHEMA, copy_encoder
from nasrec.serve.interval import report
from nasrec.serve.model import Data, Model, Rows
from nasrec.serve.spec import AGAIN, BLEND, NASREC, ModelSpec, blend_of
from nasrec.serve.versions import versions
from nasrec.space import Architecture
from nasrec.train.metrics import Metrics

NAME, VERSION = "nasrec-model", 4
READABLE = (2, 3, VERSION)
"""Of version 2, `statistics.json` has only the rates. Before version 4 there were no blends, and
NASRecNets had their BatchNorm behind a block's operators, and a `Flat` that read tokens only: those
are refused."""
SAMPLE_ROWS = 256
_NEEDED = (
    {SCHEMA, ENCODER, "model.json", "weights.safetensors", "metrics.json"}
    | {f"{name}.json" for name in ("calibration", "statistics", "config")}
    | {"sample.safetensors"}
)


def save_model(
    path: Path,
    spec: ModelSpec,
    weights: Mapping[str, Any],
    data: PreparedData,
    *,
    calibration: Calibration | None = None,
    metrics: Mapping[str, Metrics | Mapping[str, Any]],
    config: Mapping[str, Any],
    history: Path | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        path: the folder; must not exist.
        spec: which network it is.
        weights: its tensors by name.
        data: the prepared data it was trained on; schema and encoder are copied from there.
        calibration: of its logits; none if left out.
        metrics: what it scored with that, by split; see `nasrec.serve.interval.report`.
        config: the settings it was trained with, as plain JSON types.
        history: the folder with the records of its training; they are copied.
    """
    with _written(path, data.fingerprint) as aside:
        copy_encoder(data, aside)
        made: dict[str, Any] = {"model": spec.model, "options": asdict(spec.options)}
        if spec.parts:
            made["parts"] = [_described(part) for part in spec.parts]
        _write(aside / "model.json", {**made, "inputs": asdict(spec.inputs)})
        if spec.architecture is not None:
            _write(aside / "architecture.json", spec.architecture.to_dict())
        save_file(dict(weights), aside / "weights.safetensors")
        _write(aside / "calibration.json", (calibration or Calibration()).to_dict())
        found = {
            split: m.to_dict() if isinstance(m, Metrics) else dict(m)
            for split, m in metrics.items()
        }
        _write(aside / "metrics.json", found)
        _write(aside / "config.json", config)
        _write(aside / "statistics.json", asdict(training(data, spec.inputs.quantiles)))
        for file in sorted(history.iterdir()) if history is not None else ():
            if file.name == "metrics.jsonl" or file.name.startswith("events."):
                (aside / "training").mkdir(exist_ok=True)
                shutil.copyfile(file, aside / "training" / file.name)
        sample = _sample(spec, data, aside)
        save_arrays(sample._asdict(), aside / "sample.safetensors")


def _sample(spec: ModelSpec, data: PreparedData, folder: Path) -> Rows:
    """Validation rows, evenly spaced, scored by the weights as they were written."""
    chosen = np.unique(np.linspace(0, len(data.valid) - 1, SAMPLE_ROWS).astype(np.int64))
    batch = data.valid.take(chosen)
    # A batch's numbers lie among its other columns; safetensors would write what is between, too.
    dense = np.ascontiguousarray(batch.dense.numpy())
    sparse = batch.sparse.long().numpy()
    model = Model(
        folder,
        spec,
        fingerprint=data.fingerprint,
        schema=data.schema,
        metrics={},
        calibration=Calibration(),
        trained=Trained({}),
    )
    return Rows(dense, sparse, model.logits(dense, sparse))


def calibrate(
    model: Model,
    data: Data,
    out: str | Path,
    *,
    method: str = "isotonic",
    negative_rate: float = 1.0,
    split: str = "valid",
) -> Model:
    """The same model with calibrated probabilities, in a folder of its own.

    Args:
        model: the model; what calibration it has is replaced.
        data: rows that it was not trained on, with labels: its prepared folder, or a file.
        out: the folder; must not exist.
        method: `platt`, `isotonic`, or `none`.
        negative_rate: share of the rows without a click that these rows and the training rows
            hold, where negatives were sampled.
        split: which part of a prepared folder.

    Raises:
        NasrecError: bad data or settings, or `out` exists.
    """
    logits, labels, _, groups = model.labelled(data, split)
    fitted = fit_calibration(method, logits, labels, negative_rate)
    plain = fitted.for_rows_like_training()
    found = {"calibration": report(plain(logits), labels, groups=groups)}
    if is_prepared(data):
        others, others_labels, _, of = model.labelled(data, "test")
        found |= {"test": report(plain(others), others_labels, groups=of)}
    metrics = {**model.metrics, **found}
    with _written(Path(out), model.fingerprint) as aside:
        for file in sorted(model.path.rglob("*")):
            if file.is_file() and file.name != "manifest.json":
                target = aside / file.relative_to(model.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        _write(aside / "calibration.json", fitted.to_dict())
        _write(aside / "metrics.json", metrics)
        _write(aside / "statistics.json", asdict(model.trained))  # may be of an older version
    return load_model(out)


@contextmanager
def _written(path: Path, fingerprint: str) -> Iterator[Path]:
    """A folder to write a model into; it gets its manifest and its place at the end."""
    if path.exists():
        raise RunError(
            "the folder exists already", where=str(path), mend="choose another, or delete it"
        )
    try:
        with folder_written_aside(path) as aside:
            yield aside
            files = {
                file.relative_to(aside).as_posix(): {
                    "bytes": file.stat().st_size,
                    "sha256": sha256_of_file(file),
                }
                for file in sorted(aside.rglob("*"))
                if file.is_file()
            }
            _write(
                aside / "manifest.json",
                {
                    "format": f"{NAME}/{VERSION}",
                    "versions": versions(),
                    "fingerprint": fingerprint,
                    "files": files,
                },
            )
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"cannot write the model: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            mend="choose a folder that can be written, on a disk with room",
        ) from error


def load_model(path: str | Path) -> Model:
    """Open a model folder, after verifying every file of it.

    Raises:
        RunError: not a model folder, of another format version, or damaged; with the file.

    Example:
        >>> model = nasrec.load("model")
        >>> model.metrics["test"]["rows"]
        40
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
    try:
        inputs = Inputs(**content["inputs"])
        if content["model"] == BLEND:
            spec = blend_of([_spec(one, inputs, one["architecture"]) for one in content["parts"]])
        else:
            of_nasrec = content["model"] == NASREC
            architecture = _json(path / "architecture.json") if of_nasrec else None
            spec = _spec(content, inputs, architecture)
        calibration = Calibration.from_dict(_json(path / "calibration.json"))
    except (KeyError, TypeError, NasrecError) as error:
        raise RunError(
            f"the model's description is not valid: {error}", where=str(path), mend=AGAIN
        ) from None
    _require_made_as_now(path, spec, manifest)
    return Model(
        path,
        spec,
        fingerprint=str(manifest["fingerprint"]),
        schema=Schema.load(path / SCHEMA),
        metrics=_json(path / "metrics.json"),
        calibration=calibration,
        trained=_trained(path, str(manifest["format"])),
    )


def _require_made_as_now(path: Path, spec: ModelSpec, manifest: Mapping[str, Any]) -> None:
    """RunError for a network of an older version with parts that are made in another way now."""
    if manifest["format"] == f"{NAME}/{VERSION}" or spec.architecture is None:
        return
    flat = any("Flat" in block.dense_ops for block in spec.architecture.blocks)
    if flat or spec.options.batch_norm:
        part = "the operator Flat" if flat else "BatchNorm"
        raise RunError(
            f"{part} of a NASRecNet is made in another way since format version 4",
            where=str(path),
            mend="use the version of nasrec that wrote it, or train its architecture again "
            "(nasrec train --arch)",
        )


def _described(part: ModelSpec) -> dict[str, Any]:
    """A part of a blend, but for the columns, which are those of all."""
    architecture = None if part.architecture is None else part.architecture.to_dict()
    return {
        "model": part.model,
        "options": asdict(part.options),
        "architecture": architecture,
    }


def _spec(
    content: Mapping[str, Any], inputs: Inputs, architecture: Mapping[str, Any] | None
) -> ModelSpec:
    return ModelSpec(
        content["model"],
        inputs,
        ModelOptions(**content["options"]),
        None if architecture is None else Architecture.from_dict(architecture),
    )


def _trained(path: Path, format: str) -> Trained:
    content = _json(path / "statistics.json")
    try:
        return Trained(content) if format == f"{NAME}/2" else Trained(**content)
    except TypeError as error:
        raise RunError(
            f"the model's statistics are not valid: {error}", where=str(path), mend=AGAIN
        ) from None


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
    if name != NAME:
        raise RunError(
            f"not a model folder: its manifest is of the format {manifest.get('format')!r}",
            where=str(file),
            mend="give a folder such as RUN/model",
        )
    if version not in map(str, READABLE):
        wrote = manifest.get("versions")
        wrote = wrote.get("nasrec", "unknown") if isinstance(wrote, dict) else "unknown"
        raise RunError(
            f"the model has format version {version}, and this library reads version "
            f"{', '.join(map(str, READABLE))}",
            where=str(file),
            mend=f"use the version of nasrec that wrote it: {wrote}",
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or "fingerprint" not in manifest or not _entries_valid(files):
        raise RunError("the manifest is damaged", where=str(file), mend=AGAIN)
    if missing := sorted(_NEEDED - set(files)):
        raise RunError(f"the manifest does not list {missing[0]!r}", where=str(file), mend=AGAIN)
    return manifest


def _entries_valid(files: Mapping[str, Any]) -> bool:
    """Whether every entry is a file below the folder, with its size and checksum."""
    return all(
        isinstance(entry, dict)
        and {"bytes", "sha256"} <= set(entry)
        and not PurePosixPath(name).is_absolute()
        and ".." not in PurePosixPath(name).parts
        for name, entry in files.items()
    )


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, RunError, AGAIN)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(finite(content), indent=1) + "\n", encoding="utf-8")
