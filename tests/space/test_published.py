"""The published architectures and architectures from files."""

from __future__ import annotations

import re

import pytest

from nasrec.errors import SpaceError
from nasrec.space import PUBLISHED, load_architecture, published


def test_all_six_load() -> None:
    assert len(PUBLISHED) == 6
    for name in PUBLISHED:
        assert len(published(name).blocks) == 7
        assert load_architecture(f"published:{name}") == published(name)


def test_from_a_file(tmp_path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(published("kdd-full").to_json())
    assert load_architecture(str(file)) == load_architecture(file) == published("kdd-full")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("published:criteo-ful", "no published architecture 'criteo-ful'.*criteo-full"),
        ("published:", "no published architecture ''.*avazu-full"),
        ("published:CRITEO-FULL", "no published architecture 'CRITEO-FULL'.*criteo-full"),
        ("criteo-full", "no architecture file 'criteo-full'.*write published:criteo-full"),
        ("nowhere.json", "no architecture file 'nowhere.json'.*published:NAME"),
    ],
)
def test_unknown(spec, told) -> None:
    with pytest.raises(SpaceError, match=f"(?s){told}"):
        load_architecture(spec)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "FILE: not valid JSON"),
        (b"{", "FILE: not valid JSON: .* line 1"),
        (b"3", "FILE: 'blocks' must be a list"),
        (b"\xff", "FILE: not a text file in UTF-8"),
        (b'[{"dense_ops": ["FC"]}]', "FILE, block 1: key 'dense_dim' is missing"),
        (b"[" * 100_000, "FILE: not valid JSON: nested too deeply"),
    ],
)
def test_bad_files(tmp_path, text, told) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(text)
    with pytest.raises(SpaceError) as caught:
        load_architecture(file)
    told = told.replace("FILE", re.escape(str(file)))
    assert re.search(f"^{told}", str(caught.value), re.DOTALL), caught.value


def test_a_folder_is_no_file(tmp_path) -> None:
    with pytest.raises(SpaceError, match="cannot be read"):
        load_architecture(tmp_path)
