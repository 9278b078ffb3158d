"""The passes over a log: parts, split and encoder, shards; see prepare.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.encode import ENCODER_FILE, Encoder
from nasrec.data.fitting import fit, missing_numbers
from nasrec.data.formats import BadLine, Log
from nasrec.data.formats.log import require_columns
from nasrec.data.layout import Layout
from nasrec.data.part import Part
from nasrec.data.recipe import GivenLog
from nasrec.data.records import clicks_and_warnings, codes_of_parts, write_records
from nasrec.data.schema import Schema
from nasrec.data.split import SPLITS, Codes, SplitSpec, split_codes
from nasrec.data.staging import Plan, stage_log
from nasrec.data.store import FORMAT, VERSION, shards_of
from nasrec.data.values import require_both_classes, require_most_labels
from nasrec.data.work import require_space, size
from nasrec.errors import DataError
from nasrec.files import written_aside

SHOWN = 5
"""Bad lines that are shown."""


class Passes:
    """The three passes."""

    def __init__(
        self,
        work: Path,
        sources: Sequence[GivenLog],
        schema: Schema,
        spec: SplitSpec,
        lenient: bool,
        chunk_bytes: int,
        threads: int,
        tell: Callable[[str], None],
    ) -> None:
        self.work, self.sources, self.schema, self.spec = work, sources, schema, spec
        self.chunk_bytes, self.threads, self.tell = chunk_bytes, threads, tell
        self.plans = [Plan(schema, spec if len(s.splits) > 1 else None, lenient) for s in sources]
        self.rows: dict[str, int] = {}
        self._began = time.perf_counter()

    def read(self) -> list[list[Part]]:
        """The first pass: the parts of each source."""
        parts = [self._stage(s, plan) for s, plan in zip(self.sources, self.plans, strict=True)]
        self.rows = {
            s.role: sum(p.rows for p in found) for s, found in zip(self.sources, parts, strict=True)
        }
        self._tell_bad([line for found in parts for part in found for line in part.bad])
        self.tell(f"read {sum(self.rows.values()):,} rows in {self._seconds():.1f} s")
        return parts

    def write(self, parts: Sequence[Sequence[Part]]) -> tuple[dict[str, Any], list[BadLine]]:
        """Write everything but the manifest, which is returned without its sources, and with the
        warnings of these passes; and the bad lines.

        Args:
            parts: what `read` gave.
        """
        bad = [line for found in parts for part in found for line in part.bad]
        codes = [
            found
            for source, plan, of in zip(self.sources, self.plans, parts, strict=True)
            for found in codes_of_parts(of, self._codes(source, plan, of))
        ]
        all_parts = [part for found in parts for part in found]
        result = self.work / "result"
        result.mkdir(exist_ok=True)
        encoder = self._encoder(all_parts, codes, result)
        self.tell(f"learnt {sum(encoder.vocabulary_sizes):,} ids in all")
        layout = Layout.of(
            len(encoder.dense),
            encoder.vocabulary_sizes,
            encoder.slots,
            self._weighted,
            self._grouped,
        )
        write_records(all_parts, codes, self.plans[0], encoder, layout, result, self.threads)
        with written_aside(result / "schema.yaml") as aside:
            self.schema.save(aside)
        counts = np.sum([np.bincount(c, minlength=len(SPLITS)) for c in codes], axis=0)
        clicks, found = clicks_and_warnings(result, counts.tolist(), layout, encoder, self.threads)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "n_dense": layout.n_dense,
            "vocabulary_sizes": list(encoder.vocabulary_sizes),
            "slots": list(encoder.slots),
            "weighted": layout.weighted,
            "grouped": layout.grouped,
            "record": [
                list(entry[:2]) + [list(s) for s in entry[2:]] for entry in layout.dtype.descr
            ],
            "splits": {
                name: {
                    "rows": int(rows),
                    "clicks": clicked,
                    "shards": [file for file, _ in shards_of(name, int(rows), layout)],
                }
                for name, rows, clicked in zip(SPLITS, counts, clicks, strict=True)
            },
            "missing": missing_numbers(all_parts, codes, self.plans[0], self.threads),
            "bad_rows": {"count": len(bad), "first": [told(line) for line in bad[:SHOWN]]},
            "warnings": found,
        }
        self.tell(f"done in {self._seconds():.1f} s")
        return manifest, bad

    @property
    def _weighted(self) -> bool:
        return self.schema.weight is not None

    @property
    def _grouped(self) -> bool:
        return self.schema.group is not None

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _stage(self, source: GivenLog, plan: Plan) -> list[Part]:
        require_columns(plan.columns, source.log.columns, source.log.name)
        log = replace(source.log, columns=plan.columns)
        parts = stage_log(
            log,
            plan,
            self.work / source.role,
            chunk_bytes=self.chunk_bytes,
            threads=self.threads,
            after_first=lambda part: self._require_space(source, part),
        )
        begin = f"column {self.schema.label!r}: "
        bad = [line for part in parts for line in part.bad]
        wrong = sum(line.reason.startswith(begin) for line in bad)
        rows = sum(part.rows for part in parts) + len(bad)
        require_most_labels(wrong, rows, f"{source.log.name}, column {self.schema.label!r}")
        if not any(part.rows for part in parts):
            raise DataError("there are no rows", where=source.log.name, mend="write the log again")
        if source.role == "data":
            names = [column.name for column in (*self.schema.dense, *self.schema.categorical)]
            for name, *present in zip(names, *(part.present for part in parts), strict=True):
                if not any(present):
                    raise DataError(
                        "every value is missing",
                        where=f"{source.log.name}, column {name!r}",
                        mend=f"ignore the column (--ignore {name}), or correct the log",
                    )
        return parts

    def _require_space(self, source: GivenLog, part: Part) -> None:
        """Say how much disk is needed, judging by the first chunk; stop if it is not there."""
        rows = _estimated_rows(source.log, part)
        sizes = tuple(
            2**32 if c.hash_size is None else c.hash_size for c in self.schema.categorical
        )
        slots = tuple(column.slots for column in self.schema.categorical)
        n_dense = len(self.schema.dense)
        record = Layout.of(n_dense, sizes, slots, self._weighted, self._grouped).dtype.itemsize
        needed = int(rows * (part.bytes / max(1, part.rows) + record))
        free = require_space(self.work, needed)
        if part.next is not None:
            self.tell(
                f"{source.log.name}: about {rows:,.0f} rows; preparing them needs about "
                f"{size(needed)} of disk ({size(rows * record)} to stay), {size(free)} are free"
            )

    def _codes(self, source: GivenLog, plan: Plan, parts: Sequence[Part]) -> Codes:
        """The split of every row of a source."""

        def whole(name: str) -> NDArray[Any]:
            return np.concatenate([part.column(name) for part in parts])

        labels, name = whole("label"), source.log.name
        if len(source.splits) == 1 and source.splits[0]:
            require_both_classes(labels, f"{name}, column {self.schema.label!r}")
            return np.full(len(labels), source.splits[0], dtype=np.uint8)
        require_both_classes(labels, f"{name}, column {self.schema.label!r}")
        keys = {key: whole(key) for key in plan.keys}
        codes = split_codes(self.spec, labels, parts=source.splits, **keys)
        for code in source.splits:
            require_both_classes(labels[codes == code], f"{name}, split {SPLITS[code]}")
        return codes

    def _encoder(self, parts: Sequence[Part], codes: Sequence[Codes], result: Path) -> Encoder:
        file = result / ENCODER_FILE
        if not file.is_file():
            encoder = fit(parts, codes, self.plans[0], self.work / "vocabulary", self.threads)
            with written_aside(file) as aside:
                encoder.save(aside)
        return Encoder.load(file)

    def _tell_bad(self, bad: Sequence[BadLine]) -> None:
        if bad:
            many = "bad rows are" if len(bad) > 1 else "bad row is"
            self.tell(f"{len(bad):,} {many} left out, the first of them:")
            for line in bad[:SHOWN]:
                self.tell(f"  {told(line)}")


def told(line: BadLine) -> str:
    """A bad line for people."""
    return f"{line.file}, line {line.line}: {line.reason}"


def _estimated_rows(log: Log, first: Part) -> float:
    """About how many rows a log has, from its first part."""
    if log.frame is not None:
        return log.frame.height
    if log.format == "parquet":
        return float(
            sum(pl.scan_parquet(f, glob=False).select(pl.len()).collect().item() for f in log.files)
        )
    if first.next is None or first.next.file or not first.next.offset:
        return max(1, first.rows) * len(log.files)
    # Compressed text is about a third as long as the text.
    packed = any(file.suffix in (".gz", ".zst") for file in log.files)
    return first.rows * log.bytes * (3 if packed else 1) / max(1, first.next.offset)
