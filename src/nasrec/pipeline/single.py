"""Training one model from scratch, outside any search."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasrec.data import PreparedData, prepare
from nasrec.errors import ConfigError, RunError, SpaceError
from nasrec.nn import build_baseline
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.pipeline.data import DataRequest, inputs_of
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial, run_trial
from nasrec.serve import Calibration, Model, ModelSpec, load_model, report, save_model
from nasrec.space import Architecture, load_architecture, load_space
from nasrec.train import TrainConfig
from nasrec.train.recipes import FROM_SCRATCH, in_passes


def train(
    data: PreparedData,
    model: Architecture | str,
    out: str | Path,
    *,
    options: ModelOptions | None = None,
    config: TrainConfig | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Model:
    """Train one model from scratch and write it as a model folder.

    Early stopping is on validation; the test rows are read once, at the end.

    Args:
        data: prepared data.
        model: an architecture, or the name of a hand-made model (`nasrec.nn.BASELINES`).
        out: the model folder; must not exist.
        options: how the model is made.
        config: how it is trained.
        seed: its initial weights and the order of the rows.
        reporter: tells how it goes; on standard error by default.

    Example:
        >>> data = nasrec.prepare("log.csv", "data", label="click")
        >>> model = nasrec.train(data, "logreg", "logreg")
        >>> sorted(model.metrics)
        ['test', 'valid']
    """
    out, config = Path(out), config or FROM_SCRATCH
    if out.exists():
        raise RunError("the folder exists already", where=str(out), mend="give another --out")
    architecture = model if isinstance(model, Architecture) else None
    name = "nasrec" if isinstance(model, Architecture) else model
    spec = ModelSpec(name, inputs_of(data), options or ModelOptions(), architecture)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        trial = Trial(name, name, spec, config, seed)
        result = run_trial(trial, data, aside / name, reporter or Reporter())
        save_model(
            out,
            spec,
            result.network().state_dict(),
            data,
            calibration=Calibration.of(result.calibration),
            metrics={
                part.name: report(result.logits(part), part.labels, groups=part.groups)
                for part in (data.valid, data.test)
            },
            config={"training": config.model_dump(mode="json"), "seed": seed},
            history=result.folder,
        )
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return load_model(out)


def train_from_log(
    data: str | Path,
    out: str | Path,
    *,
    arch: str | None = None,
    model: str | None = None,
    space: str = "full",
    training: Mapping[str, Any] | None = None,
    options: ModelOptions | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
    **preparation: Any,
) -> Model:
    """`train` from names and files: a raw log is prepared first, the architecture is read.

    Args:
        data: a prepared folder or a raw log.
        out: the model folder; must not exist.
        arch: an architecture by name or file; or else
        model: the name of a hand-made model.
        space: name or file of the space that the architecture must be of.
        training: fields of TrainConfig; None leaves one as it is.
        options: how the model is made.
        seed: of the split, the initial weights and the order of the rows.
        reporter: tells how it goes; on standard error by default.
        preparation: options of `nasrec.data.prepare` for a raw log.
    """
    if (arch is None) == (model is None):
        raise ConfigError(
            "what is to be trained?" if arch is None else "both --arch and --model are given",
            mend="give --arch published:criteo-full (or a file), or --model mlp",
        )
    if Path(out).exists():  # before any long work
        raise RunError("the folder exists already", where=str(out), mend="give another --out")
    given = {name: value for name, value in (training or {}).items() if value is not None}
    config = in_passes(FROM_SCRATCH, given.pop("epochs", FROM_SCRATCH.epochs))
    config = TrainConfig(**config.model_dump() | given)
    chosen: Architecture | str
    if arch is not None:
        chosen = load_architecture(arch)
        try:
            load_space(space).validate(chosen)
        except SpaceError as error:
            where = f"{arch}, {error.where}" if error.where else arch
            mend = f"{error.mend}; or name the space it is of with --space"
            raise SpaceError(error.what, where=where, mend=mend) from None
    else:
        chosen = str(model)
        build_baseline(chosen, Inputs(1, ()))  # refuses an unknown name before any long work
    asked = DataRequest(data, **preparation)
    with tempfile.TemporaryDirectory(prefix="nasrec-") as scratch:
        if asked.prepared:
            asked.describe()  # refuses options that do not apply
            prepared = PreparedData.open(Path(data))
        else:
            prepared = prepare(data, Path(scratch) / "data", seed=seed, **preparation)
        return train(
            prepared, chosen, out, options=options, config=config, seed=seed, reporter=reporter
        )
