"""A search small enough for tests, and comparisons of run folders."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from safetensors.numpy import load_file

from nasrec.data import SyntheticLog
from nasrec.space import SearchSpace

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))
SPACE = SearchSpace(
    name="tiny",
    dense_ops=("FC", "SG", "Sum", "DP"),
    sparse_ops=("EFC", "Attn"),
    dense_dims=(8, 16),
    sparse_dims=(4, 8),
    blocks=2,
)
#: All sizes as small as they go; as a settings file for the command line too.
SETTINGS: dict[str, Any] = {
    "space": SPACE.to_dict(),
    "model": {"hidden": [8], "embedding_dim": 8},
    "supernet": {"batch_size": 128},
    "scoring": {"finetune_steps": 5, "finetune_batch": 64},
    "evolution": {"population": 4, "tournament": 2, "children": 2, "generations": 2},
    "retrain": {"batch_size": 128, "epochs": 1, "evaluations_per_epoch": 2},
    "top_k": 2,
    "rates": 1,
    "recipes": [{"name": "plain"}, {"name": "dropout", "dropout": 0.3}],
}


def write_log(folder: Path, rows: int = 1500) -> Path:
    """A click log and the settings file beside it; gives the log."""
    folder.mkdir(parents=True, exist_ok=True)
    LOG.write_csv(folder / "log.csv", rows)
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder / "log.csv"


def search_command(folder: Path, out: Path, *more: str) -> list[str]:
    """The command line of a tiny search on `write_log`'s files."""
    return [
        *(sys.executable, "-m", "nasrec", "search", str(folder / "log.csv")),
        *("--label", "label", "--out", str(out), "--config", str(folder / "settings.yaml")),
        *("--threads", "1", "--json", *more),
    ]


def run_command(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it, with one thread so that parallel tests do not fight for cores."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=env, **options)


TIMES = {"seconds", "family_seconds", "rows_per_second"}


def without_times(value: Any) -> Any:
    """JSON without wall times, which differ between equal runs."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def result_of(run: Path) -> dict[str, Any]:
    """All of a run's results that must not depend on how often it was killed."""
    found: dict[str, Any] = {
        name: without_times(json.loads((run / name).read_text()))
        for name in (
            "leaderboard.json",
            "search/ranking.json",
            "front.json",
            "config.json",
            "model/metrics.json",
        )
    }
    for name in ("model/weights.safetensors", "supernet/weights.safetensors"):
        found[name] = digest_of_tensors(run / name)
    return found


def digest_of_tensors(file: Path) -> str:
    """Names, shapes and bits of all tensors.

    Not of the file: safetensors writes the entries of its metadata in an order that differs from
    process to process.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its checksum."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
