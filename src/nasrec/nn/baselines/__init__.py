"""The hand-made models, one file each, built and trained like a NASRecNet.

A new one joins the list below and thereby the conformance suite of `tests/nn`.
"""

from __future__ import annotations

from nasrec.errors import ConfigError, nearest
from nasrec.nn.baselines.autoint import AutoInt, AutoIntPlus
from nasrec.nn.baselines.dcn import DCN
from nasrec.nn.baselines.dcn_v2 import DCNV2
from nasrec.nn.baselines.deep_crossing import DeepCrossing
from nasrec.nn.baselines.deepfm import DeepFM
from nasrec.nn.baselines.dlrm import DLRM
from nasrec.nn.baselines.finalmlp import FinalMLP
from nasrec.nn.baselines.fm import FM
from nasrec.nn.baselines.layers import Baseline
from nasrec.nn.baselines.logistic import LogisticRegression
from nasrec.nn.baselines.masknet import MaskNet
from nasrec.nn.baselines.mlp import MLP
from nasrec.nn.baselines.wide_deep import WideDeep
from nasrec.nn.baselines.xdeepfm import XDeepFM
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.rates import behind_rates, reads_rates, with_rates

BASELINES: dict[str, type[Baseline]] = {
    "logreg": LogisticRegression,
    "mlp": MLP,
    "dlrm": DLRM,
    "fm": FM,
    "wide-deep": WideDeep,
    "deepfm": DeepFM,
    "deep-crossing": DeepCrossing,
    "dcn": DCN,
    "dcn-v2": DCNV2,
    "xdeepfm": XDeepFM,
    "autoint": AutoInt,
    "autoint-plus": AutoIntPlus,
    "finalmlp": FinalMLP,
    "masknet": MaskNet,
}


def build_baseline(
    name: str, inputs: Inputs, options: ModelOptions | None = None, *, seed: int = 0
) -> Baseline:
    """A newly initialised hand-made model; ConfigError, with the nearest names, if unknown."""
    if name not in BASELINES:
        raise ConfigError(f"unknown model {name!r}", mend=nearest(name, BASELINES))
    options = options or ModelOptions()
    if not reads_rates(inputs, options):
        return BASELINES[name](inputs, options, seed=seed)
    model = BASELINES[name](with_rates(inputs), options, seed=seed)
    behind_rates(model, inputs)
    return model
