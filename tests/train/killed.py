"""Trainings to be killed: `python -m tests.train.killed fit|supernet FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from nasrec.nn import SharedWeights
from nasrec.train import (
    FitResult,
    SupernetConfig,
    SupernetResult,
    TrainConfig,
    fit,
    train_supernet,
)
from tests.train.helpers import TinyNet, make_shared, make_split

TRAIN = TrainConfig(
    epochs=3,
    batch_size=32,
    evaluations_per_epoch=2,
    patience=None,
    learning_rate=0.3,
    calibrate=True,
)
SUPERNET = SupernetConfig(epochs=2, batch_size=64)


def run_fit(folder: Path | None, pause: float = 0.0) -> tuple[TinyNet, FitResult]:
    model = TinyNet(seed=3)
    result = fit(
        model,
        make_split(400, 1),
        make_split(150, 2),
        TRAIN,
        seed=5,
        checkpoint=folder,
        checkpoint_seconds=0.0,  # after every step
        progress=lambda done, total: time.sleep(pause),
    )
    return model, result


def run_supernet(folder: Path | None, pause: float = 0.0) -> tuple[SharedWeights, SupernetResult]:
    shared = make_shared(seed=7)
    result = train_supernet(
        shared,
        make_split(1000, 1),
        SUPERNET,
        seed=5,
        checkpoint=folder,
        checkpoint_seconds=0.0,
        progress=lambda done, total: time.sleep(pause),
    )
    return shared, result


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"fit": run_fit, "supernet": run_supernet}[sys.argv[1]](Path(sys.argv[2]), pause=0.02)
    print("finished")
