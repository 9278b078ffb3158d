"""The ground truth: subnets drawn from a space, each trained from scratch and tested."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import ConfigError
from nasrec.files import write_json
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.folder import read_json
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial, run_trial
from nasrec.search.correlation import Floats
from nasrec.serve import ModelSpec
from nasrec.space import Architecture
from nasrec.space.drawing import distinct
from nasrec.study.config import StudyConfig
from nasrec.study.statistics import FEWEST

_SUBNETS_STREAM = 21


@dataclass(frozen=True)
class Truth:
    """What training from scratch says of each subnet.

    Attributes:
        subnets: those of which every training ended well.
        logloss: (seeds, n) test log loss of each training; NaN where there was none.
        auc: (seeds, n) test AUC, likewise.
        weights: (n,) outside the embedding tables.
        madds: (n,) multiply-adds a row.
        seconds: wall time of all trainings.
        failed: number of subnets left out because a training diverged.
    """

    subnets: list[Architecture]
    logloss: Floats
    auc: Floats
    weights: Floats
    madds: Floats
    seconds: float
    failed: int

    @property
    def loss(self) -> Floats:
        """(n,) mean test log loss: what scores are compared with."""
        return np.asarray(np.nanmean(self.logloss, axis=0))

    @property
    def depth(self) -> Floats:
        """(n,) blocks that reach the logit."""
        return np.array([float(len(a.live_blocks)) for a in self.subnets])

    def of(self, i: int) -> tuple[list[float], list[float]]:
        """Test log losses and AUCs of one subnet's trainings."""
        there = np.isfinite(self.logloss[:, i])
        return self.logloss[there, i].tolist(), self.auc[there, i].tolist()


def cut(data: PreparedData, config: StudyConfig) -> PreparedData:
    """The data with at most `rows` rows a split, drawn by the seed."""
    data = copy.copy(data)
    data.train, data.valid, data.test = (
        some_rows(part, config.rows, config.seed) for part in (data.train, data.valid, data.test)
    )
    return data


def draw_subnets(config: StudyConfig) -> list[Architecture]:
    """Different networks of the space, drawn one after another: more are the same and some more.

    Raises:
        ConfigError: the space seems to hold fewer.
    """
    rng = np.random.default_rng([config.seed, _SUBNETS_STREAM])
    drawn = distinct(config.space, config.subnets, rng)
    if len(drawn) < config.subnets:
        raise ConfigError(
            f"space {config.space.name!r} seems to hold {len(drawn)} different networks only",
            mend="ask for fewer --subnets, or take a larger space",
        )
    return drawn


def seeds_for(number: int, config: StudyConfig) -> range:
    """The seeds that a subnet is trained with: all, or where others are repeated the first."""
    repeated = config.repeated is None or number < config.repeated
    return config.repeats if repeated else config.repeats[:1]


def folder_of(path: Path, number: int, seed: int) -> Path:
    """Where one training from scratch is."""
    return path / "truth" / f"subnet-{number}-seed-{seed}"


def diverged(path: Path, number: int, config: StudyConfig) -> bool:
    """Whether a training of this subnet is known to have come to nothing."""
    files = (folder_of(path, number, seed) / "test.json" for seed in seeds_for(number, config))
    return any(read_json(file)["logloss"] is None for file in files if file.is_file())


def ground_truth(path: Path, data: PreparedData, config: StudyConfig, tell: Reporter) -> Truth:
    """Train every subnet with every seed; what an earlier call has finished is read.

    Args:
        path: the study's folder.
        data: cut to the study's rows.
        config: the study's settings.
        tell: shows progress.

    Raises:
        ConfigError: so many trainings diverged that no correlation is left.
    """
    subnets = draw_subnets(config)
    inputs = inputs_of(data)
    tested: list[list[dict[str, Any]]] = []
    for number, architecture in enumerate(subnets):
        spec = ModelSpec("nasrec", inputs, config.model, architecture)
        tested.append([])
        for seed in seeds_for(number, config):
            folder = folder_of(path, number, seed)
            trial = Trial(folder.name, "truth", spec, config.training, seed)
            tested[-1].append(measured(trial, data, folder, tell))
    whole = [i for i, found in enumerate(tested) if all(math.isfinite(f["logloss"]) for f in found)]
    if len(whole) < FEWEST:
        raise ConfigError(
            f"only {len(whole)} of {len(subnets)} subnets could be trained, a correlation needs "
            f"{FEWEST}",
            mend="study more subnets, or train them at a lower --learning-rate",
        )

    def each(name: str) -> Floats:
        values = np.full((config.seeds, len(whole)), math.nan)
        for column, i in enumerate(whole):
            values[: len(tested[i]), column] = [found[name] for found in tested[i]]
        return values

    return Truth(
        [subnets[i] for i in whole],
        each("logloss"),
        each("auc"),
        each("weights")[0],
        each("madds")[0],
        float(sum(found["seconds"] for several in tested for found in several)),
        len(subnets) - len(whole),
    )


def measured(trial: Trial, data: PreparedData, folder: Path, tell: Reporter) -> dict[str, Any]:
    """Train and test, or read what was found; no weights are kept, a study has hundreds of them.

    Gives logloss, auc and valid (the validation log loss; all NaN where the training diverged),
    weights, madds, seconds.
    """
    file = folder / "test.json"
    if not file.is_file():
        result = run_trial(trial, data, folder, tell)
        found: dict[str, Any] = {
            "logloss": math.nan,
            "auc": math.nan,
            "valid": result.valid.logloss,
            "weights": result.weights,
            "madds": result.madds,
            "seconds": result.seconds,
        }
        if result.failed is None:
            metrics = result.test(data)
            found |= {"logloss": metrics.logloss, "auc": metrics.auc}
        write_json(file, found)
    for left in ("weights.safetensors", "test-logits.npy"):
        (folder / left).unlink(missing_ok=True)
    return {key: math.nan if value is None else value for key, value in read_json(file).items()}
