"""What all commands share: output, faults, exit codes, common options."""

from __future__ import annotations

import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nasrec.errors import NasrecError
from nasrec.files import finite

if TYPE_CHECKING:
    from nasrec.pipeline import Reporter

F = TypeVar("F", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Label = Annotated[str | None, typer.Option(help="Name of the 0/1 column.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
Valid = Annotated[Path | None, typer.Option(help="File of validation rows; else split off DATA.")]
Test = Annotated[Path | None, typer.Option(help="File of test rows; else split off DATA.")]
Ignore = Annotated[
    list[str] | None, typer.Option(help="A column not to use; may be given several times.")
]
SchemaFile = Annotated[
    Path | None, typer.Option("--schema", help="YAML file that says what the columns are.")
]
Format = Annotated[
    str | None,
    typer.Option(help="Such as csv, parquet, criteo or avazu; by the extension if left out."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with; all cores if left out.")
]
Device = Annotated[str | None, typer.Option(help="Where to train: cpu, cuda, or cuda:1 (cpu).")]
Members = Annotated[
    int | None,
    typer.Option(min=1, help="Networks of one make whose mean logit is the model's (1)."),
]
Blend = Annotated[
    int | None,
    typer.Option(
        min=1, help="Most trainings of a family whose mean logit is its model (4; 1 is the best)."
    ),
]
EmbeddingDim = Annotated[
    int | None, typer.Option(min=1, help="Embedding width, the same in all models (16).")
]
Mlflow = Annotated[bool, typer.Option("--mlflow", help="Log to MLflow too (needs nasrec[mlflow]).")]
ModelFolder = Annotated[Path, typer.Argument(help="A model folder, such as run/model.")]
LayerNorm = Annotated[
    bool | None,
    typer.Option(
        help="LayerNorm in what is trained from scratch; a search tries both if left out."
    ),
]
Arch = Annotated[
    str,
    typer.Argument(metavar="ARCH", help="An architecture's JSON file, or published:criteo-full."),
]


def count(text: str) -> int:
    """A whole number with an ending: 500k, 1.5M, 2G."""
    scale = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower(), 1)
    digits = (text if scale == 1 else text[:-1]).replace("_", "").replace(",", "")
    try:
        number = float(digits) * scale
        if number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no number; say 500000, 500k or 1.5M") from None
    return int(number)


def command(interrupted: str = "Stopped.") -> Callable[[F], F]:
    """Make a function's result the command's output, and its faults messages with exit codes.

    The function returns what `--json` prints and the text for people (None: it has told it itself).
    """

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            as_json = bool(kwargs.get("as_json"))
            warnings.showwarning = _show_warning
            try:
                result, text = function(*args, **kwargs)
            except NasrecError as error:
                _fail(error, error.exit_code, as_json)
            except OSError as error:
                where = str(error.filename) if error.filename else None
                _fail(NasrecError(error.strerror or str(error), where=where), 2, as_json)
            except KeyboardInterrupt:
                typer.echo(f"\n{interrupted}", err=True)
                raise typer.Exit(130) from None
            else:
                if as_json:
                    typer.echo(json.dumps(finite(result), allow_nan=False))
                elif text is not None:  # standard output may be the command's own
                    typer.echo(text)

        return run  # type: ignore[return-value]

    return wrap


def _fail(error: NasrecError, code: int, as_json: bool) -> None:
    typer.echo(f"Error: {error}", err=True)
    if as_json:
        fault = {"message": error.what, "where": error.where, "mend": error.mend}
        typer.echo(json.dumps({"error": fault}))
    raise typer.Exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"Warning: {message}", file=sys.stderr)


def use(threads: int | None) -> None:
    """Compute with so many threads; None leaves it to torch."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


@contextmanager
def reporting(mlflow: bool, name: str, **settings: Any) -> Iterator[Reporter]:
    """What tells how a stage goes, to MLflow too if asked."""
    from nasrec.pipeline import Reporter
    from nasrec.pipeline.tracking import mlflow_listener

    if not mlflow:
        yield Reporter()
        return
    with mlflow_listener(name, settings) as listener:
        yield Reporter(listeners=[listener])


RESUME = "Stopped. Give the same command again to go on where it was."


def number(value: float | None) -> str:
    """Five digits, or that it is not defined."""
    return "not defined" if value is None or not math.isfinite(value) else f"{value:.5f}"


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """What a model scores, a line for each split; intervals are of 95 %."""
    from nasrec.pipeline.leaderboard import text_table

    head = ("rows", "number", "log loss", "95 %", "AUC", "95 %", "calibration error", "bias")
    body = []
    for split, found in metrics.items():
        ends = found.get("interval", {})
        cells = [
            cell
            for name in ("logloss", "auc")
            for cell in (
                number(found[name]),
                " to ".join(number(end) for end in ends[name]) if name in ends else "",
            )
        ]
        told = [*cells, number(found["ece"]), number(found["bias"])]
        body.append((split, f"{found['rows']:,}", *told))
    return text_table(head, body)
