"""A small learned predictor on top of scores: does knowing the architectures make them better?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasrec.search.correlation import Floats
from nasrec.search.guided import GuidedSettings, Ranker, encode
from nasrec.space import Architecture, SearchSpace

FOLDS = 10
WEIGHT = 0.25
"""Of the predicted rank, beside the score's own."""


def with_ranker(space: SearchSpace, subnets: Sequence[Architecture], scores: Floats) -> Floats:
    """Ranks of scores, mended by a ranker that has learnt from the scores of other subnets.

    The ranker is that of `method="guided"`. It sees scores only, no truth, and predicts each tenth
    of the subnets from the others: a score's own noise is not in what is predicted for it.

    Args:
        space: of the subnets.
        subnets: n architectures.
        scores: (seeds, n), lower is better.

    Returns:
        (seeds, n): ranks from 0 to 1, plus `WEIGHT` times the predicted ranks.
    """
    features = np.stack([encode(space, architecture) for architecture in subnets])
    fold, ridge = np.arange(len(subnets)) % FOLDS, GuidedSettings().ridge
    found = np.empty_like(scores)
    for seed, losses in enumerate(scores):
        found[seed] = np.argsort(np.argsort(losses, kind="stable")) / (len(losses) - 1)
        for left_out in range(FOLDS):
            others, these = fold != left_out, fold == left_out
            ranker = Ranker(features[others], losses[others], ridge)
            found[seed, these] += WEIGHT * ranker(features[these])
    return found
