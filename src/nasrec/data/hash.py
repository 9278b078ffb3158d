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

WORD = 8
"""Bytes mixed at a time."""
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


def texts_of_width(hashes: NDArray[np.uint64], width: int) -> pl.Series:
    """The texts of so many bytes, up to `WORD`, that have these hashes: mixing is one to one.

    Args:
        hashes: of texts of ASCII without newlines; `MISSING` becomes null.
        width: their bytes, 1 or more.
    """
    if not len(hashes):
        return pl.Series([], dtype=pl.String)
    words = _unmixed(hashes) ^ np.uint64(width * int(_START) % 2**64)
    missing = np.flatnonzero(hashes == MISSING)
    words[missing] = 0
    lines = np.full((len(words), width + 1), ord("\n"), np.uint8)
    lines[:, :width] = words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    found = pl.Series([lines.reshape(-1)[:-1].tobytes().decode()]).str.split("\n").explode()
    return found.scatter(missing, None) if len(missing) else found


def _unmixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What `_mix` has made hashes of, together with nothing."""
    x: NDArray[np.uint64] = hashes ^ hashes >> np.uint64(31) ^ hashes >> np.uint64(62)
    x *= np.uint64(pow(int(_SECOND), -1, 2**64))
    x ^= x >> np.uint64(27) ^ x >> np.uint64(54)
    x *= np.uint64(pow(int(_FIRST), -1, 2**64))
    x ^= x >> np.uint64(30) ^ x >> np.uint64(60)
    return x


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


class Known(NamedTuple):
    """Values that have ids: (m + 1,) their hashes, rising; (m + 1,) their ids, and 0; and where
    those begin whose hash begins with each number of `bits` bits."""

    hashes: NDArray[np.uint64]
    ids: NDArray[np.int32]
    starts: NDArray[np.uint32]
    bits: int

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], ids: NDArray[np.int32]) -> Known:
        """Values in any order."""
        order = np.argsort(hashes)
        bits = 1 + len(hashes).bit_length()
        tops = np.bincount((hashes >> np.uint64(64 - bits)).astype(np.int64), minlength=1 << bits)
        return cls(
            np.append(hashes[order], MISSING),
            np.append(ids[order], np.int32(0)),
            np.append(0, np.cumsum(tops)).astype(np.uint32),
            bits,
        )


def look_up(hashes: NDArray[np.uint64], known: Known) -> NDArray[np.int32]:
    """(n,) the ids of hashes, 0 for those not known."""
    kernels = library()
    if kernels is None:
        places = np.searchsorted(known.hashes, hashes)
        return np.where(known.hashes[places] == hashes, known.ids[places], np.int32(0))
    hashes, found = np.ascontiguousarray(hashes), np.empty(len(hashes), np.int32)
    kernels.look_up(
        ctypes.c_long(len(hashes)),
        *(ctypes.c_void_p(x.ctypes.data) for x in (hashes, known.hashes, known.ids)),
        ctypes.c_long(known.bits),
        *(ctypes.c_void_p(x.ctypes.data) for x in (known.starts, found)),
    )
    return found
