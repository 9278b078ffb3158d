"""All models there are by name: hand-made ones and published NASRecNets, with what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from nasrec.nn.baselines import BASELINES, build_baseline
from nasrec.nn.cost import cost, count_dense_weights
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.network import NASRecNet
from nasrec.space import PUBLISHED, published


@dataclass(frozen=True)
class KnownModel:
    """One model on given columns.

    Attributes:
        name: as commands take it.
        title: how tables call it.
        paper: where it comes from.
        weights: weights it stores, embeddings excluded.
        madds: multiply-adds a row: matrix products, no embedding, no element-wise work.
    """

    name: str
    title: str
    paper: str
    weights: int
    madds: int


def catalogue(inputs: Inputs, options: ModelOptions | None = None) -> list[KnownModel]:
    """Every model, in the order of `BASELINES` and then of `PUBLISHED`."""
    options = options or ModelOptions()
    # Tables of one row: their weights do not count.
    inputs = Inputs(inputs.dense, (1,) * inputs.sparse)
    models = []
    for name, kind in BASELINES.items():
        model = build_baseline(name, inputs, options)
        weights = count_dense_weights(model)
        models.append(KnownModel(name, kind.title, kind.paper, weights, model.madds))
    for name in PUBLISHED:
        found = cost(published(name), inputs, options)
        models.append(
            KnownModel(
                f"published:{name}", NASRecNet.title, NASRecNet.paper, found.live_weights,
                found.live_madds,
            )
        )  # fmt: skip
    return models
