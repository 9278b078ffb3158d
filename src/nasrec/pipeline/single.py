"""Training one model from scratch, outside any search."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from nasrec.data import PreparedData
from nasrec.errors import RunError
from nasrec.nn.inputs import ModelOptions
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.trials import Trial, run_trial
from nasrec.serve import Model, ModelSpec, load_model, save_model
from nasrec.space import Architecture
from nasrec.train import TrainConfig


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
    """
    out, config = Path(out), config or TrainConfig()
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
        metrics: dict[str, Any] = {"valid": result.valid, "test": result.test(data)}
        state = result.network().state_dict()
        save_model(
            out, spec, state, data, metrics=metrics, config=config.model_dump(mode="json")
        )
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return load_model(out)
