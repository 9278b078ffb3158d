"""The stable hash against the sentence that describes it."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import hash as module
from nasrec.data.hash import hash_texts, texts_of_width

WORD = 2**64 - 1


def naive(text: str | None) -> int:
    if text is None:
        return WORD
    content = text.encode()
    h = len(content) * 0x9E3779B97F4A7C15 & WORD
    for start in range(0, len(content), 8):
        h ^= int.from_bytes(content[start : start + 8], "little")
        h ^= h >> 30
        h = h * 0xBF58476D1CE4E5B9 & WORD
        h ^= h >> 27
        h = h * 0x94D049BB133111EB & WORD
        h ^= h >> 31
    return h


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=40), st.text("abé", min_size=8, max_size=8))))
def test_as_described(texts):
    assert hash_texts(pl.Series(texts, dtype=pl.String)).tolist() == [naive(t) for t in texts]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 8))
def test_short_texts_follow_from_their_hashes(data, width):
    text = st.text([chr(i) for i in range(128) if chr(i) != "\n"], min_size=width, max_size=width)
    texts = data.draw(st.lists(text | st.none(), min_size=1))
    hashes = hash_texts(pl.Series(texts, dtype=pl.String))
    assert texts_of_width(hashes, width).to_list() == texts


@pytest.mark.slow
def test_texts_of_eight_bytes_and_long_ones(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    for texts in (["12345678", None, "abcdefgh"], ["x" * 1_000_003, "", "a", None, "b" * 16]):
        assert hash_texts(pl.Series(texts)).tolist() == [naive(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("a", 18119689086777206668), ("criteo", 17401183944575265689)]
)
def test_values_that_must_never_change(text, expected):
    assert hash_texts(pl.Series([text]))[0] == expected
