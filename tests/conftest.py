"""Fixtures shared by every room's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import nasrec
from nasrec.pipeline import Reporter
from tests.end_to_end.tiny import SETTINGS, write_log


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real click logs; see CONTRIBUTING.md."""
    named = os.environ.get("NASREC_DATA")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data: {path} is not a folder (set NASREC_DATA)")
    return path


@pytest.fixture(scope="package")
def finished(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, and a whole tiny run by the Python interface; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    log = write_log(folder)
    quiet = Reporter(quiet=True)
    nasrec.search(log, label="label", out=folder / "run", seed=0, reporter=quiet, **SETTINGS)
    return folder


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and bits are compared between processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
