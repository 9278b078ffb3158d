"""What a probability comes from: columns that matter, and ways from the inputs to the logit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import ConfigError
from nasrec.serve.model import Model
from nasrec.space import Architecture
from nasrec.train.metrics import auc, log_loss

Node = tuple[int, str]
NUMERIC, CATEGORICAL = "numeric", "categorical"


@dataclass(frozen=True)
class Importance:
    """What a model loses when one column's values are shuffled among the rows.

    Attributes:
        column: its name.
        logloss: rise of log loss, mean over the repeats.
        logloss_sd: standard deviation of the rise over the repeats.
        auc: fall of AUC, mean over the repeats.
    """

    column: str
    logloss: float
    logloss_sd: float
    auc: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def permutation_importance(
    model: Model,
    dense: NDArray[np.float32],
    sparse: NDArray[np.int64],
    labels: NDArray[np.float32],
    *,
    repeats: int = 3,
    seed: int = 0,
) -> list[Importance]:
    """Importance of every column, the most important first (Breiman, 2001).

    Args:
        model: the model.
        dense: numeric columns, encoded, (rows, n_dense).
        sparse: ids, (rows, Σ slots).
        labels: 0 or 1, (rows,).
        repeats: shuffles of each column.
        seed: of the shuffles.
    """
    if repeats < 1:
        raise ConfigError(f"{repeats} repeats", mend="give 1 or more")
    base = model.calibration(model.logits(dense, sparse))
    loss, area = log_loss(base, labels), auc(base, labels)
    encoder = model.encoder
    places: list[tuple[NDArray[Any], slice, str]] = [
        (dense, slice(i, i + 1), column.name) for i, column in enumerate(encoder.dense)
    ]
    first = 0
    for column in encoder.categorical:
        places.append((sparse, slice(first, first + column.slots), column.name))
        first += column.slots
    found = []
    for number, (array, i, name) in enumerate(places):
        kept = array[:, i].copy()
        losses, areas = [], []
        for repeat in range(repeats):
            array[:, i] = np.random.default_rng([seed, number, repeat]).permutation(kept)
            logits = model.calibration(model.logits(dense, sparse))
            losses.append(log_loss(logits, labels) - loss)
            areas.append(area - auc(logits, labels))
        array[:, i] = kept
        found.append(
            Importance(name, float(np.mean(losses)), float(np.std(losses)), float(np.mean(areas)))
        )
    return sorted(found, key=lambda importance: -importance.logloss)


def importance_table(found: Sequence[Importance]) -> str:
    """The importances as text."""
    width = max([6, *(len(i.column) for i in found)])
    lines = [f"{'column':<{width}}  {'log loss':>9}  {'± sd':>8}  {'AUC':>8}"]
    lines += [
        f"{i.column:<{width}}  {i.logloss:>+9.5f}  {i.logloss_sd:>8.5f}  {-i.auc:>+8.5f}"
        for i in found
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Reach:
    """How the raw columns of one kind reach the logit.

    Attributes:
        kind: `numeric` or `categorical`.
        blocks: numbers of all blocks that they pass on their way.
        paths: every way, as block numbers in order; an empty one goes straight to the last FC.
    """

    kind: str
    blocks: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


MOST_PATHS = 1000


def reach(architecture: Architecture) -> tuple[Reach, Reach]:
    """Which raw inputs of an architecture reach its logit, and through which blocks.

    All numeric columns travel together, and all categorical ones: the two are the raw inputs.
    At most `MOST_PATHS` paths are listed; the blocks are all there.
    """
    readers = _readers(architecture)
    last = len(architecture.blocks)
    ends = {(last, "dense"), (last, "sparse")}

    @cache
    def reaches(node: Node) -> bool:
        return node in ends or any(reaches(reader) for reader in readers.get(node, ()))

    found = []
    for kind, start in ((NUMERIC, (0, "dense")), (CATEGORICAL, (0, "sparse"))):
        blocks: set[int] = set()
        open_, seen = [start], {start}
        while open_:
            node = open_.pop()
            if node[0] and reaches(node):
                blocks.add(node[0])
            for reader in readers.get(node, ()):
                if reader not in seen and reaches(reader):
                    seen.add(reader)
                    open_.append(reader)
        paths: dict[tuple[int, ...], None] = {}
        ways: list[tuple[Node, tuple[int, ...]]] = [(start, ())] if reaches(start) else []
        while ways and len(paths) < MOST_PATHS:
            node, way = ways.pop()
            if node in ends:
                paths[way] = None
            for reader in readers.get(node, ()):
                if reaches(reader):
                    step = way if way[-1:] == (reader[0],) else (*way, reader[0])
                    ways.append((reader, step))
        found.append(Reach(kind, tuple(sorted(blocks)), tuple(sorted(paths))))
    return found[0], found[1]


def _readers(architecture: Architecture) -> dict[Node, list[Node]]:
    """Which live parts read each part.

    A block's parts: `inner`, the sum of its dense operators; `dense`, with what the pooled sparse
    branch adds; `sparse`; and `tokens`, what its merger makes of `inner`.
    """
    readers: dict[Node, list[Node]] = {}

    def reads(reader: Node, *sources: Node) -> None:
        for source in sources:
            readers.setdefault(source, []).append(reader)

    def tokens_of(sources: Sequence[int]) -> list[Node]:
        return [(j, part) for j in sources for part in ("sparse", "tokens")]

    pairs = zip(architecture.blocks, architecture.live, strict=True)
    for i, (block, live) in enumerate(pairs, start=1):
        if live.dense:
            if block.reads("dense"):
                reads((i, "inner"), *((j, "dense") for j in block.dense_inputs))
            if block.reads("pair"):
                reads((i, "inner"), (block.left, "dense"), (block.right, "dense"))
            if block.reads("sparse"):
                reads((i, "inner"), *tokens_of(block.sparse_inputs))
            reads((i, "dense"), (i, "inner"))
        if live.sparse:
            reads((i, "sparse"), *tokens_of(block.sparse_inputs))
        if live.dense_to_sparse:
            reads((i, "tokens"), (i, "inner"))
        if live.sparse_to_dense:
            reads((i, "dense"), (i, "sparse"))
    last = len(architecture.blocks)
    if architecture.live[-1].dense_to_sparse:  # the last FC reads the merger's tokens too
        reads((last, "sparse"), (last, "tokens"))
    return readers


def reach_text(found: Sequence[Reach], most: int = 12) -> str:
    """Paths as text, the first `most` of each kind."""
    lines = []
    for way in found:
        if not way.paths:
            lines.append(f"The {way.kind} columns never reach the logit.")
            continue
        blocks = ", ".join(map(str, way.blocks)) or "none"
        lines.append(f"The {way.kind} columns reach the logit through the blocks {blocks}:")
        shown = way.paths[:most]
        lines += [f"  {' > '.join(['input', *map(str, p), 'logit'])}" for p in shown]
        if len(way.paths) > most:
            more = "1000 or more" if len(way.paths) >= MOST_PATHS else str(len(way.paths))
            lines.append(f"  ... {more} paths in all")
    return "\n".join(lines)
