"""A file in the format of the Criteo Kaggle log, of any size, with its vocabularies' real sizes.

Of each large field half of the values are drawn from a long tail (log-uniform ranks) and half from
the whole vocabulary evenly, so that of 45.8 million rows nearly all values are seen, most of them
once or twice, as in the real log. Counts are log-normal; a fifth of them and a tenth of the values
of some fields are missing. There is nothing to learn in it: labels are drawn at random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasrec.data.protocols import CRITEO_SIZES

DENSE, DIGITS, HEX, TAB, NEWLINE = 13, 6, 8, 9, 10
CLICK_RATE, MISSING_COUNTS, MISSING_VALUES = 0.2562, 0.2, 0.1
SOMETIMES_MISSING = (2, 3, 11, 15, 18, 19, 20, 21, 24, 25)
TAIL = 50_000
"""Vocabularies beyond this have a long tail."""
BLOCK = 50_000
"""Rows made at a time."""
_PAIRS = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), dtype="<u2")


def write(path: Path, rows: int, seed: int = 0) -> None:
    """Write a log, at about 150,000 rows a second."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, rows, BLOCK):
            file.write(_block(rng, min(BLOCK, rows - start)))


def _block(rng: np.random.Generator, rows: int) -> bytes:
    """Rows as text. Fields are set into places of fixed width, and what stays zero is taken out."""
    text = np.zeros((rows, 2 + DENSE * (DIGITS + 1) + len(CRITEO_SIZES) * (HEX + 1)), np.uint8)
    text[:, 0] = ord("0") + (rng.random(rows) < CLICK_RATE)
    text[:, 1] = TAB
    at = 2
    for _ in range(DENSE):
        counts = np.minimum(np.exp(rng.normal(1.5, 1.6, rows)), 10**DIGITS - 1).astype(np.int64)
        there = rng.random(rows) >= MISSING_COUNTS
        for digit in range(DIGITS):
            left = counts // 10 ** (DIGITS - 1 - digit)
            shown = there & ((left > 0) | (digit == DIGITS - 1))
            text[:, at + digit] = np.where(shown, ord("0") + left % 10, 0)
        text[:, at + DIGITS] = TAB
        at += DIGITS + 1
    for field, size in enumerate(CRITEO_SIZES):
        ranks = np.exp(rng.random(rows) * np.log(size)).astype(np.int64) - 1
        if size > TAIL:
            even = rng.random(rows) < 0.5
            ranks[even] = rng.integers(0, size, int(even.sum()))
        text[:, at : at + HEX] = _hexadecimal(ranks, field)
        if field in SOMETIMES_MISSING:
            text[rng.random(rows) < MISSING_VALUES, at : at + HEX] = 0
        text[:, at + HEX] = TAB
        at += HEX + 1
    text[:, -1] = NEWLINE
    flat = text.reshape(-1)
    return flat[flat != 0].tobytes()


def _hexadecimal(ranks: NDArray[np.int64], field: int) -> NDArray[np.uint8]:
    """(n, 8) characters: a number of 32 bits for each rank, all different within a field."""
    x = ranks.astype(np.uint32) * np.uint32(31) + np.uint32(field * 7919)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return _PAIRS[x.view(np.uint8).reshape(-1, 4)].view(np.uint8).reshape(-1, HEX)
