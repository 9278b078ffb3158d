"""Splitting rows into train, valid and test: at random, stratified by label, by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import ConfigError


def split_rows(
    labels: NDArray[np.float32], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> list[NDArray[np.int64]]:
    """Row numbers of each part, ascending; together they are every row exactly once.

    Each part gets its fraction of the clicks and of the non-clicks, to the nearest row. The order
    comes from raw PCG64 output, which numpy promises never to change, so a seed means the same
    rows on every machine and in every version.

    Args:
        labels: (n,) 0 or 1.
        fractions: one number above 0 for each part, summing to 1.
        seed: a whole number, 0 or more.

    Raises:
        ConfigError: fractions or seed out of range.
    """
    if any(not fraction > 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"split fractions {tuple(fractions)} are not all above 0 with sum 1",
            mend="for instance 0.8 0.1 0.1",
        )
    if seed < 0:
        raise ConfigError(f"seed {seed} is below 0", mend="choose 0 or more")
    keys = np.random.PCG64(seed).random_raw(len(labels))
    parts: list[list[NDArray[np.int64]]] = [[] for _ in fractions]
    for value in (0, 1):
        rows = np.flatnonzero(labels == value)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        ends = np.round(np.cumsum(fractions) * len(rows)).astype(np.int64)
        ends[-1] = len(rows)
        for part, piece in zip(parts, np.split(rows, ends[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]
