from __future__ import annotations

import numpy as np

from nasrec.search import Guided, GuidedSettings, Score, search
from nasrec.search.evolution import Evolution, EvolutionSettings
from nasrec.search.guided import Ranker, encode
from nasrec.space import NASREC_FULL, Architecture

SIZES = {"population": 16, "generations": 20, "tournament": 8, "children": 4}


def test_equal_networks_are_encoded_alike() -> None:
    rng = np.random.default_rng(0)
    seen: dict[str, np.ndarray] = {}
    space = NASREC_FULL.with_(blocks=2, dense_dims=(8,), sparse_dims=(4,))
    lengths = set()
    for _ in range(300):
        architecture = space.sample(rng)
        code = encode(space, architecture)
        lengths.add(len(code))
        assert np.array_equal(seen.setdefault(architecture.digest, code), code)
    assert len(lengths) == 1
    assert len({code.tobytes() for code in seen.values()}) > 0.5 * len(seen)


def test_the_ranker_is_ridge_regression_and_orders_what_is_linear() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(60, 5)), rng.normal(size=5)
    ranker = Ranker(x, x @ w, 1.0)
    fresh = rng.normal(size=(40, 5))
    assert np.corrcoef(ranker(fresh), fresh @ w)[0, 1] > 0.95
    standard = (x - x.mean(0)) / x.std(0)
    ranks = np.argsort(np.argsort(x @ w)) / 59
    padded = np.vstack([standard, np.eye(5)])  # a penalty is as many rows of zeros
    expected = np.linalg.lstsq(padded, np.append(ranks - ranks.mean(), np.zeros(5)))[0]
    np.testing.assert_allclose(ranker.weights, expected, atol=1e-10)
    infinite = np.where(x[:, 0] > 1, np.inf, x[:, 0])
    assert np.isfinite(Ranker(x, infinite, 1.0)(fresh)).all()


def test_it_finds_better_ones_with_as_many_evaluations() -> None:
    space = NASREC_FULL.with_(blocks=4, dense_dims=(8, 16, 32), sparse_dims=(4, 8))
    some = encode(space, space.sample(np.random.default_rng(0)))
    taste = np.random.default_rng(2).normal(size=len(some))

    def score(architecture: Architecture) -> Score:
        return Score(float(taste @ encode(space, architecture)))

    def best(method: Evolution) -> float:
        return search(method, score, evaluations=80)[0].score.logloss

    guided = [best(Guided(space, GuidedSettings(**SIZES), seed=s)) for s in range(3)]
    plain = [best(Evolution(space, EvolutionSettings(**SIZES), seed=s)) for s in range(3)]
    assert np.mean(guided) < np.mean(plain)
