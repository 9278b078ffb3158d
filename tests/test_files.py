"""Files and folders appear whole or not at all."""

from __future__ import annotations

import pytest

from nasrec.files import folder_written_aside, write_text, written_aside


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "one")
    with pytest.raises(ZeroDivisionError), written_aside(target) as aside:
        aside.write_text("half")
        assert target.read_text() == "one"
        raise ZeroDivisionError
    assert target.read_text() == "one"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), folder_written_aside(target) as aside:
        (aside / "x").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with folder_written_aside(target) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "x").write_text("whole")
        assert not target.exists()
    assert (target / "sub" / "x").read_text() == "whole"
    with pytest.raises(OSError), folder_written_aside(target) as aside:
        (aside / "y").write_text("other")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert not (target / "y").exists()
