"""The real click logs that benchmarks measure on, and how figures of several seeds are told."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

#: So many rows a supernet sees where it is not what is measured, and so many multiply-adds a row
#: a candidate may need: about twice those of an MLP on ten columns.
SEARCHED_ROWS, MAX_MADDS = 40_000, 500_000


@dataclass(frozen=True)
class Log:
    """Where a real click log lies below the data folder, and what it is."""

    path: str
    label: str | None = None
    ignore: tuple[str, ...] = ()
    format: str | None = None
    valid: str | None = None
    test: str | None = None


LOGS = {
    "frappe_x1": Log(
        "frappe_x1/train.csv",
        "label",
        valid="frappe_x1/valid.csv",
        test="frappe_x1/test.csv",
    ),
    "criteo_adkdd21": Log("criteo_adkdd21/train.csv", "click", ignore=("sale",)),
    "criteo_kaggle": Log("criteo_kaggle/train.txt", format="criteo"),
    "avazu": Log("avazu/train.csv", format="avazu"),
}


def prepare_log(name: str, source: Path, out: Path, seed: int) -> Path:
    """The prepared folder of a log; one split a seed, but the publisher's where there is one."""
    from nasrec.data import prepare

    log = LOGS[name]
    folder = out / "data" / (name if log.test else f"{name}-{seed}")
    if not folder.is_dir():
        others = {k: source / v for k in ("valid", "test") if (v := getattr(log, k))}
        prepare(
            source / log.path,
            folder,
            label=log.label,
            ignore=log.ignore,
            format=log.format,
            seed=seed,
            **others,
        )
    return folder


def told(values: list[float], signed: bool = False) -> str:
    sign = "+" if signed else ""
    if len(values) == 1:
        return f"{values[0]:{sign}.4f}"
    return f"{statistics.mean(values):{sign}.4f} ± {statistics.stdev(values):.4f}"
