"""The commands that use a trained model: score, calibrate, export, time and explain it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import Format, Json, ModelFolder, Threads, command, number, use
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
    from nasrec.serve import calibrate as calibrated
    from nasrec.serve import load_model

    use(threads)
    given = load_model(model)
    made = calibrated(given, data, out, method=method, negative_rate=negative_rate)
    lines = []
    for split, before in (("test", given.metrics.get("test")), ("calibration", None)):
        found = made.metrics.get(split)
        if found is None or (split == "test" and not Path(data).is_dir()):
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
