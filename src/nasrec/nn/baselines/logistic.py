"""Logistic regression on numeric columns and one-hot categories."""

from __future__ import annotations

from nasrec.nn.baselines.layers import Baseline
from nasrec.nn.first_order import FirstOrder
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.parameters import Maker, fresh


class LogisticRegression(FirstOrder, Baseline):
    """logit = b + w·x_dense + Σ_f v_f[id_f].

    Shapes: dense (B, n_dense), sparse (B, F) integer ids, to logits (B,).
    """

    title = "logistic regression"
    paper = "Richardson et al., WWW 2007"

    def __init__(self, inputs: Inputs, options: ModelOptions, *, seed: int = 0) -> None:
        super().__init__(inputs, options, Maker(fresh(seed)))
