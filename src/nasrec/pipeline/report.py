"""Stage 6: the page that shows what a run has found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasrec.errors import NasrecError, RunError
from nasrec.files import write_text
from nasrec.pipeline.findings import findings
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.report import page


def write_report(path: str | Path, out: str | Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Write the report of a run, finished or not: where it is, and what it shows.

    Args:
        path: the run folder.
        out: the HTML file; report.html in the run folder by default. One that is there is replaced.

    Raises:
        RunError: not a run folder, one of another version, or the file cannot be written. Other
            faults of the folder are told in the report.
    """
    run = RunFolder(Path(path))
    found = findings(run)
    file = run.report if out is None else Path(out)
    if file.is_dir():
        raise RunError("this is a folder", where=str(file), mend="give the name of an HTML file")
    write_text(file, page(found))
    return file, found


def report_stage(run: RunFolder, tell: Reporter) -> None:
    """The report at the end of a search; whatever is wrong with it does not fail the search."""
    if run.report.is_file():
        return
    try:
        write_report(run.path)
    except Exception as error:
        # The model is there and tested: a fault in a picture of it is told, and no more.
        told = error if isinstance(error, NasrecError) else f"{type(error).__name__}: {error}"
        tell.say(f"Warning: the report was not written: {told}")
    else:
        tell.say(f"The report is in {run.report}")
