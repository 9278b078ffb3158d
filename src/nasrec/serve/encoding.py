"""The files of an encoder in a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from nasrec.data import Encoder, PreparedData
from nasrec.data.dataset import sha256_of_file
from nasrec.data.encode import ENCODER_FILE

SCHEMA, ENCODER = "schema.yaml", ENCODER_FILE


def copy_encoder(data: PreparedData, folder: Path) -> None:
    """Copy what encodes raw rows from a prepared folder into `folder`."""
    for name in (SCHEMA, ENCODER):
        shutil.copyfile(data.path / name, folder / name)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a model folder."""
    return Encoder.load(folder / ENCODER)


def same_encoder(one: Path, other: Path) -> bool:
    """Whether two folders hold one and the same encoder."""
    return sha256_of_file(one / ENCODER) == sha256_of_file(other / ENCODER)
