"""Small trained-looking models for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nasrec.data import PreparedData, SyntheticLog, prepare
from nasrec.nn import BASELINES, ModelOptions
from nasrec.pipeline import inputs_of
from nasrec.serve import Model, ModelSpec, load_model, save_model
from nasrec.serve.spec import blend_of
from nasrec.space import NASREC_FULL, Architecture
from nasrec.train import Metrics
from nasrec.train.rates import learn_rates

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))
OPTIONS = ModelOptions(embedding_dim=8, hidden=(8,), first_order=True, bends=True, click_rates=True)


def prepared(folder: Path, rows: int = 300, log: SyntheticLog = LOG) -> PreparedData:
    return prepare(log.generate(rows), folder / "data", label="label")


def spec_of(name: str, data: PreparedData) -> ModelSpec:
    inputs = inputs_of(data)
    if name == "blend":
        return blend_of([spec_of(part, data) for part in ("nasrec", "mlp")])
    if name in BASELINES:
        return ModelSpec(name, inputs, OPTIONS, None)
    space = NASREC_FULL.with_(dense_dims=(16,), sparse_dims=(16,), blocks=3)
    architecture = space.sample(np.random.default_rng(0))
    if name == "every operator":
        content = architecture.to_dict()
        content["blocks"][-1] |= {
            "dense_ops": (*space.dense_ops, "Flat"),
            "sparse_ops": space.sparse_ops,
            "left": 0,
            "right": 1,
        }
        architecture = Architecture.from_dict(content)
    return ModelSpec("nasrec", inputs, OPTIONS, architecture)


def saved(path: Path, data: PreparedData, name: str = "nasrec") -> torch.nn.Module:
    """A model folder, and the network that is in it."""
    spec = spec_of(name, data)
    network = spec.build(seed=3)
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():  # logistic regression starts at zero
        torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    learn_rates(network, data.train)
    metrics = {"valid": Metrics(0.5, 0.7, 30), "test": Metrics(0.6, float("nan"), 30)}
    save_model(path, spec, network.state_dict(), data, metrics=metrics, config={"epochs": 1})
    return network.eval()


def model_of(folder: Path, name: str = "nasrec", log: SyntheticLog = LOG) -> Model:
    """A model in `folder`/model, its data in `folder`/data."""
    saved(folder / "model", prepared(folder, log=log), name)
    return load_model(folder / "model")
