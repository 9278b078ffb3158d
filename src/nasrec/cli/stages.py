"""The commands of the stages: from a click log to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import (
    RESUME,
    Blend,
    Device,
    EmbeddingDim,
    Format,
    Ignore,
    Json,
    Label,
    LayerNorm,
    Members,
    Mlflow,
    SchemaFile,
    Seed,
    Test,
    Threads,
    Valid,
    command,
    count,
    reporting,
    use,
)

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


@app.command(epilog="Example: nasrec search log.csv --label click --out run --budget 30")
@command(RESUME)
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
        str | None, typer.Option(help="plus, small, full, or a YAML file that defines a space.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the supernet (1).")] = None,
    search_rows: Annotated[
        int | None, typer.Option(help="Search on so many rows; all if left out.")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Candidates to score (400; paper: 2048).")
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="What quality is: logloss, auc, grouped-auc or normalized-entropy (logloss)."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="Search a front: a criterion and costs by commas, such as logloss,madds; costs "
            "are madds, weights, bytes, latency."
        ),
    ] = None,
    score_by: Annotated[
        str | None,
        typer.Option(
            help="What scores candidates: training, each its own, for small logs, or supernet (as "
            "--scoring says; with --budget training where time allows)."
        ),
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(
            help="How, without a training of its own: whole, 100 steps of a copy from the "
            "supernet; paper, its last layer; scratch, 100 steps without a supernet (scratch up to "
            "250,000 rows, then whole)."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="evolution, guided, random, relaxed, progressive or nsga2 (evolution; nsga2 with "
            "--objective)."
        ),
    ] = None,
    max_madds: Annotated[
        int | None,
        typer.Option(
            parser=count,
            metavar="N",
            help="Score no network of more multiply-adds a row: 500k. A blend has no more in all.",
        ),
    ] = None,
    max_weights: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Nor of more weights beside its embeddings."),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Nor of more bytes, embeddings included."),
    ] = None,
    max_p99_ms: Annotated[
        float | None,
        typer.Option(help="Nor one that takes longer here for a batch, at the 99th percentile."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Rows of a batch where latency is measured (1).")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Best candidates to train from scratch (4; paper: 15).")
    ] = None,
    retrain_epochs: Annotated[
        int | None, typer.Option(help="Passes of a training from scratch, at most (20).")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of the trainings from scratch (0.12); a recipe may multiply it."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Of the supernet (512).")] = None,
    retrain_batch_size: Annotated[
        int | None, typer.Option(help="Of the trainings from scratch (512).")
    ] = None,
    embedding_dim: EmbeddingDim = None,
    members: Members = None,
    blend: Blend = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            help="Hand-made models to compare with, by commas, or none (logreg,mlp,dlrm; "
            "see nasrec models)."
        ),
    ] = None,
    from_scratch_random: Annotated[
        int | None,
        typer.Option(help="Train so many random architectures too: the paper's baseline."),
    ] = None,
    layer_norm: LayerNorm = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of settings, as a run's config.json.")
    ] = None,
    mlflow: Mlflow = False,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Find, train and keep the best model for a click log.

    Trains a supernet once and searches with its weights (or trains each candidate a little or to
    its end, where the log is small), trains the best architectures from scratch beside hand-made
    models, and leaves a model folder. A stopped search goes on when the same command is given
    again.
    """
    from nasrec.config import config_from_options
    from nasrec.pipeline import search as search_log

    use(threads)
    names = None
    if baselines is not None:
        names = [name.strip() for name in baselines.split(",") if name.strip() not in ("", "none")]
    settings = config_from_options(
        config,
        budget,
        seed=seed,
        space=space,
        epochs=epochs,
        search_rows=search_rows,
        evaluations=evaluations,
        criterion=criterion,
        objective=objective,
        score_by=score_by,
        scoring=scoring,
        method=method,
        max_madds=max_madds,
        max_weights=max_weights,
        max_bytes=max_bytes,
        max_p99_ms=max_p99_ms,
        latency_batch=batch,
        top_k=top_k,
        retrain_epochs=retrain_epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        retrain_batch_size=retrain_batch_size,
        embedding_dim=embedding_dim,
        members=members,
        blend=blend,
        baselines=names,
        from_scratch_random=from_scratch_random,
        layer_norm=layer_norm,
        device=device,
    )
    with reporting(mlflow, str(out), **settings.model_dump(mode="json")) as reporter:
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
            reporter=reporter,
        )
    return run.to_dict(), run.summary


@app.command(epilog="Example: nasrec report run")
@command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, finished or not.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; RUN/report.html if left out.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Write one HTML page with all that a search has found: it opens offline, in any browser.

    A search writes it by itself at its end. Of an unfinished search, or of a folder that lost
    parts, it shows what there is and says what is missing.
    """
    from nasrec.pipeline import write_report

    use(threads)
    file, found = write_report(run, out)
    told = [f"The report is in {file}"]
    if found["missing"]:
        told.append(f"It lacks {', '.join(found['missing'])}.")
    for fault in found["faults"]:
        told.append(f"Warning: {fault['where'] + ': ' if fault['where'] else ''}{fault['what']}")
    return {**found, "report": str(file)}, "\n".join(told)


@app.command(epilog="Example: nasrec prepare log.csv --label click --out data")
@command(RESUME)
def prepare(
    data: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns: CSV, TSV, Parquet; plain, gzip, zstd."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    label: Label = None,
    group: Annotated[
        str | None, typer.Option(help="Name of the column that says whose a row is.")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option(help="Of the one that says when, if none is found.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Of the one that says how much a row counts.")
    ] = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="As a published benchmark has it, such as criteo-paper."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="random, time, group, folds or column:NAME:VALID:TEST (random)."),
    ] = None,
    min_count: Annotated[
        int | None, typer.Option(help="Rarer categorical values share the unknown id (2).")
    ] = None,
    bad_rows: Annotated[
        str, typer.Option(help="error, skip, or quarantine: keep them in OUT/quarantine.csv.")
    ] = "error",
    memory: Annotated[float, typer.Option(help="Peak of memory to stay within, in GB.")] = 4.0,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Type, split and encode a click log into a folder that searches and trainings read.

    Prints what it takes each column for. To change that, edit OUT/schema.yaml, and prepare again
    into another folder with --schema. Any size will do: what was stopped goes on when it is
    started again.
    """
    from nasrec.data import prepare as prepare_log
    from nasrec.pipeline import describe_data

    prepared = prepare_log(
        data[0] if len(data) == 1 else data,
        out,
        label=label,
        group=group,
        timestamp=timestamp,
        weight=weight,
        valid=valid,
        test=test,
        schema=schema,
        format=format,
        protocol=protocol,
        split=split,
        ignore=tuple(ignore or ()),
        min_count=min_count,
        seed=seed,
        bad_rows=bad_rows,
        memory=int(memory * 1e9),
        threads=threads,
        tell=lambda text: typer.echo(text, err=True),
    )
    told = dict(describe_data(prepared))
    rows = ", ".join(f"{count:,} {name}" for name, count in told["rows"].items())
    warned = "".join(f"\nWarning: {warning}" for warning in prepared.warnings)
    text = f"{prepared.schema.describe()}\n\n{rows} rows in {out}{warned}"
    return told, f"{text}\nNext: nasrec data info {out}, nasrec search {out} --out run"


@app.command(epilog="Example: nasrec demo --out demo-run")
@command(RESUME)
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

    use(threads)
    return run_demo(out)
