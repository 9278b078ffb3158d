"""From a raw log to a prepared folder: in bounded memory, in passes that can be killed.

1. Every chunk of the log is parsed and becomes a part on disk (staging.py).
2. The labels of all rows decide the split, and train decides the encoder (fitting.py).
3. The parts are encoded into the shards of the splits (records.py).

What is finished is kept in a folder beside the output, and not done again after a kill. The
output appears whole or not at all, and its bytes follow from the log, the schema and the split
alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.dataset import PreparedData
from nasrec.data.encode import ENCODER_FILE, Encoder
from nasrec.data.fitting import fit, missing_numbers
from nasrec.data.formats import BadLine, BadRows, Chunk, Log, Source, format_of, open_log
from nasrec.data.formats.log import require_columns
from nasrec.data.infer import infer_columns, require_values
from nasrec.data.layout import Layout
from nasrec.data.leaks import find_leaks, split_warnings
from nasrec.data.protocols import protocol as find_protocol
from nasrec.data.records import clicks_and_warnings, codes_of_parts, write_records
from nasrec.data.schema import DEFAULT_MIN_COUNT, Schema
from nasrec.data.split import (
    DEFAULT_FRACTIONS,
    SPLITS,
    Codes,
    RandomSplit,
    SplitSpec,
    parse_split,
    split_codes,
)
from nasrec.data.staging import Part, Plan, stage_log
from nasrec.data.store import (
    FORMAT,
    MANIFEST,
    VERSION,
    canonical,
    read_manifest,
    sha256,
    sha256_of_file,
    shards_of,
    write_manifest,
)
from nasrec.data.values import require_both_classes
from nasrec.data.work import rename_whole, require_space, size, working
from nasrec.errors import ConfigError, DataError
from nasrec.files import written_aside

DEFAULT_MEMORY = 4 << 30
"""Bytes that preparing may need at its peak."""
LEAST_MEMORY = 1 << 28
CHUNK_BYTES = (1 << 20, 1 << 25)
"""Bounds of the text of a chunk. Larger ones are not faster."""
EXPANSION = 32
"""Bytes of memory that a byte of a chunk may need while it is worked on."""
QUARANTINE = "quarantine.csv"
ROWS_FOR_LEAKS = 1 << 15
"""Rows of a large log that are searched for leaks."""
SHOWN = 5
"""Bad lines that are shown."""


@dataclass(frozen=True)
class _Source:
    """A log to be prepared, and the splits that are made of it."""

    role: str
    log: Log
    splits: tuple[int, ...]


def prepare(
    data: Source,
    out: str | Path,
    *,
    label: str | None = None,
    valid: Source | None = None,
    test: Source | None = None,
    schema: Schema | str | Path | None = None,
    format: str | None = None,
    protocol: str | None = None,
    ignore: Sequence[str] = (),
    min_count: int | None = None,
    seed: int = 0,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    split: SplitSpec | str | None = None,
    bad_rows: str = "error",
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> PreparedData:
    """Prepare a click log for training: types, splits and encodes it into a folder.

    The folder appears whole or not at all. If it is there already and holds exactly this
    preparation (same sources, same settings), it is opened instead. If a run was stopped, the next
    one with the same settings goes on where it was, and gives the same bytes.

    Args:
        data: a file, a folder, a pattern, a list of these, or a data frame.
        out: the folder to make; must not exist.
        label: the 0/1 column; not needed with a schema or a format with fixed columns.
        valid: validation rows, if they come separately; else they are split off `data`.
        test: test rows, likewise. With only one of the two given, `data` is split between
            train and the other in the proportion that the fractions say.
        schema: the columns, as a `Schema` or a YAML file; None infers them from `data`.
        format: how to read the files; None goes by the schema, then by the extension.
        protocol: a name in `protocols.PROTOCOLS`, which gives schema and split.
        ignore: columns not to use.
        min_count: rows of train that a categorical value must be seen in to get its own id, for
            all columns; None leaves it to the schema (2 if inferred, see `DEFAULT_MIN_COUNT`).
        seed: of the random split, which is stratified by label.
        fractions: of train, valid and test.
        split: how to split, as a spec or in words (`time`, `group:0.7,0.2,0.1`; see
            `split.parse_split`); None is at random, by seed and fractions.
        bad_rows: what to do with lines that do not parse and values that are wrong: raise an
            error with the place, leave them out, or leave them out and write them to
            `quarantine.csv` in the folder.
        memory: bytes that may be needed at the peak, about; no less than 256 MiB.
        threads: chunks worked on at once; None is one a processor. Changes nothing in the result.
        tell: is called with a line for people now and then.

    Raises:
        DataError: bad input, always with its place; `out` exists and is something else; another
            run prepares into it; or the disk has too little room.
        ConfigError: a setting out of range.

    Example:
        >>> data = nasrec.prepare("log.csv", "data", label="click", split="random:0.5,0.3,0.2")
        >>> len(data.train), len(data.valid), len(data.test)
        (200, 120, 80)
    """
    out = Path(out)
    _check_settings(min_count, seed, memory, threads)
    lenient = _bad_rows(bad_rows)
    if protocol is not None:
        published = find_protocol(protocol)
        if schema is not None:
            raise ConfigError(
                f"protocol {protocol!r} has a schema of its own", mend="give one of the two"
            )
        schema, split = published.schema, published.split if split is None else split
    spec = parse_split(split, seed) if isinstance(split, str) else split
    if spec is None:
        spec = RandomSplit(fractions=fractions, seed=seed)
    existing = _existing_recipe(out) if out.exists() or out.is_symlink() else None
    if isinstance(schema, str | Path):
        schema = Schema.load(schema)
    if format is None and schema is not None:
        format = schema.format
    log = open_log(data, format, bad_rows=lenient)
    given = {
        name: open_log(source, _format_for(source, format), bad_rows=lenient)
        for name, source in (("valid", valid), ("test", test))
        if source is not None
    }
    sources = [_Source("data", log, tuple(i for i, s in enumerate(SPLITS) if s not in given))]
    sources += [_Source(name, given[name], (SPLITS.index(name),)) for name in given]
    settings = {
        "version": VERSION,
        "label": label,
        "schema": _without_reasons(schema) if schema else None,
        "format": format,
        "ignore": sorted(ignore),
        "min_count": min_count,
        "split": spec.model_dump(mode="json"),
        "bad_rows": bad_rows,
    }
    if existing is not None:
        if existing != _recipe(settings, _identities(sources)):
            raise _taken(out, "another preparation")
        prepared = PreparedData.open(out)
        prepared.check()
        return prepared

    sample = log.sample()
    schema = _schema_for(sample, log, label, schema, format, ignore, min_count)
    require_columns([c.name for c in schema.columns if c.role != "ignore"], log.columns, log.name)
    require_values(sample, [column.name for column in (*schema.dense, *schema.categorical)])
    warnings = [*find_leaks(_thinned(sample), schema), *split_warnings(schema, spec)]
    threads = threads or len(os.sched_getaffinity(0))
    chunk_bytes = int(np.clip(memory // (EXPANSION * (threads + 2)), *CHUNK_BYTES))
    state = _state(sources)
    begun = sha256(canonical([settings, _without_reasons(schema), state, chunk_bytes]))
    with working(out, begun) as work:
        run = _Run(work, sources, schema, spec, bad_rows != "error", chunk_bytes, threads, tell)
        with ThreadPoolExecutor(1) as pool:
            # Reading the files for their checksums goes beside parsing them.
            identities = pool.submit(_identities, sources)
            manifest, bad = run.prepare(warnings)
            manifest["sources"] = _described(sources, identities.result(), run.rows)
        manifest["recipe"] = _recipe(settings, identities.result())
        manifest["seed"], manifest["split"] = seed, spec.model_dump(mode="json")
        if _state(sources) != state:
            raise DataError(
                "the log was changed while it was read",
                where=log.name,
                mend="prepare it when nothing writes to it any more",
            )
        _finish(work / "result", manifest, bad if bad_rows == "quarantine" else [])
        if out.exists():
            raise _taken(out, "something that was not there at the start")
        rename_whole(work / "result", out)
    return PreparedData.open(out)


class _Run:
    """The three passes."""

    def __init__(
        self,
        work: Path,
        sources: Sequence[_Source],
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

    def prepare(self, warnings: list[str]) -> tuple[dict[str, Any], list[BadLine]]:
        """Write everything but the manifest, which is returned without its sources; and the bad
        lines."""
        began = time.perf_counter()
        parts = [self._stage(s, plan) for s, plan in zip(self.sources, self.plans, strict=True)]
        self.rows = {
            s.role: sum(p.rows for p in found) for s, found in zip(self.sources, parts, strict=True)
        }
        bad = [line for found in parts for part in found for line in part.bad]
        self._tell_bad(bad)
        self.tell(f"read {sum(self.rows.values()):,} rows in {time.perf_counter() - began:.1f} s")
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
            "missing": missing_numbers(all_parts, codes, self.plans[0]),
            "bad_rows": {"count": len(bad), "first": [_told(line) for line in bad[:SHOWN]]},
            "warnings": [*warnings, *found],
        }
        self.tell(f"done in {time.perf_counter() - began:.1f} s")
        return manifest, bad

    @property
    def _weighted(self) -> bool:
        return self.schema.weight is not None

    @property
    def _grouped(self) -> bool:
        return self.schema.group is not None

    def _stage(self, source: _Source, plan: Plan) -> list[Part]:
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

    def _require_space(self, source: _Source, part: Part) -> None:
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

    def _codes(self, source: _Source, plan: Plan, parts: Sequence[Part]) -> Codes:
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
                self.tell(f"  {_told(line)}")


def _told(line: BadLine) -> str:
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


def _bad_rows(name: str) -> BadRows:
    if name not in get_args(BadRows):
        raise ConfigError(
            f"bad rows: {name!r}", mend=f"choose from: {', '.join(get_args(BadRows))}"
        )
    return cast(BadRows, name)


def _check_settings(min_count: int | None, seed: int, memory: int, threads: int | None) -> None:
    if min_count is not None and min_count < 1:
        raise ConfigError(f"min_count {min_count} is below 1", mend="choose 1 or more")
    if seed < 0:
        raise ConfigError(f"seed {seed} is below 0", mend="choose 0 or more")
    if memory < LEAST_MEMORY:
        raise ConfigError(f"{size(memory)} of memory are too little", mend="allow 256 MiB or more")
    if threads is not None and threads < 1:
        raise ConfigError(f"{threads} threads", mend="choose 1 or more")


def _thinned(sample: Chunk) -> Chunk:
    """Rows enough to see a leak; of a log that is looked at as a whole, all."""
    every = -(-sample.frame.height // ROWS_FOR_LEAKS)
    if not sample.sampled or every < 2:
        return sample
    return replace(sample, frame=sample.frame.gather_every(every), lines=None)


def _schema_for(
    sample: Chunk,
    log: Log,
    label: str | None,
    schema: Schema | None,
    format: str | None,
    ignore: Sequence[str],
    min_count: int | None,
) -> Schema:
    if schema is None:
        name = None if log.frame is not None else log.format
        return infer_columns(
            sample, label, ignore=ignore, min_count=min_count or DEFAULT_MIN_COUNT, format=name
        )
    if label not in (None, schema.label):
        raise DataError(
            f"the label is to be {label!r}, and the schema says {schema.label!r}",
            mend="leave out one of the two, or make them agree",
        )
    return schema.revised(ignore=ignore, min_count=min_count)


def _format_for(source: Source, format: str | None) -> str | None:
    """Valid and test may be of another kind than train, unless their extension says nothing."""
    if not isinstance(source, str | Path):
        return None if isinstance(source, pl.DataFrame) else format
    try:
        return format_of(Path(source))
    except DataError:
        return format


def _without_reasons(schema: Schema) -> Any:
    return schema.model_dump(mode="json", exclude={"columns": {"__all__": {"reason"}}})


def _identities(sources: Sequence[_Source]) -> list[list[dict[str, Any]]]:
    return [source.log.identity() for source in sources]


def _recipe(settings: dict[str, Any], identities: list[list[dict[str, Any]]]) -> str:
    """What decides the content: the settings, and the files by their content."""
    files = [[entry["sha256"] for entry in identity] for identity in identities]
    return sha256(canonical([settings, files]))


def _state(sources: Sequence[_Source]) -> list[Any]:
    """What shows at a glance whether the sources are the ones an earlier run has read."""
    states: list[Any] = []
    for source in sources:
        if source.log.frame is not None:
            states.append(source.log.identity())
        for file in source.log.files:
            stat = file.stat()
            states.append([str(file.resolve()), stat.st_size, stat.st_mtime_ns])
    return states


def _described(
    sources: Sequence[_Source], identities: list[list[dict[str, Any]]], rows: dict[str, int]
) -> list[dict[str, Any]]:
    return [
        {"as": source.role, "rows": rows[source.role], "files": identity}
        for source, identity in zip(sources, identities, strict=True)
    ]


def _existing_recipe(out: Path) -> str:
    """The recipe of the preparation in `out`; raises if it is something else."""
    if not (out / MANIFEST).is_file():
        raise _taken(out, "something else")
    return str(read_manifest(out).get("recipe"))


def _taken(out: Path, what: str) -> DataError:
    return DataError(
        f"the output folder exists and holds {what}",
        where=str(out),
        mend="choose another folder, or delete this one",
    )


def _finish(result: Path, manifest: dict[str, Any], bad: Sequence[BadLine]) -> None:
    """Write the quarantine and the manifest."""
    if bad:
        rows = [(b.file, b.line, b.reason, b.text.decode("utf-8", "replace")) for b in bad]
        with written_aside(result / QUARANTINE) as aside:
            pl.DataFrame(rows, schema=["file", "line", "reason", "text"], orient="row").write_csv(
                aside
            )
    names = sorted(file for file in result.rglob("*") if file.is_file() and file.name != MANIFEST)
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(sha256_of_file, names))
    files = {
        file.relative_to(result).as_posix(): {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in zip(names, digests, strict=True)
    }
    seen = {
        name: entry["sha256"]
        for name, entry in files.items()
        if name not in ("schema.yaml", QUARANTINE)
    }
    write_manifest(result, {**manifest, "files": files, "fingerprint": sha256(canonical(seen))})
