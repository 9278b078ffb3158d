"""Where the numbers of a stage go while it works: JSON lines, TensorBoard, MLflow, callbacks."""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from nasrec.errors import RunError
from nasrec.train import JsonLines

#: Called with the stage's name (`supernet`, `search`, or a training's, such as `nasrec-1`) and a
#: record of numbers, whose `step` counts within the stage.
Listener = Callable[[str, Mapping[str, Any]], None]
Log = Callable[[Mapping[str, Any]], None]


@contextmanager
def stage_log(
    stage: str, folder: Path, listeners: Sequence[Listener] = (), lines: bool = True
) -> Iterator[Log]:
    """Gives what takes the records of one stage.

    Each goes to `folder`/metrics.jsonl, to a TensorBoard event file in `folder`, and to all
    listeners.

    Args:
        stage: its name, for the listeners.
        folder: where its files are.
        listeners: called with each record.
        lines: whether to write JSON lines; the search has its journal instead.
    """
    with ExitStack() as files:
        targets: list[Log] = [files.enter_context(EventFile(folder))]
        if lines:
            targets.append(files.enter_context(JsonLines(folder / "metrics.jsonl")))

        def log(record: Mapping[str, Any]) -> None:
            for target in targets:
                target(record)
            for listener in listeners:
                listener(stage, record)

        yield log


class EventFile:
    """Scalars for TensorBoard (`tensorboard --logdir run`), without a dependency on it.

    The file is a row of records, each its length, a checksum of that, an `Event` protocol buffer
    and a checksum of that (TensorFlow's TFRecord; checksums are masked CRC-32C). Opened anew after
    a kill, a stage goes on in another file of the same folder; TensorBoard joins them by step.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{os.getpid()}.nasrec"
        self._file = (folder / name).open("wb")
        self._write(_text(3, b"brain.Event:2"))

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a record, at its `step`."""
        step = int(record.get("step", 0))
        values = b"".join(
            _text(1, _text(1, name.encode()) + b"\x15" + struct.pack("<f", value))
            for name, value in record.items()
            if name != "step" and isinstance(value, int | float) and math.isfinite(value)
        )
        self._write(b"\x10" + _varint(step) + _text(5, values))

    def _write(self, fields: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked_crc(length) + event + _masked_crc(event))
        self._file.flush()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _varint(number: int) -> bytes:
    """A protocol buffer's integer, 7 bits a byte."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _text(field: int, content: bytes) -> bytes:
    """A protocol buffer's field of bytes."""
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _masked_crc(content: bytes) -> bytes:
    """CRC-32C (Castagnoli), rotated and shifted as TFRecord wants it."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@contextmanager
def mlflow_listener(name: str, settings: Mapping[str, Any]) -> Iterator[Listener]:
    """A listener that logs to MLflow, as one run called `name`.

    Where to is for MLflow's own settings to say, such as MLFLOW_TRACKING_URI.

    Raises:
        RunError: MLflow is not installed.
    """
    try:
        import mlflow
    except ImportError:
        raise RunError(
            "MLflow is not installed", mend="pip install 'nasrec[mlflow]', or leave out --mlflow"
        ) from None

    def listen(stage: str, record: Mapping[str, Any]) -> None:
        numbers = {
            f"{stage}/{name}": float(value)
            for name, value in record.items()
            if name != "step" and isinstance(value, int | float) and math.isfinite(value)
        }
        mlflow.log_metrics(numbers, step=int(record.get("step", 0)))

    try:
        run = mlflow.start_run(run_name=name)
        mlflow.log_params({key: str(value)[:500] for key, value in settings.items()})
    except Exception as error:  # whatever its store or its server has against us
        raise RunError(
            f"MLflow cannot be used: {str(error).splitlines()[0][:300]}",
            mend="check MLFLOW_TRACKING_URI, or leave out --mlflow",
        ) from error
    with run:
        yield listen
