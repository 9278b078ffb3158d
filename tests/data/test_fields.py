"""Fields read from plain text by the kernels, against the data frame and a plain split."""

from __future__ import annotations

from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec.data import Column, Schema, counting, fitting, hash, logarithm, prepare, records
from nasrec.data.encode import CategoricalEncoder
from nasrec.data.formats import Chunk, fields
from nasrec.data.formats.fields import Kind, Packed, find_fields
from nasrec.data.hash import MISSING, Known, distinct, hash_texts, look_up
from nasrec.data.values import numbers_of, texts_of
from tests.data.logs import contents

pytestmark = pytest.mark.skipif(
    fields.library() is None, reason="no C compiler, or NASREC_NATIVE is off"
)

NAMES = ("a", "b", "c")
anything = st.text("0123456789abcdefABCDEFgG.-+ eE_x/:@", max_size=20)
decimal = st.decimals(-(10**9), 10**9, allow_nan=False, places=6).map(str)
values = st.one_of(
    st.lists(anything, min_size=1, max_size=12),
    st.lists(decimal | st.just(""), min_size=1, max_size=12),
    st.lists(st.text("0123456789", max_size=17), min_size=1, max_size=12),
    st.lists(st.text("0123456789abcdefABCDEF", max_size=17), min_size=1, max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(values, st.integers(0, 2), st.sampled_from("\t,;"))
def test_columns_are_those_of_the_frame(texts, place, separator):
    rows = [[""] * place + [text] + ["xyz"] * (2 - place) for text in texts]
    text = "".join(separator.join(row) + "\n" for row in rows).encode()
    found = find_fields(np.frombuffer(text, np.uint8), separator, NAMES)
    assert found is not None
    assert found.rows == len(texts)
    name, frame = NAMES[place], pl.DataFrame({"x": [text or None for text in texts]})
    chunk = Chunk(frame.cast(pl.String), "frame")
    hashes, width = found.read({name: Kind("text")})[name]
    assert hashes.tolist() == hash_texts(texts_of(chunk, "x")).tolist()
    widths = {len(text) for text in texts} - {0}
    assert width == (widths.pop() if len(widths) == 1 else 0)
    if numbers := found.read({name: Kind("number")}):
        assert numbers[name].values.tobytes() == numbers_of(chunk, "x").tobytes()
        of_table = found.read({name: Kind("logarithm")})[name].values
        expected = logarithm.log1p(numbers[name].values)
        assert np.array_equal(of_table, expected, equal_nan=True)
        assert np.array_equal(np.signbit(of_table), np.signbit(expected))
    for kind in ("text", "hex", "decimal"):
        for size in (2, 1009, 2**31 - 1):
            if ids := found.read({name: Kind(kind, size)}):
                encoder = CategoricalEncoder("x", hash_size=size, hash_as=kind)
                assert ids[name].values.tolist() == encoder.hash(chunk.frame["x"]).tolist()
    there = np.array([i for i, text in enumerate(texts) if text][::-1], dtype=np.int64)
    packed = Packed(*found.packed(name, there)).texts(np.arange(len(there)))
    assert packed.to_list() == [texts[i] for i in there]


def test_logarithms_of_counts():
    rng = np.random.default_rng(0)
    size = logarithm.TABLE
    counts = np.exp(rng.normal(3, 3, 5000)).astype(int).tolist()
    texts = ["", "-1", "-0", "0", "00", "0.5", "-2.5", "1.0", "123456789012"]
    texts += map(str, [size - 1, size, size + 1, *counts])
    text = "".join(f"{text},x,y\n" for text in texts).encode()
    found = find_fields(np.frombuffer(text, np.uint8), ",", NAMES).read({"a": Kind("logarithm")})
    numbers = np.array([float(text or "nan") for text in texts])
    expected = np.log1p(np.maximum(numbers, 0)).astype(np.float32)
    assert np.array_equal(found["a"].values, expected, equal_nan=True)


def test_which_fields_are_of_a_kind():
    text = b"-12.50,ff,7\n,,\n00.5,0A,1e5\n"
    found = find_fields(np.frombuffer(text, np.uint8), ",", NAMES).read(
        {"a": Kind("number"), "b": Kind("hex", 1000), "c": Kind("number")}
    )
    assert set(found) == {"a", "b"}
    assert found["a"].values.tolist() == pytest.approx([-12.5, np.nan, 0.5], nan_ok=True)
    assert found["b"].values.tolist() == [256, 0, 11]


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=40) | st.text("a1,\n", max_size=300).map(str.encode),
    st.booleans(),
    st.sampled_from([1, 50, 1 << 16]),
)
def test_only_plain_text_with_all_fields_has_fields(text, long, head):
    text = b"12,34567,abcdefgh\n" * 20 * long + text
    with mock.patch.object(fields, "HEAD", head):  # a short one misjudges how many rows there are
        found = find_fields(np.frombuffer(text, np.uint8), ",", NAMES)
    lines = text.split(b"\n")
    plain = text.isascii() and not set(text) & set(b'"\r') and not lines.pop()
    assert (found is not None) == (plain and bool(text) and all(x.count(b",") == 2 for x in lines))
    if found is not None:
        ends = found.ends[:, : found.rows].T.reshape(-1).tolist()
        split = [field for line in lines for field in line.split(b",")]
        begins = [0, *(end + 1 for end in ends)]
        assert [text[a:b] for a, b in zip(begins, ends, strict=False)] == split


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(1, 5000), st.integers(0, 3))
def test_distinct_hashes(drawn, count, seed):
    many = np.random.default_rng(seed).integers(0, count, count, dtype=np.uint64) << np.uint64(20)
    hashes = np.concatenate([np.array(drawn, np.uint64), many])
    keys, numbers, rows = distinct(hashes)
    assert np.array_equal(hashes[rows], keys)
    assert np.array_equal(keys[numbers], hashes)
    assert len(rows) == len(set(hashes.tolist()))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(1, 1000), st.sampled_from([0, 54]), st.integers(0, 3))
def test_ids_of_hashes(count, among, shift, seed):
    """Also of hashes that have all the same bits in front."""
    rng = np.random.default_rng(seed)
    known = rng.permutation(among)[:count].astype(np.uint64) << np.uint64(shift)
    known[:1] = MISSING
    ids = rng.permutation(len(known)).astype(np.int32) + 1
    hashes = np.append(rng.integers(0, among, 500).astype(np.uint64) << np.uint64(shift), MISSING)
    of = dict(zip(known.tolist(), ids.tolist(), strict=True))
    expected = [of.get(h, 0) for h in hashes.tolist()]
    assert look_up(hashes, Known.of(known, ids)).tolist() == expected
    with mock.patch.object(hash, "library", return_value=None):
        assert look_up(hashes, Known.of(known, ids)).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.text(min_size=1, max_size=9)), st.booleans(), st.data())
def test_packed_texts(texts, kernels, data):
    packed = Packed.of(pl.Series(texts, dtype=pl.String))
    rows = data.draw(st.lists(st.sampled_from(range(len(texts))))) if texts else []
    with mock.patch.object(fields, "library", fields.library if kernels else lambda: None):
        found = packed.texts(np.array(rows, dtype=np.int64))
    assert found.to_list() == [texts[i] for i in rows]


SCHEMA = Schema(
    columns=(
        Column(name="label", role="label"),
        Column(name="i", role="dense", transform="log1p"),
        Column(name="f", role="dense", transform="standardize"),
        Column(name="c", role="categorical", min_count=2),
        Column(name="m", role="categorical", min_count=2),
        Column(name="h", role="categorical", hash_size=97, hash_as="hex"),
        Column(name="t", role="categorical", hash_size=1000),
    )
)


@pytest.mark.usefixtures("in_pieces")
def test_prepared_bytes_are_the_same_without_kernels(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    lines = ["label,i,unused,f,c,h,t,m\n"]
    for row in range(2000):
        odd = row % 301 == 300  # here and there a value that is not plain
        i = "NA" if odd else rng.choice(["", "3", "17", "250000"])
        f = "1.5e-3" if row == 700 else f"{rng.normal():.3f}"
        c = "é" if row in (1500, 1501) else rng.choice(["", "x", "y", f"v{rng.integers(300)}"])
        h = "zz" if odd else f"{rng.integers(1 << 32):x}"
        m = f"{rng.integers(2000):08x}" if row % 3 else ""
        lines.append(f"{rng.integers(2)},{i},?,{f},{c},{h},text {rng.integers(50)},{m}\n")
    path = tmp_path / "log.csv"
    path.write_text("".join(lines))
    ours = prepare(path, tmp_path / "compiled", schema=SCHEMA)
    for module in (counting, fields, fitting, hash, records):
        monkeypatch.setattr(module, "library", lambda: None)
    prepare(path, tmp_path / "plain", schema=SCHEMA)
    assert contents(tmp_path / "compiled") == contents(tmp_path / "plain")
    assert len(ours.train) == 1600
