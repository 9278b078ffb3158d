"""Fixtures of preparing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.data.logs import FRAME


@pytest.fixture
def path(tmp_path) -> Path:
    FRAME.write_csv(tmp_path / "log.csv")
    return tmp_path / "log.csv"


@pytest.fixture
def in_pieces(monkeypatch):
    """Parts and shards so small that there are many."""
    monkeypatch.setattr(import_module("nasrec.data.prepare"), "CHUNK_BYTES", (4000, 4000))
    monkeypatch.setattr(import_module("nasrec.data.store"), "SHARD_BYTES", 1 << 11)
