"""The command line: one command a stage, and no logic.

Every command takes `--json` and then prints one JSON object on standard output. Progress and
messages go to standard error. Exit codes: 0 well, 2 a mistake in what was given, 3 a training
diverged, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from nasrec.errors import NasrecError
from nasrec.files import finite

# torch, polars and our rooms that need them are imported inside the commands: they take seconds
# to load, and `nasrec --help` must not wait for them.

app = typer.Typer(
    name="nasrec",
    help="Design click-through-rate models for your data by weight-sharing architecture search.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: nasrec search log.csv --label click --out run",
)
arch_app = typer.Typer(no_args_is_help=True, help="Look at architectures and count their cost.")
space_app = typer.Typer(no_args_is_help=True, help="Look at search spaces.")
app.add_typer(arch_app, name="arch")
app.add_typer(space_app, name="space")

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
    typer.Option(help="csv, tsv, parquet or criteo; by the file's extension if left out."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with; all cores if left out.")
]
EmbeddingDim = Annotated[
    int | None, typer.Option(min=1, help="Embedding width, the same in all models (16).")
]
LayerNorm = Annotated[
    bool | None,
    typer.Option(help="LayerNorm in what is trained from scratch (on; paper: off at the end)."),
]
Arch = Annotated[
    str,
    typer.Argument(metavar="ARCH", help="An architecture's JSON file, or published:criteo-full."),
]


def _command(interrupted: str = "Stopped.") -> Callable[[F], F]:
    """Make a function's result the command's output, and its faults messages with exit codes.

    The function returns what `--json` prints and the text for people.
    """

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> None:
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
                typer.echo(json.dumps(finite(result), allow_nan=False) if as_json else text)

        return command  # type: ignore[return-value]

    return wrap


def _fail(error: NasrecError, code: int, as_json: bool) -> None:
    typer.echo(f"Error: {error}", err=True)
    if as_json:
        fault = {"message": error.what, "where": error.where, "mend": error.mend}
        typer.echo(json.dumps({"error": fault}))
    raise typer.Exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"Warning: {message}", file=sys.stderr)


def _use(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


RESUME = "Stopped. Give the same command again to go on where it was."


@app.command(epilog="Example: nasrec search log.csv --label click --out run --budget 30")
@_command(RESUME)
def search(
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file, or a prepared folder.")],
    label: Label = None,
    out: Annotated[Path, typer.Option(help="Run folder; goes on if it is of this search.")] = Path(
        "run"
    ),
    seed: Seed = 0,
    budget: Annotated[
        float | None, typer.Option(help="Minutes; chooses the sizes of the search.")
    ] = None,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    space: Annotated[
        str | None, typer.Option(help="full, small, or a YAML file that defines a space.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the supernet (1).")] = None,
    supernet_rows: Annotated[
        int | None, typer.Option(help="Train the supernet on so many rows; all if left out.")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Candidates to score (400; paper: 2048).")
    ] = None,
    method: Annotated[str | None, typer.Option(help="evolution or random.")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Best candidates to train from scratch (5; paper: 15).")
    ] = None,
    retrain_epochs: Annotated[
        int | None, typer.Option(help="Epochs of the trainings from scratch (3).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the trainings from scratch (0.12).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Of the supernet (512).")] = None,
    retrain_batch_size: Annotated[
        int | None, typer.Option(help="Of the trainings from scratch (512).")
    ] = None,
    embedding_dim: EmbeddingDim = None,
    baselines: Annotated[
        str | None,
        typer.Option(help="Hand-made models to compare with, by commas; none for none of them."),
    ] = None,
    from_scratch_random: Annotated[
        int | None,
        typer.Option(help="Train so many random architectures too: the paper's baseline."),
    ] = None,
    layer_norm: LayerNorm = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of settings, as a run's config.json.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Find, train and keep the best model for a click log.

    Trains a supernet once, searches with its weights, trains the best architectures from scratch
    beside hand-made models, and leaves a model folder. A stopped search goes on when the same
    command is given again.
    """
    from nasrec.config import config_from_options
    from nasrec.pipeline import search as search_log

    _use(threads)
    names = None
    if baselines is not None:
        names = [name.strip() for name in baselines.split(",") if name.strip() not in ("", "none")]
    settings = config_from_options(
        config,
        budget,
        seed=seed,
        space=space,
        epochs=epochs,
        supernet_rows=supernet_rows,
        evaluations=evaluations,
        method=method,
        top_k=top_k,
        retrain_epochs=retrain_epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        retrain_batch_size=retrain_batch_size,
        embedding_dim=embedding_dim,
        baselines=names,
        from_scratch_random=from_scratch_random,
        layer_norm=layer_norm,
    )
    run = search_log(
        data,
        label,
        out,
        valid=valid,
        test=test,
        ignore=ignore or (),
        schema=schema,
        format=format,
        budget=budget,
        config=settings,
    )
    return run.to_dict(), run.summary


@app.command(epilog="Example: nasrec prepare log.csv --label click --out data")
@_command()
def prepare(
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    label: Label = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    min_count: Annotated[
        int | None, typer.Option(help="Rarer categorical values share the unknown id (2).")
    ] = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Type, split and encode a click log into a folder that searches and trainings read.

    Prints what it takes each column for. To change that, edit OUT/schema.yaml, and prepare again
    into another folder with --schema.
    """
    from nasrec.data import prepare as prepare_log
    from nasrec.pipeline import describe_data

    prepared = prepare_log(
        data,
        out,
        label=label,
        valid=valid,
        test=test,
        schema=schema,
        format=format,
        ignore=tuple(ignore or ()),
        min_count=min_count,
        seed=seed,
    )
    told = dict(describe_data(prepared))
    rows = ", ".join(f"{count:,} {name}" for name, count in told["rows"].items())
    warned = "".join(f"\nWarning: {warning}" for warning in prepared.warnings)
    text = f"{prepared.schema.describe()}\n\n{rows} rows in {out}{warned}"
    return told, f"{text}\nNext: nasrec search {out} --out run"


@app.command(epilog="Example: nasrec train data --arch published:criteo-full --out model")
@_command()
def train(
    data: Annotated[Path, typer.Argument(help="A prepared folder, or a raw log.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    arch: Annotated[
        str | None, typer.Option(help="An architecture's JSON file, or published:criteo-full.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Or a hand-made model: logreg, mlp or dlrm.")
    ] = None,
    label: Label = None,
    seed: Seed = 0,
    space: Annotated[
        str, typer.Option(help="The space that --arch must be of: full, small, or a YAML file.")
    ] = "full",
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows (3).")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of its schedule (0.12).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step (512).")] = None,
    embedding_dim: EmbeddingDim = None,
    layer_norm: LayerNorm = None,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Train one model from scratch, with early stopping on validation, and test it once."""
    from nasrec.config import model_options
    from nasrec.pipeline.single import train_from_log

    _use(threads)
    trained = train_from_log(
        data,
        out,
        arch=arch,
        model=model,
        space=space,
        options=model_options(embedding_dim or 16, layer_norm=layer_norm is not False),
        training={"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size},
        seed=seed,
        label=label,
        valid=valid,
        test=test,
        ignore=tuple(ignore or ()),
        schema=schema,
        format=format,
    )
    found = {
        f"{split}_{name}": trained.metrics[split][name]
        for split in ("valid", "test")
        for name in ("logloss", "auc")
    }
    result = {"model": str(out), "name": trained.spec.model, **found}
    text = "\n".join(f"{name:<14} {_number(value)}" for name, value in found.items())
    return result, f"{text}\nThe model is in {out}\nNext: nasrec evaluate {out} NEW-ROWS.csv"


@app.command(epilog="Example: nasrec evaluate run/model new-rows.csv")
@_command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder, such as run/model.")],
    data: Annotated[Path, typer.Argument(help="Labelled rows, or the prepared folder.")],
    split: Annotated[str, typer.Option(help="Which part of a prepared folder.")] = "test",
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Log loss and AUC of a model on labelled rows."""
    from nasrec.serve import load_model

    _use(threads)
    metrics = load_model(model).evaluate(data, split)
    loss, area = _number(metrics.logloss), _number(metrics.auc)
    text = f"log loss {loss}\nAUC      {area}\nrows     {metrics.rows:,}"
    return metrics.to_dict(), text


@arch_app.command("show", epilog="Example: nasrec arch show published:criteo-full")
@_command()
def arch_show(arch: Arch, as_json: Json = False) -> tuple[Any, str]:
    """Draw an architecture as text, and say which parts never reach the logit."""
    from nasrec.pipeline.picture import picture
    from nasrec.space import load_architecture

    architecture = load_architecture(arch)
    result = {
        **architecture.to_dict(),
        "digest": architecture.digest,
        "live_blocks": list(architecture.live_blocks),
    }
    return result, picture(architecture)


@arch_app.command("sample", epilog="Example: nasrec arch sample --space small --out arch.json")
@_command()
def arch_sample(
    space: Annotated[str, typer.Option(help="full, small, or a YAML file.")] = "full",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="File to write; must not exist.")] = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Draw a random architecture of a space."""
    from nasrec.pipeline.picture import picture, sample_to

    architecture = sample_to(space, seed, out)
    if out is not None:
        return {**architecture.to_dict(), "out": str(out)}, picture(architecture)
    return architecture.to_dict(), architecture.to_json()


@arch_app.command(
    "cost", epilog="Example: nasrec arch cost published:criteo-full --dense 13 --sparse 26"
)
@_command()
def arch_cost(
    arch: Arch,
    dense: Annotated[int, typer.Option(min=0, help="Number of numeric columns.")],
    sparse: Annotated[int, typer.Option(min=0, help="Number of categorical columns.")],
    embedding_dim: EmbeddingDim = None,
    layer_norm: Annotated[bool, typer.Option(help="LayerNorm in every operator.")] = True,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Count weights, multiply-adds a row and bytes of a stored model, embeddings excluded.

    "live" is what a model stores and computes: the parts that reach the logit.
    """
    from nasrec.config import model_options
    from nasrec.nn import Inputs, cost
    from nasrec.nn.cost import BYTES_PER_WEIGHT
    from nasrec.space import load_architecture

    options = model_options(embedding_dim or 16, layer_norm=layer_norm)
    found = cost(load_architecture(arch), Inputs(dense, (1,) * sparse), options)
    names = ("weights", "live_weights", "madds", "live_madds")
    result: dict[str, Any] = {name: getattr(found, name) for name in names}
    result["bytes"] = found.bytes - BYTES_PER_WEIGHT * found.embedding_weights
    text = "\n".join(f"{name:<13} {value:>12,}" for name, value in result.items())
    live = ", ".join(map(str, found.live_blocks))
    return {**result, "live_blocks": list(found.live_blocks)}, f"{text}\nlive_blocks   {live}"


@space_app.command("count", epilog="Example: nasrec space count full")
@_command()
def space_count(
    space: Annotated[str, typer.Argument(help="full, small, or a YAML file.")] = "full",
    as_json: Json = False,
) -> tuple[Any, str]:
    """Count exactly how many architectures a space holds, and say by which rules."""
    from nasrec.space import load_space

    found = load_space(space)
    count, paper = found.cardinality(), found.paper_cardinality()
    rules = found.cardinality_rules
    result = {"space": found.name, "count": count, "paper_count": paper, "rules": rules}
    lines = "\n".join(f"- {rule}" for rule in rules)
    text = f"{count:,}\nabout {count:.2e} architectures, by these rules:\n{lines}"
    return result, f"{text}\nBy the paper's rule: about {paper:.2e}"


@app.command(epilog="Example: nasrec demo --out demo-run")
@_command(RESUME)
def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("demo-run"),
    # Tensors this small gain next to nothing from more, and the result is to be the same on any
    # number of cores.
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Run the whole search on an embedded synthetic click log, in about five minutes.

    The log's true probabilities are known, so the table shows how much of the way from the base
    rate to the best possible model each model has gone.
    """
    from nasrec.demo import run_demo

    _use(threads)
    return run_demo(out)


def _number(value: float | None) -> str:
    return "not defined" if value is None or not math.isfinite(value) else f"{value:.5f}"


def main() -> None:
    """The `nasrec` command."""
    app()


if __name__ == "__main__":
    main()
