"""Small logs to prepare, and looks at folders."""

from __future__ import annotations

from pathlib import Path

from nasrec.data import Column, Schema, SyntheticLog

LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 9, 30))
FRAME = LOG.generate(600)


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def only(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def log_of(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["label,x,c,tags,w,day", *rows]) + "\n")
    return path


SCHEMA = Schema(
    columns=(
        Column(name="label", role="label"),
        Column(name="x", role="dense"),
        Column(name="c", role="categorical", hash_size=7),
        Column(name="tags", role="categorical", min_count=1, separator="|", max_values=3),
        Column(name="w", role="weight"),
        Column(name="day", role="ignore"),
    )
)
DAYS = "column:day:tue:wed"
ROWS = [
    "1,1,a,t1|t2,1,mon",
    "0,3,,t1,2,mon",
    "1,5,b,,3.5,tue",
    "0,5,b,t2|t9|t1|t1,0,tue",
    "0,3,a,t1|t2|t2|t1,1,wed",
    "1,,c,|t2|,1,wed",
]
