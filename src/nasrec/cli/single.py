"""The commands of one model: train it, test it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import (
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
    metrics_table,
    number,
    reporting,
    use,
)
from nasrec.cli.stages import app


@app.command(epilog="Example: nasrec train data --arch published:criteo-full --out model")
@command()
def train(
    data: Annotated[Path, typer.Argument(help="A prepared folder, or a raw log.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    arch: Annotated[
        str | None, typer.Option(help="An architecture's JSON file, or published:criteo-full.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Or a hand-made model, such as dlrm; see nasrec models.")
    ] = None,
    label: Label = None,
    seed: Seed = 0,
    space: Annotated[
        str, typer.Option(help="The space that --arch is of: full, small, plus, or a YAML file.")
    ] = "full",
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows, at most (20).")] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak of its schedule (0.12). Some recipes of a search multiply theirs."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step (512).")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adagrad, or adam with a rate near 0.001.")
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(help="What early stopping goes by: logloss, auc, grouped-auc (logloss)."),
    ] = None,
    embedding_dim: EmbeddingDim = None,
    members: Members = None,
    layer_norm: LayerNorm = None,
    first_order: Annotated[
        bool, typer.Option(help="A linear part beside the blocks of --arch, as in a search.")
    ] = True,
    click_rates: Annotated[
        bool, typer.Option(help="Read how often rows of each id were clicked, as a number.")
    ] = False,
    dropout: Annotated[float, typer.Option(help="Share of hidden values dropped.")] = 0.0,
    embedding_dropout: Annotated[
        float, typer.Option(help="Share of the embeddings' entries dropped.")
    ] = 0.0,
    embedding_l2: Annotated[
        float | None, typer.Option(help="L2 on the embeddings that a batch reads.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(help="Fit a slope and an intercept of its logits to the validation rows."),
    ] = True,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    mlflow: Mlflow = False,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Train one model from scratch, with early stopping on validation, and test it once."""
    from nasrec.config import model_options
    from nasrec.pipeline.single import train_from_log

    use(threads)
    training = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "embedding_l2": embedding_l2,
        "criterion": criterion,
        "calibrate": calibrate,
        "device": device,
    }
    with reporting(mlflow, str(out), model=model or arch, seed=seed, **training) as reporter:
        trained = train_from_log(
            data,
            out,
            arch=arch,
            model=model,
            space=space,
            options=model_options(
                embedding_dim or 16,
                layer_norm=layer_norm is not False,
                first_order=first_order,
                bends=first_order,
                click_rates=click_rates,
                dropout=dropout,
                embedding_dropout=embedding_dropout,
                members=members or 1,
            ),
            training=training,
            seed=seed,
            reporter=reporter,
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
    text = metrics_table(trained.metrics)
    return result, f"{text}\n\nThe model is in {out}\nNext: nasrec evaluate {out} NEW-ROWS.csv"


@app.command(epilog="Example: nasrec evaluate run/model new-rows.csv")
@command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder, such as run/model.")],
    data: Annotated[Path, typer.Argument(help="Labelled rows, or the prepared folder.")],
    split: Annotated[str, typer.Option(help="Which part of a prepared folder.")] = "test",
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Log loss, AUC, calibration error and bias of a model on labelled rows.

    Normalised entropy: log loss divided by that of the rows' click rate. Grouped AUC: mean AUC
    within the groups of the schema's group column, where there is one. Calibration error: mean
    difference of predicted and true click rate over 20 bins of equally many rows. Bias: predicted
    clicks divided by clicks.
    """
    from nasrec.serve import load_model

    use(threads)
    metrics = load_model(model).evaluate(data, split)
    told = {
        "log loss": number(metrics.logloss),
        "AUC": number(metrics.auc),
        "normalised entropy": number(metrics.normalized_entropy),
        **({"grouped AUC": number(gauc)} if math.isfinite(gauc := metrics.grouped_auc) else {}),
        "calibration error": number(metrics.ece),
        "bias": number(metrics.bias),
        "rows": f"{metrics.rows:,}",
    }
    return metrics.to_dict(), "\n".join(f"{name:<18} {value}" for name, value in told.items())
