"""The stable 64-bit hash of a text, the same on every machine and in every version.

So that another program can repeat it, with all arithmetic modulo 2**64, for a text of n bytes of
UTF-8, cut into words of 8 bytes (little-endian, the last one filled up with zero bytes):

    h = n * 0x9E3779B97F4A7C15
    for each word: h = mix(h xor word)
    mix(h): h ^= h >> 30; h *= 0xBF58476D1CE4E5B9; h ^= h >> 27; h *= 0x94D049BB133111EB;
            h ^= h >> 31

`mix` is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014). A missing value has the hash
2**64 - 1. Among ten million texts, two share a hash with a probability of 3 in a million.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.native import library

MISSING = np.uint64(2**64 - 1)
BLOCK = 1 << 16
"""Texts hashed at a time, to need little memory."""

_START = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ONES = np.uint64(2**64 - 1)


def hash_texts(texts: pl.Series) -> NDArray[np.uint64]:
    """(n,) the hash of each text of a String series."""
    hashes = np.empty(len(texts), dtype=np.uint64)
    lengths = texts.str.len_bytes()
    if len(texts) and lengths.min() == lengths.max() == 8:
        # One word each, as hexadecimal ids often are: without copying the texts.
        words = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.UInt64, endianness="little")
        hashes[...] = 8 * int(_START) % 2**64
        _mix(hashes, words.fill_null(0).to_numpy())
        if texts.null_count():
            hashes[texts.is_null().to_numpy()] = MISSING
        return hashes
    for start in range(0, len(texts), BLOCK):
        part = texts.slice(start, BLOCK)
        hashes[start : start + BLOCK] = _hash(part.fill_null("") if part.null_count() else part)
        if part.null_count():
            hashes[start : start + BLOCK][part.is_null().to_numpy()] = MISSING
    return hashes


def _hash(texts: pl.Series) -> NDArray[np.uint64]:
    lengths = texts.str.len_bytes().to_numpy()
    together = texts.str.join("").item().encode() + bytes(8)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    # Eight bytes from any byte on, as one word: a view with a stride of one byte.
    words = np.ndarray((len(together) - 7,), "<u8", together, strides=(1,))
    hashes = lengths.astype(np.uint64) * _START
    longest, shortest = int(lengths.max()), int(lengths.min())
    for offset in range(0, longest, 8):
        if offset + 8 <= shortest:
            _mix(hashes, words[starts + offset])
            continue
        rows = np.flatnonzero(lengths > offset)
        left = np.minimum(lengths[rows] - offset, 8).astype(np.uint64)
        word = words[starts[rows] + offset] & (_ONES >> (np.uint64(8) * (np.uint64(8) - left)))
        part = hashes[rows]
        _mix(part, word)
        hashes[rows] = part
    return hashes


def _mix(hashes: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Take one word into each hash, in place."""
    hashes ^= words
    hashes ^= hashes >> np.uint64(30)
    hashes *= _FIRST
    hashes ^= hashes >> np.uint64(27)
    hashes *= _SECOND
    hashes ^= hashes >> np.uint64(31)


class Distinct(NamedTuple):
    """Different hashes; the number among them of each that was given; and a row of those given that
    has each."""

    hashes: NDArray[np.uint64]
    numbers: NDArray[Any]
    rows: NDArray[np.int64]


def distinct(hashes: NDArray[np.uint64]) -> Distinct:
    """Hashes by numbers, in no order."""
    kernels = library()
    if kernels is None:
        found, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        return Distinct(found, inverse, first.astype(np.int64))
    hashes = np.ascontiguousarray(hashes)
    keys, numbers = np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.uint32)
    rows = np.empty(len(hashes), np.int64)
    kernels.distinct_hashes.restype = ctypes.c_long
    pointers = (ctypes.c_void_p(x.ctypes.data) for x in (hashes, keys, numbers, rows))
    count = kernels.distinct_hashes(ctypes.c_long(len(hashes)), *pointers)
    if count < 0:
        raise MemoryError
    return Distinct(keys[:count].copy(), numbers, rows[:count].copy())


def look_up(
    hashes: NDArray[np.uint64], known: NDArray[np.uint64], ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(n,) the ids of hashes, 0 for those not known.

    Args:
        hashes: (n,) in any order; those that rise are found faster.
        known: (m,) rising.
        ids: (m,) of each that is known.
    """
    if not len(known):
        return np.zeros(len(hashes), dtype=np.int32)
    kernels = library()
    if kernels is None:
        places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return np.where(known[places] == hashes, ids[places], np.int32(0))
    hashes, found = np.ascontiguousarray(hashes), np.empty(len(hashes), np.int32)
    kernels.look_up(
        ctypes.c_long(len(hashes)), ctypes.c_void_p(hashes.ctypes.data),
        ctypes.c_long(len(known)),
        *(ctypes.c_void_p(x.ctypes.data) for x in (known, ids, found)),
    )  # fmt: skip
    return found
