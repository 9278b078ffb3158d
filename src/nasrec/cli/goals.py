"""The commands of a front: looking at it, and taking a point of it home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import RESUME, Json, Threads, command, number, use
from nasrec.cli.stages import app

RunFolder = Annotated[Path, typer.Argument(help="A run folder that nasrec search has made.")]


@app.command(epilog="Example: nasrec front run")
@command()
def front(run: RunFolder, as_json: Json = False) -> tuple[Any, str]:
    """The front of quality and costs that a search has found, cheapest first.

    Beside each point stands its score in the search and, if it was trained from scratch, what
    it has on validation rows. A star marks trained points that no other trained one beats in
    quality and costs.
    """
    from nasrec.pipeline.front import front_table, read_front

    found = read_front(run)
    return found, f"{front_table(found)}\nNext: nasrec take {run} POINT --out MODEL"


@app.command(epilog="Example: nasrec take run 1f0c --out model")
@command(RESUME)
def take(
    run: RunFolder,
    point: Annotated[str, typer.Argument(help="Beginning of a digest, or name of a training.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Any architecture that a search has scored as a model folder, trained if it was not yet."""
    from nasrec.pipeline import Reporter
    from nasrec.pipeline.front import take as take_point

    use(threads)
    model = take_point(run, point, out, reporter=Reporter())
    metrics = {name: model.metrics["test"][name] for name in ("logloss", "auc")}
    assert model.architecture is not None
    told = {"model": str(out), "digest": model.architecture.digest}
    text = "\n".join(f"test {name:<8} {number(value)}" for name, value in metrics.items())
    found = {f"test_{name}": value for name, value in metrics.items()}
    return {**told, **found}, f"{text}\nThe model is in {out}\nNext: nasrec bench {out}"
