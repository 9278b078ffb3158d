"""Log loss, ROC AUC, grouped AUC (all exact) and calibration, and their measurement on a split."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from nasrec.train.reliability import bias_ratio, calibration_error

if TYPE_CHECKING:
    from nasrec.data import Batch, Split

EVALUATION_BATCH = 8192  # rows; a larger one gains no speed on CPU and costs memory
NO_GROUP = np.uint64(2**64 - 1)  # as prepared data mark rows without a value of their group


@dataclass(frozen=True)
class Metrics:
    """What a model scores on a split; NaN where something is not defined or was not measured.

    Attributes:
        logloss, auc: see the functions of these names; `auc` needs rows of both classes.
        rows: how many there are.
        ece, bias: those of `train.reliability`.
        grouped_auc: needs rows that belong to groups.
        normalized_entropy: see the function of this name.
    """

    logloss: float
    auc: float
    rows: int
    ece: float = math.nan
    bias: float = math.nan
    grouped_auc: float = math.nan
    normalized_entropy: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def _vector(values: Tensor | ArrayLike) -> NDArray[Any]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return array.reshape(-1)


def log_loss(
    logits: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    weights: Tensor | ArrayLike | None = None,
) -> float:
    """Mean negative log likelihood (natural log) of 0/1 labels under logits, in float64.

    Computed from logits, so a confident model's loss neither overflows nor needs clipping.
    NaN for no rows. All arguments have shape (rows,); without weights all rows count the same.
    """
    x, y = _vector(logits).astype(np.float64), _vector(labels)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} logits for {y.size} labels")
    # -log sigmoid(x) for a click, -log sigmoid(-x) for none; log(e^0 + e^z) is stable for any z
    return _mean(np.logaddexp(0.0, np.where(y > 0.5, -x, x)), weights)


def _mean(losses: NDArray[np.float64], weights: Tensor | ArrayLike | None) -> float:
    if not losses.size:
        return float("nan")
    if weights is None:
        return float(losses.mean())
    w = _vector(weights).astype(np.float64)
    return float((losses * w).sum() / w.sum())


def log_loss_of_probabilities(
    probabilities: Tensor | ArrayLike, labels: Tensor | ArrayLike
) -> float:
    """The same from probabilities, clipped to [eps, 1 - eps] of their dtype like scikit-learn."""
    given, y = _vector(probabilities), _vector(labels)
    if given.shape != y.shape:
        raise ValueError(f"{given.size} probabilities for {y.size} labels")
    kind = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
    eps = float(np.finfo(kind).eps)
    p = np.clip(given.astype(np.float64), eps, 1 - eps)
    return float(-np.log(np.where(y > 0.5, p, 1 - p)).mean()) if p.size else float("nan")


def auc(
    scores: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    weights: Tensor | ArrayLike | None = None,
) -> float:
    """Area under the ROC curve, exact: ties count one half, and the sum is in integers.

    NaN where it is not defined: one class only, no rows, or a score that is NaN.
    All arguments have shape (rows,); any increasing function of the probability will do. With
    weights a row counts as so many, and the sum is in float64.
    """
    s = scores.detach() if isinstance(scores, Tensor) else torch.from_numpy(_vector(scores).copy())
    y = labels.detach() if isinstance(labels, Tensor) else torch.from_numpy(_vector(labels).copy())
    s, y = s.reshape(-1).cpu(), y.reshape(-1).cpu()
    if s.shape != y.shape:
        raise ValueError(f"{s.numel()} scores for {y.numel()} labels")
    if not s.numel() or bool(torch.isnan(s).any()):
        return float("nan")
    s, order = torch.sort(s)  # torch's sort takes half the time of numpy's
    if weights is None:
        counts = torch.ones(len(y), dtype=torch.int64)
    else:
        counts = torch.from_numpy(_vector(weights).astype(np.float64))[order]
    clicks = (y[order] > 0.5).to(counts.dtype) * counts
    ends = torch.cat((torch.nonzero(s[1:] != s[:-1])[:, 0], torch.tensor([s.numel() - 1])))
    positives = torch.cumsum(clicks, 0)[ends]  # at and below each group of ties
    negatives = torch.cumsum(counts, 0)[ends] - positives
    n_positive, n_negative = positives[-1].item(), negatives[-1].item()
    if not n_positive or not n_negative:
        return float("nan")
    zero = torch.zeros(1, dtype=counts.dtype)
    below = torch.cat((zero, negatives[:-1]))
    here = torch.diff(positives, prepend=zero)
    # twice the Mann-Whitney U: a group's clicks beat all below and half of those beside them
    twice_u = (here * (below + negatives)).sum().item()
    return float(twice_u / (2 * n_positive * n_negative))


def grouped_auc(
    scores: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    groups: ArrayLike,
    weights: Tensor | ArrayLike | None = None,
) -> float:
    """AUC within groups: Σ_g n_g · AUC_g / Σ_g n_g over the groups that have both classes.

    It asks whether a user's clicks stand above the same user's other rows, which is what a ranking
    for one user needs; differences between users do not count. n_g is the number of rows of group
    g (their weight, with weights). Exact, ties count one half, no loop over rows or groups.

    Args:
        scores: (rows,), any increasing function of the probability.
        labels: (rows,), 0 or 1.
        groups: (rows,) numbers; rows of the group `NO_GROUP` are left out.
        weights: (rows,), or None.

    Returns:
        NaN where no group has both classes, or a score is NaN.

    Source: GAUC in Zhu et al., *Optimized Cost per Click in Taobao Display Advertising*, KDD 2017.
    """
    s, y, g = _vector(scores), _vector(labels) > 0.5, np.asarray(groups).reshape(-1)
    if not s.shape == y.shape == g.shape:
        raise ValueError(f"{s.size} scores for {y.size} labels in {g.size} groups")
    w = np.ones(len(s), dtype=np.int64) if weights is None else _vector(weights).astype(np.float64)
    if not s.size or np.isnan(s).any():
        return float("nan")
    order = np.argsort(s)
    order = order[np.argsort(g[order], kind="stable")]
    order = order[g[order] != NO_GROUP] if g.dtype == NO_GROUP.dtype else order
    if not order.size:
        return float("nan")
    s, y, g, w = s[order], y[order], g[order], w[order]
    begins_group = np.concatenate([[True], g[1:] != g[:-1]])
    begins_tie = begins_group | np.concatenate([[True], s[1:] != s[:-1]])
    ties = np.flatnonzero(begins_tie)  # where rows of one group and score begin
    of_groups = np.flatnonzero(begins_group[ties])  # where the ties of a group begin
    clicks, others = (np.add.reduceat(np.where(of, w, 0), ties) for of in (y, ~y))
    below = np.cumsum(others) - others
    below = below - np.repeat(below[of_groups], np.diff([*of_groups, len(ties)]))
    # twice the Mann-Whitney U of each group, as in `auc`
    twice_u = np.add.reduceat(clicks * (2 * below + others), of_groups)
    positives, negatives = (np.add.reduceat(n, of_groups) for n in (clicks, others))
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return float("nan")
    positives, negatives = positives[both], negatives[both]
    areas = twice_u[both] / (2 * positives * negatives)
    return float(np.average(areas, weights=positives + negatives))


def normalized_entropy(
    logloss: float, labels: Tensor | ArrayLike, weights: Tensor | ArrayLike | None = None
) -> float:
    """Log loss divided by that of always predicting the rows' own click rate.

    Below 1 is better than knowing the rate alone. It allows comparing logs of different click
    rates; on the same rows it orders models as log loss does. NaN for one class only.

    Source: He et al., *Practical Lessons from Predicting Clicks on Ads at Facebook*, 2014.
    """
    rate = _mean((_vector(labels) > 0.5).astype(np.float64), weights)
    if not 0 < rate < 1:
        return float("nan")
    return float(logloss / -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate)))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; itself when it is there already."""
    if device.type == "cpu":
        return batch
    return batch.map(lambda tensor: tensor.to(device, non_blocking=True))


def predict_logits(model: nn.Module, split: Split, batch_size: int = EVALUATION_BATCH) -> Tensor:
    """Logits of every row of a split, in order, on the CPU: shape (rows,), float32.

    The model computes in evaluation mode and is given back in the mode it was in.
    """
    first = next(model.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    logits = torch.empty(len(split), dtype=torch.float32)
    was_training, row = model.training, 0
    model.eval()
    try:
        with torch.inference_mode():
            for batch in split.batches(batch_size):
                batch = to_device(batch, device)
                rows = len(batch.labels)
                logits[row : row + rows] = model(batch.dense, batch.sparse)
                row += rows
    finally:
        model.train(was_training)
    return logits


def evaluate(model: nn.Module, split: Split, batch_size: int = EVALUATION_BATCH) -> Metrics:
    """Metrics of a model on all rows of a split."""
    return metrics_on(split, predict_logits(model, split, batch_size))


def metrics_on(split: Split, logits: Tensor | ArrayLike) -> Metrics:
    """The same from logits, (rows,), of all rows of a split."""
    return metrics_of(logits, split.labels, split.weights, split.groups)


def metrics_of(
    logits: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    weights: Tensor | ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Metrics:
    """Metrics of logits; all arguments have shape (rows,).

    Weights do not count for calibration, which is that of rows. Without groups there is no grouped
    AUC.
    """
    x, y = _vector(logits), _vector(labels)
    p = np.exp(-np.logaddexp(0.0, -x.astype(np.float64)))
    loss = log_loss(x, y, weights)
    return Metrics(
        logloss=loss,
        auc=auc(x, y, weights),
        rows=x.size,
        ece=calibration_error(p, y),
        bias=bias_ratio(p, y),
        grouped_auc=math.nan if groups is None else grouped_auc(x, y, groups, weights),
        normalized_entropy=normalized_entropy(loss, y, weights),
    )
