"""`python -m benchmarks NAME`: each benchmark is one command."""

from __future__ import annotations

import sys

from benchmarks import (
    front,
    full_size,
    leaderboards,
    models,
    operators,
    page,
    prepare,
    published,
    read,
    scoring,
    studies,
    supernet,
)
from benchmarks.harness import command

#: The figures of speed, in the order of docs/speed.md: what measures, and how many repeats.
FIGURES = {
    "supernet-full": (supernet.full, 5),
    "supernet-small": (supernet.small, 7),
    "table-growth": (supernet.table_growth, 5),
    "supernet-memory": (supernet.memory, 3),
    "embedding": (supernet.embedding, 15),
    "operators": (operators.shares, 15),
    "hand-made": (operators.hand_made, 7),
    "siblings": (scoring.siblings, 50),
    "retrain": (models.retrain, 3),
    "predict": (models.predict, 15),
    "startup": (models.startup, 9),
}
BENCHMARKS = {
    "prepare": command("prepare", prepare.measure, 3, prepare.OPTIONS),
    "read": command("read", read.measure, 5, read.OPTIONS),
    "front": front.main,
    "published": published.main,
    "studies": studies.main,
    "full-size": full_size.main,
    "leaderboards": leaderboards.main,
    **{name: command(name, *figure) for name, figure in FIGURES.items()},
    "search": scoring.search_command,
    "all": lambda arguments: page.main([*FIGURES, "search"], arguments),
}


def main() -> int:
    names = ", ".join(BENCHMARKS)
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: python -m benchmarks NAME [options]; NAME is one of: {names}")
        return 2
    BENCHMARKS[sys.argv[1]](sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
