"""The balanced dot product against the plain one (paper section 3.3, Table 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nasrec.data import PreparedData
from nasrec.errors import ConfigError
from nasrec.nn import SharedWeights
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.progress import Reporter
from nasrec.report.charts import Axis, Series, chart
from nasrec.space.operators import DOT_PRODUCT, PLAIN_DOT_PRODUCT
from nasrec.study.config import FINE_TUNED, StudyConfig
from nasrec.study.estimate import scores_seconds, tell_time, truth_seconds
from nasrec.study.figures import sheet
from nasrec.study.found import Found
from nasrec.study.scores import variant_scores
from nasrec.study.statistics import Estimate, resample_counts, statistic
from nasrec.study.truth import Truth, ground_truth
from nasrec.study.variants import SUPERNETS

HEAD = (
    "dot product", "supernet's weights", "supernet", "a subnet's weights", "its multiply-adds",
    "test log loss", "Kendall τ", "Spearman", "Pearson",
)  # fmt: skip
SHOWN = ("kendall", "spearman", "pearson")
PAPER = "paper"
DRAWS = 100
"""Of a full supernet, whose binary operators read two sources each: enough to meet all of them."""


def interactions(path: Path, data: PreparedData, config: StudyConfig, tell: Reporter) -> Found:
    """The study; see `nasrec.study.run_study`.

    The same subnets with one dot product and with the other, each from scratch, in a supernet of
    their own by the paper's recipe, and scored as in the paper.

    Args:
        path, data, config, tell: as in every study.

    Raises:
        ConfigError: the space has no dot product.
    """
    balanced, plain = DOT_PRODUCT.name, PLAIN_DOT_PRODUCT.name
    space, recipe = config.space, SUPERNETS[PAPER]
    if balanced not in space.dense_ops:
        raise ConfigError(
            f"space {space.name!r} has no operator {balanced}",
            mend=f"give a --space that has {balanced} among its dense_ops",
        )
    others = tuple(plain if name == balanced else name for name in space.dense_ops)
    without = space.with_(name=f"{space.name}, {plain}", dense_ops=others)
    studied = {
        balanced: (path, config),
        plain: (path / plain, config.model_copy(update={"space": without})),
    }
    seconds: dict[str, float] = {}
    for name, (folder, of) in studied.items():
        seconds[f"{of.subnets} subnets with {name}"] = truth_seconds(folder, data, of)
        seconds[f"their supernets ({name})"] = scores_seconds(folder, data, of, {PAPER: recipe})
    tell_time(tell, seconds)
    rows, charts = [], []
    for name, (folder, of) in studied.items():
        truth = ground_truth(folder, data, of, tell)
        scores = variant_scores(folder, data, of, PAPER, recipe, truth.subnets, tell)
        counts = resample_counts(len(truth.subnets), seed=config.seed)
        row: dict[str, Any] = {
            "name": name,
            "supernet_weights": supernet_weights(of, data),
            "weights": float(truth.weights.mean()),
            "madds": float(truth.madds.mean()),
            "logloss": truth.loss.tolist(),
            "subnets": [architecture.to_dict() for architecture in truth.subnets],
            "failed": scores.failed,
        }
        if scores.failed is None:
            found, rows_seen = scores.logloss[FINE_TUNED], len(data.train) * recipe.epochs
            row["supernet_rows_per_second"] = rows_seen / scores.supernet_seconds
            row["scores"] = found.tolist()
            row["statistics"] = {
                one: Estimate.of(statistic(one, found, truth.loss, counts)).to_dict()
                for one in SHOWN
            }
        rows.append(row)
        charts.append((f"{name}: from scratch", _chart(truth)))
    words = (
        f"{config.subnets} subnets of {space.name}, the same with one dot product and with the "
        "other; weights and multiply-adds are their means, those of the supernet are outside its "
        "embeddings. Test log loss from scratch: mean and standard deviation over subnets, best. "
        "Correlations of the paper's scores with it; brackets: 95 % bootstrap intervals over "
        "subnets."
    )
    return Found({"rows": rows}, HEAD, [_line(row) for row in rows], words, sheet(charts))


def supernet_weights(config: StudyConfig, data: PreparedData) -> int:
    """Weights that all subnets of a space share, embeddings aside."""
    shared = SharedWeights(config.space, inputs_of(data), config.model)
    rng = np.random.default_rng(config.seed)
    for _ in range(DRAWS):
        shared.subnet(config.space.maximal(rng))
    return sum(t.numel() for name, t in shared.tensors.items() if not name.startswith("embedding"))


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    loss, learned = np.array(row["logloss"]), row["failed"] is None
    return (
        row["name"],
        f"{row['supernet_weights']:,}",
        f"{row['supernet_rows_per_second']:,.0f} rows/s" if learned else "diverged",
        f"{row['weights']:,.0f}",
        f"{row['madds']:,.0f}",
        f"{loss.mean():.4f} ± {loss.std(ddof=1):.4f}, {loss.min():.4f}",
        *(Estimate(**row["statistics"][one]).text() if learned else "" for one in SHOWN),
    )


def _chart(truth: Truth) -> Any:
    points = [(float(m), float(v)) for m, v in zip(truth.madds, truth.loss, strict=True)]
    return chart(
        "Test log loss from scratch and multiply-adds a row",
        Axis("multiply-adds a row", log=True),
        Axis("test log loss"),
        [Series("subnets", points, "ours", "marks")],
    )
