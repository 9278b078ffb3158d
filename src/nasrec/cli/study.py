"""The studies of the method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import (
    RESUME,
    EmbeddingDim,
    Format,
    Ignore,
    Json,
    Label,
    SchemaFile,
    Seed,
    Test,
    Threads,
    Valid,
    command,
    use,
)

study_app = typer.Typer(no_args_is_help=True, help="Measure the method itself on your data.")


@study_app.command("ranking", epilog="Example: nasrec study ranking data --out study --subnets 24")
@command(RESUME)
def ranking(
    data: Annotated[Path, typer.Argument(help="A prepared folder, or a raw log.")],
    out: Annotated[Path, typer.Option(help="Folder; goes on if it is of this study.")],
    label: Label = None,
    subnets: Annotated[int, typer.Option(help="Subnets to train from scratch.")] = 100,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Most rows of each split; all if left out.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repeats of every training.")] = 2,
    variants: Annotated[
        str,
        typer.Option(
            help="strategies, warmup, recipes, or names such as paper,any-any:4 (epochs)."
        ),
    ] = "strategies",
    space: Annotated[
        str, typer.Option(help="full-study, small-study, another name, or a YAML file.")
    ] = "full-study",
    epochs: Annotated[int, typer.Option(help="Of the trainings from scratch.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Of the trainings from scratch.")] = 1024,
    learning_rate: Annotated[float, typer.Option(help="Of the trainings from scratch.")] = 0.12,
    finetune_rows: Annotated[
        int | None, typer.Option(help="Rows of a score's fine-tuning; as many as it needs.")
    ] = None,
    valid_rows: Annotated[int | None, typer.Option(help="Rows of a score; all.")] = None,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Does the supernet order networks as training from scratch does?

    Trains random subnets from scratch, once for all variants of the supernet, and compares their
    order with that of each variant's scores. Writes ranking.md, ranking.txt and ranking.json.
    """
    from nasrec.config import model_options
    from nasrec.pipeline.data import DataRequest
    from nasrec.search import ScoreConfig
    from nasrec.space import load_space
    from nasrec.study import StudyConfig, run_ranking
    from nasrec.train import TrainConfig

    use(threads)
    config = StudyConfig(
        seed=seed,
        space=load_space(space),
        subnets=subnets,
        rows=rows,
        seeds=seeds,
        model=model_options(embedding_dim or 16, embedding_cap=500_000),
        training=TrainConfig(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, patience=None
        ),
        scoring=ScoreConfig(finetune_rows=finetune_rows, valid_rows=valid_rows),
    )
    request = DataRequest(data, label, valid, test, ignore or (), schema, format)
    return run_ranking(request, out, config, variants)
