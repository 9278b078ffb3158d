"""The commands that look at prepared data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import Json, command

data_app = typer.Typer(no_args_is_help=True, help="Look at prepared data and verify them.")
Folder = Annotated[Path, typer.Argument(help="A prepared folder.")]


@data_app.command("info", epilog="Example: nasrec data info data")
@command()
def data_info(folder: Folder, as_json: Json = False) -> tuple[Any, str]:
    """Show what is in a prepared folder: rows, columns, split, sources, warnings."""
    from nasrec.data import PreparedData
    from nasrec.data.info import info, info_text

    found = info(PreparedData.open(folder))
    return found, info_text(found)


@data_app.command("check", epilog="Example: nasrec data check data")
@command()
def data_check(folder: Folder, as_json: Json = False) -> tuple[Any, str]:
    """Verify every checksum, label and id range of a prepared folder."""
    from nasrec.data import PreparedData

    data = PreparedData.open(folder)
    data.check()
    rows = sum(len(part) for part in (data.train, data.valid, data.test))
    files = len(data.manifest["files"])
    result = {"path": str(folder), "rows": rows, "files": files, "fingerprint": data.fingerprint}
    return result, f"{folder} is whole: {rows:,} rows in {files} files"
