"""What a training step frees, the next one takes without the system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def faults(**environment: str) -> tuple[bool, float]:
    """Whether freed memory is kept, and the page faults of a step."""
    code = """
import resource
import torch
from nasrec.train.memory import keep_freed_memory
kept = keep_freed_memory()
layers = torch.nn.Sequential(*(torch.nn.Linear(512, 512) for _ in range(8)))
x = torch.ones(2048, 512)
for step in range(30):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers(x).sum().backward()
print(int(kept), (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environ | environment,
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return bool(int(printed[0])), float(printed[1])


def test_a_step_takes_no_new_pages() -> None:
    kept, few = faults()
    if not kept:
        pytest.skip("the C library is not glibc")
    kept, many = faults(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept  # what the environment says stands
    assert few * 10 < many


def test_glibc_tunables_stand() -> None:
    assert not faults(GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072")[0]
