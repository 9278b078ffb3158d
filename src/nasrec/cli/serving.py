"""The commands that use a trained model: score, calibrate, export, time and explain it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import Format, Json, ModelFolder, Seed, Threads, command, number, use
from nasrec.cli.stages import app


@app.command(epilog="Example: nasrec predict run/model new-rows.csv --out scores.csv --keep id")
@command()
def predict(
    model: ModelFolder,
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet rows; - for standard input.")],
    out: Annotated[
        Path, typer.Option(help="CSV, TSV or Parquet file to write; - for standard output.")
    ] = Path("-"),
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to copy to the output; may be given several times."),
    ] = None,
    format: Format = None,
    out_format: Annotated[
        str | None, typer.Option(help="csv, tsv or parquet; by the extension of --out.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str | None]:
    """Write one click probability a row, in the order of the rows.

    Files larger than memory are streamed. Afterwards it tells how the rows differ from the
    training rows: missing and unknown values of each column.
    """
    from nasrec.errors import ConfigError
    from nasrec.serve import predict as score

    use(threads)
    piped = str(out) == "-"
    if piped and as_json:
        raise ConfigError(
            "--json and the predictions would both go to standard output", mend="give --out FILE"
        )
    # As it was typed: a Path makes no difference between "-" and "./-".
    told = score(model, data, out, keep=keep or (), format=format, out_format=out_format)
    if piped:
        typer.echo(told.summary, err=True)
        return told.to_dict(), None
    return {**told.to_dict(), "out": str(out)}, f"{told.summary}\nThe predictions are in {out}"


@app.command(epilog="Example: nasrec calibrate run/model run/data --out calibrated")
@command()
def calibrate(
    model: ModelFolder,
    data: Annotated[
        Path, typer.Argument(help="Prepared folder (its validation rows), or other labelled rows.")
    ],
    out: Annotated[Path, typer.Option(help="Model folder to make.")],
    method: Annotated[str, typer.Option(help="isotonic, platt or none.")] = "isotonic",
    negative_rate: Annotated[
        float,
        typer.Option(help="Share of the rows without a click that was kept for training."),
    ] = 1.0,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Make a model's probabilities mean clicks: a copy of it with a calibration step.

    Where negatives were sampled for training, --negative-rate says what share was kept, and the
    probabilities become those of the full log.
    """
    from nasrec.data.dataset import is_prepared
    from nasrec.serve import calibrate as calibrated
    from nasrec.serve import load_model

    use(threads)
    given = load_model(model)
    made = calibrated(given, data, out, method=method, negative_rate=negative_rate)
    lines = []
    for split, before in (("test", given.metrics.get("test")), ("calibration", None)):
        found = made.metrics.get(split)
        if found is None or (split == "test" and not is_prepared(data)):
            continue
        lines.append(f"{split} rows ({found['rows']:,}):")
        for name, title in (
            ("logloss", "log loss"),
            ("ece", "calibration error"),
            ("bias", "bias"),
        ):
            was = f" (before: {number(before.get(name))})" if before else ""
            lines.append(f"  {title:<17} {number(found[name])}{was}")
    text = "\n".join(lines)
    result = {"model": str(out), "method": method, "metrics": made.metrics}
    return result, f"{text}\nThe calibrated model is in {out}"


@app.command(epilog="Example: nasrec export run/model --to onnx --out exported")
@command()
def export(
    model: ModelFolder,
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    to: Annotated[str, typer.Option(help="onnx, or torch for a .pt2 program.")] = "onnx",
    rows: Annotated[
        Path | None,
        typer.Option(help="Rows to check it on; by default the model folder's sample."),
    ] = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Export a model, embeddings and calibration included, as a program for other runtimes.

    The program is run in the other runtime on real rows, and kept only if no logit or probability
    differs by more than 0.0001. Beside it go the encoder as JSON and a reference encoder that
    needs numpy only.
    """
    from nasrec.serve import load_model
    from nasrec.serve.export import export as exported

    use(threads)
    made = exported(load_model(model), out, to=to, rows=rows, format=format)
    result = {
        "out": str(out),
        "to": to,
        "rows": made.rows,
        "largest_difference": made.difference,
        "external_data": made.external,
    }
    return result, (
        f"Checked on {made.rows:,} rows: the largest difference is {made.difference:.1e}\n"
        f"The exported model is in {out}"
    )


@app.command(epilog="Example: nasrec bench run/model --batch 1,128")
@command()
def bench(
    model: ModelFolder,
    rows: Annotated[
        Path | None, typer.Option(help="Rows to score; by default the model folder's sample.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Rows a call, by commas.")] = "1,16,128,1024,8192",
    runtime: Annotated[
        str | None,
        typer.Option(help="torch, onnx, or both by a comma; onnx if it is installed."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each of them.")] = 1.0,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Measure latency (median and 99th percentile of a call) and rows a second.

    Rows are encoded beforehand: this is the time of the network.
    """
    from nasrec.errors import ConfigError, RunError
    from nasrec.serve import load_model
    from nasrec.serve.bench import bench as timed
    from nasrec.serve.bench import timing_table
    from nasrec.serve.export import require_onnx
    from nasrec.serve.versions import environment

    use(threads)
    note = ""
    if runtime is None:
        runtime = "torch,onnx"
        try:
            require_onnx()
        except RunError as error:
            runtime, note = "torch", f"\nTimed without onnxruntime: {error}"
    if not all(part.strip().isdigit() for part in batch.split(",")):
        raise ConfigError(f"not batch sizes: {batch!r}", mend="say --batch 1,128")
    timings = timed(
        load_model(model),
        rows=rows,
        batches=[int(part) for part in batch.split(",")],
        runtimes=[part.strip() for part in runtime.split(",")],
        seconds=seconds,
    )
    where = environment()
    text = f"{timing_table(timings)}\n{where['torch_threads']} of {where['cores']} cores used"
    return {"timings": [t.to_dict() for t in timings], "environment": where}, text + note


@app.command(epilog="Example: nasrec explain run/model run/data")
@command()
def explain(
    model: ModelFolder,
    data: Annotated[
        Path | None,
        typer.Argument(help="Prepared folder (its validation rows), or other labelled rows."),
    ] = None,
    rows: Annotated[int, typer.Option(min=2, help="Most rows to measure on.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=1, help="Shuffles of each column.")] = 3,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Tell which columns matter, and through which blocks the inputs reach the logit.

    A column's importance is what the model loses when its values are shuffled among the rows. It
    needs labelled rows; without DATA only the blocks are told.
    """
    from nasrec.serve import load_model
    from nasrec.serve.explain import (
        importance_table,
        permutation_importance,
        reach,
        reach_text,
    )

    use(threads)
    given = load_model(model)
    result: dict[str, Any] = {}
    parts = []
    if data is not None:
        labelled = given.labelled_rows(data, rows)
        found = permutation_importance(given, *labelled, repeats=repeats, seed=seed)
        result |= {"rows": len(labelled[2]), "importance": [i.to_dict() for i in found]}
        parts.append(
            f"Change of log loss and AUC when a column is shuffled, on {len(labelled[2]):,} rows:\n"
            f"{importance_table(found)}"
        )
    if given.architecture is not None:
        ways = reach(given.architecture)
        result["reach"] = [way.to_dict() for way in ways]
        if count := len(given.spec.parts):
            parts.append(f"The model is the mean of {count} networks. Of the first:")
        parts.append(reach_text(ways))
    else:
        parts.append(f"{given.spec.model} has no blocks: every column goes into its layers.")
    return result, "\n\n".join(parts)
