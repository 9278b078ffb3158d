"""LightGBM as a family of a comparison: gradient-boosted trees on the encoded columns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.data import PreparedData, Split
from nasrec.errors import ConfigError, RunError
from nasrec.files import write_json, written_aside
from nasrec.nn.rates import FOLDS
from nasrec.train import metrics_on
from nasrec.train.platt import UNCHANGED, calibrated
from nasrec.train.rates import SMOOTHING

LIGHTGBM = "lightgbm"
TITLE = "LightGBM"
PAPER = "Ke et al., NeurIPS 2017"

#: Columns of more ids are read through their click rates: LightGBM looks at single values of a
#: column only as far as they fit into its 255 bins.
MOST_CATEGORIES = 255
ROUNDS, PATIENCE = 2000, 50

#: What is tried, in this order: shapes of trees from LightGBM's default to smaller and larger.
SETTINGS: tuple[dict[str, Any], ...] = (
    {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20},
    {"num_leaves": 63, "learning_rate": 0.05, "min_data_in_leaf": 100},
    {"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 50, "lambda_l2": 10.0},
    {"num_leaves": 255, "learning_rate": 0.05, "min_data_in_leaf": 20, "feature_fraction": 0.7},
    {"num_leaves": 63, "learning_rate": 0.02, "min_data_in_leaf": 50, "feature_fraction": 0.7},
    {"num_leaves": 127, "learning_rate": 0.1, "min_data_in_leaf": 200, "lambda_l2": 10.0},
    {"num_leaves": 7, "learning_rate": 0.05, "min_data_in_leaf": 50, "lambda_l2": 10.0},
)


def require_lightgbm() -> Any:
    """The package; ConfigError if it is not installed."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: its compiled part finds no OpenMP
        raise ConfigError(
            f"LightGBM cannot be imported: {error}",
            mend="pip install 'nasrec[lightgbm]', or leave lightgbm out of the models",
        ) from None
    return lightgbm


def settings_of(trials: int) -> tuple[dict[str, Any], ...]:
    """The first so many settings; ConfigError if there are not as many."""
    if trials > len(SETTINGS):
        raise ConfigError(
            f"LightGBM has {len(SETTINGS)} settings to try, not {trials}",
            mend=f"ask for at most {len(SETTINGS)} trials, or leave lightgbm out",
        )
    return SETTINGS[:trials]


@dataclass(frozen=True)
class Features:
    """Turns encoded columns into what the trees read, learned from the training rows.

    Numbers as they are; columns of at most `MOST_CATEGORIES` ids as categories; of every larger
    column, and of those of several values, the smoothed click rate of its ids and the logarithm of
    their number of training rows (their means, where a row has several).

    Attributes:
        slots: ids a row of each column.
        small: for each column whether it is read as categories.
        rates: for each column its ids' logit of the smoothed click rate; empty where small.
        counts: for each column log(1 + rows) of its ids; empty where small.
    """

    slots: tuple[int, ...]
    small: tuple[bool, ...]
    rates: tuple[NDArray[np.float64], ...]
    counts: tuple[NDArray[np.float64], ...]

    @classmethod
    def learn(cls, data: PreparedData, sparse: NDArray[Any], labels: NDArray[Any]) -> Features:
        """From ids (rows, Σ slots), -1 where there is none, and labels (rows,)."""
        slots = data.slots or (1,) * data.n_sparse
        small = tuple(
            size <= MOST_CATEGORIES and slot == 1
            for size, slot in zip(data.vocabulary_sizes, slots, strict=True)
        )
        rates, counts = [], []
        for ids, size, is_small in zip(
            _columns(sparse, slots), data.vocabulary_sizes, small, strict=True
        ):
            clicks, rows = _tally(ids, labels, 0 if is_small else size)
            rates.append(_rate(clicks, rows, labels.mean()))
            counts.append(np.log1p(rows))
        return cls(slots, small, tuple(rates), tuple(counts))

    @property
    def categorical(self) -> list[int]:
        """Which columns of `matrix`, after the numbers, are categories."""
        return list(range(sum(self.small)))

    def matrix(self, dense: NDArray[Any], sparse: NDArray[Any]) -> NDArray[np.float32]:
        """(rows, n_dense) and ids (rows, Σ slots) to (rows, features): categories come first."""
        named, measured = [], []
        for i, ids in enumerate(_columns(sparse, self.slots)):
            if self.small[i]:
                named.append(ids[:, 0])
            else:
                measured += [_mean_of(self.rates[i], ids), _mean_of(self.counts[i], ids)]
        parts = [*named, *measured, *np.asarray(dense).T]
        return np.stack(parts, 1).astype(np.float32)

    def training_matrix(
        self, dense: NDArray[Any], sparse: NDArray[Any], labels: NDArray[Any], seed: int
    ) -> NDArray[np.float32]:
        """The same for the training rows, each row's click rates taken from the other folds."""
        found = self.matrix(dense, sparse)
        fold = np.random.default_rng(seed).integers(0, FOLDS, len(labels))
        place = sum(self.small)
        for i, ids in enumerate(_columns(sparse, self.slots)):
            if self.small[i]:
                continue
            for k in range(FOLDS):
                here = fold == k
                clicks, rows = _tally(ids[~here], labels[~here], len(self.rates[i]))
                rates = _rate(clicks, rows, labels.mean())
                found[here, place] = _mean_of(rates, ids[here])
            place += 2
        return found

    def save(self, path: Path) -> None:
        """Write to an npz file."""
        arrays = {f"{kind}{i}": a for kind, of in (("rates", self.rates), ("counts", self.counts))
                  for i, a in enumerate(of)}  # fmt: skip
        with written_aside(path) as aside, aside.open("wb") as file:
            np.savez(file, slots=np.array(self.slots), small=np.array(self.small), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Features:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            slots, small = (tuple(file[name].tolist()) for name in ("slots", "small"))
            rates, counts = (
                tuple(file[f"{kind}{i}"] for i in range(len(slots))) for kind in ("rates", "counts")
            )
        return cls(slots, small, rates, counts)


def _columns(sparse: NDArray[Any], slots: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    ends = np.cumsum(slots)
    for end, slot in zip(ends, slots, strict=True):
        yield sparse[:, end - slot : end]


def _tally(ids: NDArray[Any], labels: NDArray[Any], size: int) -> tuple[Any, Any]:
    """Clicks and rows of each id."""
    if not size:
        return np.zeros(0), np.zeros(0)
    there = ids >= 0
    flat = ids[there]
    clicks = np.broadcast_to(labels[:, None], ids.shape)[there]
    return np.bincount(flat, clicks, size), np.bincount(flat, minlength=size).astype(np.float64)


def _rate(clicks: NDArray[Any], rows: NDArray[Any], overall: float) -> NDArray[np.float64]:
    p = (clicks + SMOOTHING * overall) / (rows + SMOOTHING)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    found: NDArray[np.float64] = np.log(p / (1 - p))
    return found


def _mean_of(table: NDArray[np.float64], ids: NDArray[Any]) -> NDArray[np.float64]:
    used = ids >= 0
    total = np.where(used, table[np.maximum(ids, 0)], 0.0).sum(1)
    found: NDArray[np.float64] = total / np.maximum(used.sum(1), 1)
    return found


def _arrays(split: Split) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    batch = split.take(np.arange(len(split)))
    weights = None if batch.weights is None else batch.weights.numpy()
    return batch.dense.numpy(), batch.sparse.numpy(), batch.labels.numpy(), weights


def train_lightgbm(
    name: str,
    settings: dict[str, Any],
    seed: int,
    data: PreparedData,
    folder: Path,
    *,
    calibrate: bool,
) -> None:
    """Train with early stopping on validation log loss; leaves model.txt and result.json.

    With `calibrate` its logits get a slope and an intercept, as those of all other models.
    A training that was stopped begins anew. `weights` in the result are the leaves of all trees.
    """
    lightgbm = require_lightgbm()
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    dense, sparse, labels, weights = _arrays(data.train)
    features = Features.learn(data, sparse, labels)
    options = {"categorical_feature": features.categorical, "free_raw_data": True}
    train = lightgbm.Dataset(
        features.training_matrix(dense, sparse, labels, seed), labels, weight=weights, **options
    )
    dense, sparse, labels, weights = _arrays(data.valid)
    matrix = features.matrix(dense, sparse)
    valid = lightgbm.Dataset(matrix, labels, weight=weights, reference=train, **options)
    fixed = {
        "objective": "binary", "metric": "binary_logloss", "seed": seed, "num_threads": 1,
        "deterministic": True, "force_row_wise": True, "verbosity": -1,
        "bagging_fraction": 0.9, "bagging_freq": 1,  # else all seeds give the same trees
    }  # fmt: skip
    booster = lightgbm.train(
        {**fixed, **settings}, train, ROUNDS, valid_sets=[valid],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )  # fmt: skip
    features.save(folder / "features.npz")
    with written_aside(folder / "model.txt") as aside:
        booster.save_model(str(aside), num_iteration=booster.best_iteration)
    logits = booster.predict(matrix, raw_score=True, num_iteration=booster.best_iteration)
    platt, metrics = UNCHANGED, metrics_on(data.valid, logits)
    if calibrate:
        platt, metrics = calibrated(data.valid, logits)
    trees = booster.dump_model(num_iteration=booster.best_iteration)["tree_info"]
    write_json(
        folder / "result.json",
        {
            "name": name,
            "family": LIGHTGBM,
            "model": LIGHTGBM,
            "config": settings,
            "seed": seed,
            "weights": sum(tree["num_leaves"] for tree in trees),
            "embedding_weights": 0,
            "madds": 0,
            "failed": None,
            "valid": metrics.to_dict(),
            "calibration": platt._asdict(),
            "steps": len(trees),
            "seconds": time.perf_counter() - began,
        },
    )


class Boosted:
    """A trained model, read from its folder."""

    def __init__(self, folder: Path) -> None:
        lightgbm = require_lightgbm()
        try:
            self.booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
            self.features = Features.load(folder / "features.npz")
        except (OSError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise RunError(
                f"the trees cannot be read: {error}",
                where=str(folder),
                mend="delete this folder; the same command then trains them again",
            ) from None

    def __call__(self, dense: NDArray[Any], sparse: NDArray[Any]) -> NDArray[np.float32]:
        """Logits (rows,) of encoded rows."""
        matrix = self.features.matrix(dense, sparse)
        logits = self.booster.predict(matrix, raw_score=True, num_threads=1)
        return np.asarray(logits, dtype=np.float32)

    def logits(self, split: Split) -> NDArray[np.float32]:
        """Of all rows of a split, (rows,)."""
        dense, sparse, _, _ = _arrays(split)
        return self(dense, sparse)
