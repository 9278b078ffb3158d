from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nasrec.errors import RunError
from nasrec.search import Candidate, Journal, Score
from tests.search.toy import SPACE

HEADER = {"seed": 1, "score": {"rows": 10, "lr": 0.04}, "space": ["a"]}


def fill(path: Path, count: int = 3) -> list[Candidate]:
    rng = np.random.default_rng(0)
    scores = [
        Score(0.1 + 0.2, 0.7, 5),
        Score(math.nan, math.nan, 5),
        Score(1 / 3, 0.5, 5, 0.6, 1.1),
    ]
    made = [Candidate(SPACE.sample(rng), scores[i], i, 0.25, {"madds": 7.5}) for i in range(count)]
    with Journal(path, HEADER) as journal:
        for candidate in made:
            journal.add(candidate)
    return made


def test_what_is_written_reads_back_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    made = fill(path)
    with Journal(path, HEADER) as journal:
        assert repr(journal.candidates) == repr(made)  # repr: NaN is not equal to itself


def test_a_cut_last_line_is_dropped_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = fill(path)
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in (last + 1, last + 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.warns(UserWarning, match="cut short"):
            journal = Journal(path, HEADER)
        assert len(journal.candidates) == 2
        journal.add(made[2])
        journal.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_cut_header_starts_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    fill(path, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    if cut:
        with pytest.warns(UserWarning, match="cut short"):
            Journal(path, HEADER).close()
    else:
        Journal(path, HEADER).close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"some notes", b"a,b\n1,2\n", b"{}\n", b"[1]\n", b"\xff\n"])
def test_another_file_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(RunError, match="line 1"):
        Journal(path, HEADER)
    assert path.read_bytes() == content


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    with pytest.raises(RunError) as caught:
        Journal(tmp_path / "j", HEADER | {"seed": 2, "score": {"rows": 20, "lr": 0.04}})
    assert "seed was 1, is 2" in str(caught.value)
    assert "score.rows was 10, is 20" in str(caught.value)
    assert "lr" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "damage", "message"),
    [
        (2, lambda x: x[:30] + b"\n", "not valid JSON"),
        (3, lambda x: b"\x00\xff" + x, "not valid JSON"),
        (2, lambda x: x.replace(b'"index":0', b'"index":7'), "evaluation 7 where 0"),
        (2, lambda x: x.replace(b'"digest":"', b'"digest":"0'), "digest"),
        (3, lambda x: x.replace(b'"logloss"', b'"loss"'), "not an evaluation"),
        (2, lambda x: x.replace(b'"dense_dim":', b'"dim":'), "not an evaluation"),
        (3, lambda x: b"[]\n", "not a JSON object"),
        (2, lambda x: x.replace(b'"costs":{"madds":7.5}', b'"costs":7'), "not an evaluation"),
        (1, lambda x: x.replace(b'"version":2', b'"version":1'), "has version 1"),
        (2, lambda x: b"", "evaluation 1 where 0"),
    ],
)
def test_damage_elsewhere_is_named(tmp_path: Path, line, damage, message) -> None:
    path = tmp_path / "j"
    fill(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = damage(lines[line - 1])
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(RunError) as caught:
        Journal(path, HEADER)
    assert line == 1 or f"line {line}" in str(caught.value)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "To mend it" in str(caught.value)
    assert path.read_bytes() == before


def test_two_searches_cannot_write_one_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", HEADER), pytest.raises(RunError, match="another process"):
        Journal(tmp_path / "j", HEADER)
    Journal(tmp_path / "j", HEADER).close()


def test_evaluations_come_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", HEADER) as journal, pytest.raises(ValueError, match="after 0"):
        journal.add(Candidate(SPACE.maximal(), Score(0.5), 3, 0.0))
