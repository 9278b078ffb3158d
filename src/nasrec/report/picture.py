"""An architecture as text for a terminal."""

from __future__ import annotations

from nasrec.space import Architecture, Block, LiveBlock


def picture(architecture: Architecture) -> str:
    """One paragraph a block, in the order of computation; what never reaches the logit is said."""
    total, live = len(architecture.blocks), architecture.live_blocks
    head = f"{total} blocks, of which {', '.join(map(str, live))} reach the logit"
    if len(live) == total:
        head = f"{total} blocks, all of them reach the logit"
    parts = [head, "  raw      numeric columns (dense), embeddings of categories (sparse)"]
    for i, (block, alive) in enumerate(
        zip(architecture.blocks, architecture.live, strict=True), start=1
    ):
        parts.append(_block(i, block, alive))
    last = architecture.blocks[-1]
    tokens = f"{last.sparse_dim}{' + merged' if last.dense_to_sparse else ''} tokens"
    parts.append(f"  logit    one linear layer on block {total}: {last.dense_dim} wide, {tokens}")
    return "\n  |\n".join([parts[0] + "\n\n" + parts[1], *parts[2:]])


def _block(i: int, block: Block, alive: LiveBlock) -> str:
    if not alive:
        dense, sparse = "+".join(block.dense_ops), "+".join(block.sparse_ops)
        return f"  block {i}  ( {dense}, {sparse}: never reaches the logit, not computed )"
    lines = [
        _line(
            alive.dense,
            f"dense   {'+'.join(block.dense_ops):<7} {block.dense_dim:>5} wide  ",
            _dense_reads(block),
        ),
        _line(
            alive.sparse,
            f"sparse  {'+'.join(block.sparse_ops):<7} {block.sparse_dim:>5} tokens",
            f"sparse of {_sources(block.sparse_inputs)}",
        ),
    ]
    if block.dense_to_sparse:
        lines.append(_line(alive.dense_to_sparse, "merger  the dense output joins the sparse one"))
    if block.sparse_to_dense:
        lines.append(
            _line(alive.sparse_to_dense, "merger  the pooled sparse output joins the dense")
        )
    first, *others = lines
    return "\n".join([f"  block {i}  {first}", *(f"  |        {line}" for line in others)])


def _line(alive: bool, what: str, reads: str = "") -> str:
    if not alive:
        return f"( {' '.join(what.split())}: not computed )"
    return f"{what}  <- {reads}" if reads else what


def _dense_reads(block: Block) -> str:
    dense, sparse, _ = block.connections_read
    reads = []
    if block.reads("dense"):
        reads.append(f"dense of {_sources(dense)}")
    if block.reads("pair"):
        reads.append(f"left {_sources((block.left,))}, right {_sources((block.right,))}")
    if block.reads("sparse"):
        reads.append(f"sparse of {_sources(sparse)}")
    return "; ".join(reads)


def _sources(sources: tuple[int, ...]) -> str:
    return ", ".join("raw" if source == 0 else str(source) for source in sources)
