"""From a raw log to a prepared folder: in bounded memory, in passes that can be killed.

1. Every chunk of the log is parsed and becomes a part on disk (staging.py).
2. The labels of all rows decide the split, and train decides the encoder (fitting.py).
3. The parts are encoded into the shards of the splits (records.py).

passes.py leads through these; here is what comes before and after them.

What is finished is kept in a folder beside the output, and not done again after a kill. The
output appears whole or not at all, and its bytes follow from the log, the schema and the split
alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import polars as pl

from nasrec.data.dataset import PreparedData
from nasrec.data.formats import BadRows, Chunk, Log, Source, format_of, open_log
from nasrec.data.formats.log import SAMPLE_BYTES, require_columns
from nasrec.data.infer import infer_columns, require_values
from nasrec.data.leaks import find_leaks, split_warnings
from nasrec.data.passes import Passes
from nasrec.data.protocols import protocol as find_protocol
from nasrec.data.recipe import (
    GivenLog,
    described,
    identities_of,
    recipe_of,
    state_of,
    without_reasons,
)
from nasrec.data.schema import DEFAULT_MIN_COUNT, Role, Schema
from nasrec.data.split import DEFAULT_FRACTIONS, SPLITS, RandomSplit, SplitSpec, parse_split
from nasrec.data.staging import PARTS
from nasrec.data.store import MANIFEST, VERSION, canonical, finish, read_manifest, sha256
from nasrec.data.values import faults_of, require_most_labels
from nasrec.data.work import rename_whole, size, working
from nasrec.errors import ConfigError, DataError

DEFAULT_MEMORY = 4 << 30
"""Bytes that preparing may need at its peak."""
LEAST_MEMORY = 1 << 28
CHUNK_BYTES = (1 << 20, 1 << 25)
"""Bounds of the text of a chunk. Larger ones are not faster."""
EXPANSION = 32
"""Bytes of memory that a byte of a chunk may need while it is worked on."""
ROWS_FOR_LEAKS = 1 << 15
"""Rows of a large log, or up to twice as many, that are searched for leaks."""


def prepare(
    data: Source,
    out: str | Path,
    *,
    label: str | None = None,
    group: str | None = None,
    timestamp: str | None = None,
    weight: str | None = None,
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
        group: the column that says whose a row is.
        timestamp: the column that says when; None takes one that looks like it.
        weight: the column that says how much a row counts.
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
    roles = _roles(label, ignore, {"group": group, "timestamp": timestamp, "weight": weight})
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
    sources = [GivenLog("data", log, tuple(i for i, s in enumerate(SPLITS) if s not in given))]
    sources += [GivenLog(name, given[name], (SPLITS.index(name),)) for name in given]
    settings = {
        "version": VERSION,
        "label": label,
        "schema": without_reasons(schema) if schema else None,
        "format": format,
        "ignore": sorted(ignore),
        "min_count": min_count,
        "split": spec.model_dump(mode="json"),
        "bad_rows": bad_rows,
    }
    if roles:
        settings["roles"] = dict(sorted(roles.items()))
    if existing is not None:
        if existing != recipe_of(settings, identities_of(sources)):
            raise _taken(out, "another preparation")
        prepared = PreparedData.open(out)
        prepared.check()
        return prepared

    # To say what columns are takes more of a log than to see a leak.
    sample = log.sample(SAMPLE_BYTES if schema is None else SAMPLE_BYTES // 4)
    schema = _schema_for(sample, log, label, schema, ignore, roles, min_count, lenient)
    require_columns([c.name for c in schema.columns if c.role != "ignore"], log.columns, log.name)
    require_values(sample, [column.name for column in (*schema.dense, *schema.categorical)])
    if lenient != "error":
        wrong = faults_of(sample.frame[schema.label], "label")
        place = sample.place(column=schema.label)
        require_most_labels(int(wrong.sum()), len(wrong), place)
    threads = threads or len(os.sched_getaffinity(0))
    chunk_bytes = int(np.clip(memory // (EXPANSION * (threads + 2)), *CHUNK_BYTES))
    state = state_of(sources)
    begun = sha256(canonical([settings, without_reasons(schema), state, chunk_bytes, PARTS]))
    with working(out, begun) as work:
        run = Passes(work, sources, schema, spec, bad_rows != "error", chunk_bytes, threads, tell)
        with ThreadPoolExecutor(1) as pool:
            leaks = pool.submit(find_leaks, _thinned(sample), schema)
            parts = run.read()
            # Beside what one processor does alone: the split, the last vocabulary, the last part.
            identities = pool.submit(identities_of, sources)
            manifest, bad = run.write(parts)
            manifest["warnings"][:0] = [*leaks.result(), *split_warnings(schema, spec)]
            manifest["sources"] = described(sources, identities.result(), run.rows)
        manifest["recipe"] = recipe_of(settings, identities.result())
        manifest["seed"], manifest["split"] = seed, spec.model_dump(mode="json")
        if state_of(sources) != state:
            raise DataError(
                "the log was changed while it was read",
                where=log.name,
                mend="prepare it when nothing writes to it any more",
            )
        finish(work / "result", manifest, bad if bad_rows == "quarantine" else [])
        if out.exists():
            raise _taken(out, "something that was not there at the start")
        rename_whole(work / "result", out)
    return PreparedData.open(out)


def _bad_rows(name: str) -> BadRows:
    if name not in get_args(BadRows):
        raise ConfigError(
            f"bad rows: {name!r}", mend=f"choose from: {', '.join(get_args(BadRows))}"
        )
    return cast(BadRows, name)


def _roles(
    label: str | None, ignore: Sequence[str], named: Mapping[Role, str | None]
) -> dict[str, Role]:
    """The roles of the columns that were named, by column."""
    roles: dict[str, Role] = {}
    for role, name in named.items():
        if name is None:
            continue
        if name == label or name in ignore or name in roles:
            other = roles.get(name, "label" if name == label else "one to ignore")
            raise ConfigError(
                f"column {name!r} is named as the {role} and as {other}",
                mend="name it once; to use it twice, have it in the log twice",
            )
        roles[name] = role
    return roles


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
    every = sample.frame.height // ROWS_FOR_LEAKS
    if not sample.sampled or every < 2:
        return sample
    return replace(sample, frame=sample.frame.gather_every(every), lines=None)


def _schema_for(
    sample: Chunk,
    log: Log,
    label: str | None,
    schema: Schema | None,
    ignore: Sequence[str],
    roles: Mapping[str, Role],
    min_count: int | None,
    bad_rows: BadRows,
) -> Schema:
    if schema is None:
        name = None if log.frame is not None else log.format
        return infer_columns(
            sample,
            label,
            ignore=ignore,
            roles=roles,
            min_count=min_count or DEFAULT_MIN_COUNT,
            format=name,
            bad_rows=bad_rows,
        )
    if label not in (None, schema.label):
        raise DataError(
            f"the label is to be {label!r}, and the schema says {schema.label!r}",
            mend="leave out one of the two, or make them agree",
        )
    return schema.revised(ignore=ignore, roles=roles, min_count=min_count)


def _format_for(source: Source, format: str | None) -> str | None:
    """Valid and test may be of another kind than train, unless their extension says nothing."""
    if not isinstance(source, str | Path):
        return None if isinstance(source, pl.DataFrame) else format
    try:
        return format_of(Path(source))
    except DataError:
        return format


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
