"""The hand-made models, one file each, built and trained like a NASRecNet.

A new one joins the list below and thereby the conformance suite of `tests/nn`.
"""

from __future__ import annotations

import difflib
from typing import Protocol

from torch import Tensor, nn

from nasrec.errors import ConfigError
from nasrec.nn.baselines.dlrm import DLRM
from nasrec.nn.baselines.logistic import LogisticRegression
from nasrec.nn.baselines.mlp import MLP
from nasrec.nn.inputs import Inputs, ModelOptions

BASELINES: dict[str, type[nn.Module]] = {
    "logreg": LogisticRegression,
    "mlp": MLP,
    "dlrm": DLRM,
}


class Model(Protocol):
    """What every model offers: dense (B, n_dense), sparse ids (B, F), to logits (B,)."""

    madds: int

    def __call__(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Logits."""
        ...


def build_baseline(
    name: str, inputs: Inputs, options: ModelOptions | None = None, *, seed: int = 0
) -> nn.Module:
    """A newly initialised hand-made model; ConfigError, with the nearest names, if unknown."""
    if name not in BASELINES:
        near = difflib.get_close_matches(name, BASELINES, n=3, cutoff=0.3) or list(BASELINES)
        raise ConfigError(f"unknown model {name!r}", mend=f"did you mean {', '.join(near)}?")
    return BASELINES[name](inputs, options or ModelOptions(), seed=seed)
