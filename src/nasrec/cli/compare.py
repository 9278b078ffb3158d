"""The command that compares models."""

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
    Members,
    SchemaFile,
    Seed,
    Test,
    Valid,
    command,
)
from nasrec.cli.stages import app


@app.command(epilog="Example: nasrec compare log.csv --label click --models deepfm,nasrec")
@command(RESUME)
def compare(
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file, or a prepared folder.")],
    label: Label = None,
    out: Annotated[Path, typer.Option(help="Folder; goes on if it is of this comparison.")] = Path(
        "comparison"
    ),
    models: Annotated[
        str | None,
        typer.Option(
            help="By commas: names of nasrec models, nasrec for a searched network, lightgbm "
            "(all hand-made models and nasrec)."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="leaderboard, or paper: one epoch, no regularisation.")
    ] = "leaderboard",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each that is chosen.")] = 3,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trainings each model may choose from (leaderboard 7, paper 3)."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings side by side; as cores and memory allow.")
    ] = None,
    seed: Seed = 0,
    embedding_dim: EmbeddingDim = None,
    members: Members = None,
    blend: Blend = None,
    space: Annotated[
        str | None, typer.Option(help="Of the search: full, small, plus, or a YAML file.")
    ] = None,
    search_rows: Annotated[
        int | None, typer.Option(help="Of the search: rows to train on; all if left out.")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Of the search: candidates to score (400).")
    ] = None,
    max_madds: Annotated[
        int | None, typer.Option(help="Of the search: most multiply-adds a row of a candidate.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON file with the sizes of the search and of the models."),
    ] = None,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    device: Device = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Train models under equal treatment, with several seeds, and rank them.

    Every model has as many trials, chosen on validation, and is tested once a seed. Differences to
    the best come with a 95 % interval. Says how long it will take; a stopped comparison goes on
    when the same command is given again, and more seeds or models extend it.
    """
    from nasrec.config import config_from_options
    from nasrec.pipeline import compare as compare_models

    names = None
    if models is not None:
        names = [name.strip() for name in models.split(",") if name.strip()]
    found = compare_models(
        data,
        label,
        out,
        models=names,
        protocol=protocol,
        seeds=seeds,
        trials=trials,
        jobs=jobs,
        embedding_dim=embedding_dim,
        valid=valid,
        test=test,
        ignore=ignore or (),
        schema=schema,
        format=format,
        config=config_from_options(
            config,
            None,
            seed=seed,
            space=space,
            search_rows=search_rows,
            evaluations=evaluations,
            max_madds=max_madds,
            members=members,
            blend=blend,
            device=device,
        ),
    )
    return found.to_dict(), found.table
