"""From batches to weights: one loop for standalone networks and for the supernet."""

from nasrec.train.checkpoint import Checkpoints, JsonLines
from nasrec.train.config import (
    SUPERNET_RECIPES,
    LoopConfig,
    Settings,
    SupernetConfig,
    TrainConfig,
)
from nasrec.train.criteria import CRITERIA, Criterion
from nasrec.train.fit import FitResult, fit
from nasrec.train.loop import Step, train_steps
from nasrec.train.metrics import (
    Metrics,
    auc,
    evaluate,
    grouped_auc,
    log_loss,
    log_loss_of_probabilities,
    metrics_of,
    metrics_on,
    normalized_entropy,
    predict_logits,
)
from nasrec.train.optim import (
    Adagrad,
    Adam,
    Optimizer,
    build_optimizer,
    clip_grad_norm,
    constant,
    cosine,
)
from nasrec.train.supernet import SupernetResult, train_supernet

__all__ = [
    "CRITERIA",
    "SUPERNET_RECIPES",
    "Adagrad",
    "Adam",
    "Checkpoints",
    "Criterion",
    "FitResult",
    "JsonLines",
    "LoopConfig",
    "Metrics",
    "Optimizer",
    "Settings",
    "Step",
    "SupernetConfig",
    "SupernetResult",
    "TrainConfig",
    "auc",
    "build_optimizer",
    "clip_grad_norm",
    "constant",
    "cosine",
    "evaluate",
    "fit",
    "grouped_auc",
    "log_loss",
    "log_loss_of_probabilities",
    "metrics_of",
    "metrics_on",
    "normalized_entropy",
    "predict_logits",
    "train_steps",
    "train_supernet",
]
