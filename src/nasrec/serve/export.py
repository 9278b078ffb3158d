"""A model as a program for other runtimes, checked there before it is declared done.

    exported/
      model.onnx       or model.pt2; beyond 2 GB the tensors are in model.onnx.data beside it
      encoder.json     the encoder, as plain JSON
      encoder.py       a reference encoder that needs numpy only
      sample.npz       encoded rows (dense, sparse) with the probabilities they must give
      signature.json   names, types and shapes of inputs and outputs, the check, versions

The program takes encoded rows, `dense` (rows, n_dense) float32 and `sparse` (rows, F) int64, and
gives `logit` and `probability`, both (rows,) float32 and calibrated. F counts the slots: columns of
several values have more than one. The number of rows is free,
and the embedding tables are within.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nasrec.data import Encoder
from nasrec.errors import ConfigError, RunError
from nasrec.files import folder_written_aside
from nasrec.nn import count_weights
from nasrec.serve import reference_encoder
from nasrec.serve.calibration import CalibrationModule
from nasrec.serve.model import Data, Model, Rows
from nasrec.serve.versions import versions
from nasrec.train.platt import sigmoid

TOLERANCE = 1e-4
"""Largest difference of a logit or probability from ours; see `largest_difference`."""
CHECK_ROWS = 2048
TARGETS = {"onnx": "model.onnx", "torch": "model.pt2"}
ONNX_LIMIT = 2**31 - 2**24
"""Bytes up to which an ONNX file is one file; its format ends at 2 GiB."""
Run = Callable[[NDArray[np.float32], NDArray[np.int64]], tuple[Any, Any]]


@dataclass(frozen=True)
class Export:
    """A program that was exported and checked.

    Attributes:
        path: its folder.
        target: `onnx` or `torch`.
        rows: how many rows it was checked on.
        difference: the largest difference of a logit or probability from ours.
        external: whether the tensors lie in a file of their own.
    """

    path: Path
    target: str
    rows: int
    difference: float
    external: bool


_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.mm, torch.bmm)


class EmptySums(TorchFunctionMode):
    """Writes a product over no columns as the zeros it is.

    A log without numeric columns gives such products, and onnxruntime 1.31 returns whatever lies
    in memory for them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Called in the place of every function of torch."""
        kwargs = kwargs or {}
        if func is torch.addmm and args[1].shape[1] == 0:
            return args[0]
        if func is F.linear and args[0].shape[-1] == 0:
            x, weight, bias = (*args, kwargs.get("bias"))[:3]
            zeros = x.new_zeros((*x.shape[:-1], weight.shape[0]))
            return zeros if bias is None else zeros + bias
        if func in _PRODUCTS and args[0].shape[-1] == 0:
            return args[0].new_zeros((*args[0].shape[:-1], *args[1].shape[1:][-1:]))
        return func(*args, **kwargs)


class Program(nn.Module):
    """Network and calibration: encoded rows to calibrated logits and probabilities."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.calibration = CalibrationModule(model.calibration)
        self.requires_grad_(False)

    def forward(self, dense: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, n_dense) and (rows, F) to logits and probabilities, (rows,) each."""
        with EmptySums():
            logits = self.calibration(self.network(dense, sparse))
        return logits, torch.sigmoid(logits)


def export(
    model: Model,
    out: str | Path,
    *,
    to: str = "onnx",
    rows: Data | None = None,
    format: str | None = None,
) -> Export:
    """Export a model into a folder of its own, whole and checked or not at all.

    Args:
        model: the model.
        out: the folder; must not exist.
        to: `onnx` or `torch`.
        rows: rows to check it on; None takes the validation rows in the model folder.
        format: how to read `rows`.

    Raises:
        RunError: a package is not installed, `out` exists, or the exported program does not give
            what the model gives.
    """
    out = Path(out)
    if to not in TARGETS:
        raise ConfigError(f"cannot export to {to!r}", mend=f"use {' or '.join(TARGETS)}")
    if to == "onnx":
        require_onnx()
    if out.exists():
        raise RunError("the folder exists already", where=str(out), mend="give another --out")
    checked = model.encoded(rows, CHECK_ROWS, format)
    try:
        with folder_written_aside(out) as aside:
            external = write_program(model, aside / TARGETS[to], to)
            run = load_program(aside / TARGETS[to], to)
            difference = largest_difference(model, run, checked)
            if not difference <= TOLERANCE:
                raise RunError(
                    f"the exported program differs from the model by {difference:.2e}, more than "
                    f"{TOLERANCE:.0e}, and was not kept",
                    where=str(out),
                    mend="report this with the versions of torch and onnx, or export --to torch",
                )
            _write_beside(model, aside, to, checked, difference)
    except OSError as error:
        raise RunError(
            f"cannot write the exported model: {error.strerror or error}",
            where=str(out),
            mend="choose a folder that can be written, on a disk with room",
        ) from error
    return Export(out, to, len(checked.logits), difference, external)


def require_onnx() -> None:
    """RunError unless all that the export to ONNX needs is installed."""
    missing = [
        name
        for name in ("onnx", "onnxscript", "onnxruntime")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise RunError(
            f"ONNX needs packages that are not installed: {', '.join(missing)}",
            mend="pip install 'nasrec[onnx]'",
        )


def write_program(model: Model, path: Path, to: str) -> bool:
    """Write the program; whether its tensors went into a file beside it."""
    inputs = model.spec.inputs
    # Two rows: torch.export takes an example of one row for a program of one row.
    slots = sum(inputs.slots) or inputs.sparse
    example = torch.zeros(2, inputs.dense), torch.zeros(2, slots, dtype=torch.int64)
    free = {0: torch.export.Dim("rows", min=1)}
    with _quiet(), torch.no_grad():
        program = torch.export.export(Program(model).eval(), example, dynamic_shapes=(free, free))
        if to == "torch":
            torch.export.save(program, path)
            return False
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["dense", "sparse"],
            output_names=["logit", "probability"],
            verbose=False,
        )
        assert converted is not None
        external = 4 * count_weights(model.network) > ONNX_LIMIT
        converted.save(str(path), external_data=external)
    return external


def load_program(path: Path, to: str, threads: int | None = None) -> Run:
    """The exported program as a function of encoded rows, in its own runtime."""
    if to == "torch":
        with _quiet():
            program = torch.export.load(path).module()

        def run_torch(dense: NDArray[Any], sparse: NDArray[Any]) -> tuple[Any, Any]:
            with torch.inference_mode():
                logit, probability = program(torch.from_numpy(dense), torch.from_numpy(sparse))
            return logit.numpy(), probability.numpy()

        return run_torch
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}

    def run_onnx(dense: NDArray[Any], sparse: NDArray[Any]) -> tuple[Any, Any]:
        given = {"dense": dense, "sparse": sparse}
        logit, probability = session.run(None, {k: v for k, v in given.items() if k in taken})
        return logit, probability

    return run_onnx


def largest_difference(model: Model, run: Run, rows: Rows) -> float:
    """The largest difference of a logit or probability between a program and the model.

    On batches of one row, of a few and of all, since the number of rows is free. Differences of
    logits are in units of the largest logit if that is above 1: 32-bit sums round by their size.
    """
    ours = model.calibration(rows.logits)
    worst, scale = 0.0, max(1.0, float(np.abs(ours).max(initial=0.0)))
    for size in (1, 7, len(ours)):
        stop = min(len(ours), 4 * size)
        for start in range(0, stop, size):
            part = slice(start, start + size)
            logit, probability = run(
                np.ascontiguousarray(rows.dense[part]), np.ascontiguousarray(rows.sparse[part])
            )
            pairs = (logit, ours[part], scale), (probability, sigmoid(ours[part]), 1.0)
            for theirs, mine, unit in pairs:
                if theirs.shape != mine.shape:
                    return float("inf")
                worst = float(np.fmax(worst, np.abs(theirs - mine).max(initial=0.0) / unit))
                if not np.isfinite(theirs).all():
                    return float("inf")
    return worst


def exported_encoder(encoder: Encoder) -> dict[str, Any]:
    """An encoder as the plain JSON that `reference_encoder` reads."""
    return {
        "format": "nasrec-exported-encoder/1",
        "dense": [asdict(column) for column in encoder.dense],
        "categorical": [
            column.description()
            | {"values": None if column.values is None else column.values.to_list()}
            for column in encoder.categorical
        ],
    }


def _write_beside(model: Model, folder: Path, to: str, rows: Rows, difference: float) -> None:
    text = json.dumps(exported_encoder(model.encoder), ensure_ascii=False)
    (folder / "encoder.json").write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(str(reference_encoder.__file__), folder / "encoder.py")
    probability = sigmoid(model.calibration(rows.logits)).astype(np.float32)
    kept = slice(0, 256)
    np.savez(
        folder / "sample.npz",
        dense=rows.dense[kept],
        sparse=rows.sparse[kept],
        probability=probability[kept],
    )
    inputs = model.spec.inputs
    signature = {
        "format": "nasrec-export/1",
        "program": TARGETS[to],
        "inputs": {
            "dense": {"type": "float32", "shape": ["rows", inputs.dense]},
            "sparse": {
                "type": "int64",
                "shape": ["rows", sum(inputs.slots) or inputs.sparse],
                "ids": list(inputs.vocabulary),
                "slots": list(inputs.slots) or [1] * inputs.sparse,
            },
        },
        "outputs": {
            name: {"type": "float32", "shape": ["rows"]} for name in ("logit", "probability")
        },
        "calibration": model.calibration.to_dict(),
        "checked": {"rows": len(rows.logits), "largest_difference": difference},
        "versions": versions(),
    }
    (folder / "signature.json").write_text(json.dumps(signature, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own chatter, about packages that we do not use, is not for our users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
