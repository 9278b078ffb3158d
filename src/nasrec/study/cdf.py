"""How good random subnets are: the distribution of their losses (paper Figure 12)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nasrec.data import PreparedData
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart
from nasrec.search.correlation import Floats
from nasrec.study.config import StudyConfig
from nasrec.study.estimate import tell_time, truth_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.statistics import Estimate, resample_counts
from nasrec.study.truth import ground_truth

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def quantile(values: Floats, share: float, counts: Floats) -> Floats:
    """(R,) the least value that `share` of each resample do not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, order], 1) >= max(1.0, share * len(values)) - 1e-9
    return np.asarray(values[order][reached.argmax(1)])


def cdf(path: Path, data: PreparedData, config: StudyConfig, tell: Reporter) -> Found:
    """The study; see `nasrec.study.run_study`."""
    tell_time(tell, {"subnets from scratch": truth_seconds(path, data, config)})
    truth = ground_truth(path, data, config, tell)
    loss, counts = truth.loss, resample_counts(len(truth.subnets), seed=config.seed)
    quantiles = {share: Estimate.of(quantile(loss, share, counts)) for share in SHARES}
    again = truth.logloss[:, np.isfinite(truth.logloss).all(0)]
    repeats = again.std(0, ddof=1).mean() if config.seeds > 1 else float("nan")
    ordered = np.sort(loss)
    steps = [(float(v), (i + 1) / len(ordered)) for i, v in enumerate(ordered)]
    figure = chart(
        "Share of random subnets whose test log loss is at most so much",
        Axis("test log loss"),
        Axis("share of subnets", limits=(0.0, 1.02)),
        [Series("subnets", steps, "ours", "steps")],
    )
    words = (
        f"{len(loss)} random subnets of {config.space.name}, up to {config.seeds} trainings "
        "each; test log loss, mean over the trainings. Brackets: 95 % bootstrap intervals over "
        "subnets. Those of the best and the worst reach to one side only."
    )
    if np.isfinite(repeats):
        words += f" Standard deviation between trainings of one subnet: {repeats:.4f} on average."
    return Found(
        {
            "quantiles": {str(share): e.to_dict() for share, e in quantiles.items()},
            "logloss": truth.logloss.tolist(),
            "between_seeds": float(repeats),
            "failed_trainings": truth.failed,
        },
        ("share of subnets", "test log loss at most"),
        [
            ("best" if share == 0 else f"{share:.0%}", estimate.text(4))
            for share, estimate in quantiles.items()
        ],
        words,
        sheet([(f"{config.space.name}: random subnets", figure)]),
    )
