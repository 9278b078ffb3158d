"""The command that lists the models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nasrec.cli.command import EmbeddingDim, Json, command
from nasrec.cli.stages import app


@app.command(epilog="Example: nasrec models --dense 13 --sparse 26")
@command()
def models(
    dense: Annotated[int, typer.Option(min=0, help="Number of numeric columns.")] = 13,
    sparse: Annotated[int, typer.Option(min=0, help="Number of categorical columns.")] = 26,
    embedding_dim: EmbeddingDim = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """List the models by name, with paper, weights and multiply-adds a row.

    Those of `--model` and `--baselines` first, then the published NASRecNets, for `--arch`, and
    LightGBM, for `nasrec compare`. Weights are without embeddings; multiply-adds are those of
    matrix products.
    """
    from dataclasses import asdict

    from nasrec.config import model_options
    from nasrec.nn import Inputs
    from nasrec.nn.catalogue import catalogue
    from nasrec.pipeline import boosting
    from nasrec.pipeline.leaderboard import text_table

    options = model_options(embedding_dim or 16)
    known = catalogue(Inputs(dense, (1,) * sparse), options)
    result = {
        "dense": dense,
        "sparse": sparse,
        "options": asdict(options),
        "models": [
            *(asdict(model) for model in known),
            {"name": boosting.LIGHTGBM, "title": boosting.TITLE, "paper": boosting.PAPER}
            | {"weights": None, "madds": None},  # as many trees as the data ask for
        ],
    }
    head = ("name", "title", "paper", "weights", "madds/row")
    body = [(m.name, m.title, m.paper, f"{m.weights:,}", f"{m.madds:,}") for m in known]
    body.append((boosting.LIGHTGBM, boosting.TITLE, boosting.PAPER, "", ""))
    return result, text_table(head, body, left=3)
