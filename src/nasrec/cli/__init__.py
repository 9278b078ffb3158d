"""The command line: one command a stage, and no logic.

Every command takes `--json` and then prints one JSON object on standard output. Progress and
messages go to standard error. Exit codes: 0 well, 2 a mistake in what was given, 3 a training
diverged, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

from nasrec.cli import compare as _compare  # noqa: F401  its command joins the app
from nasrec.cli import goals as _goals  # noqa: F401  its commands join too
from nasrec.cli import models as _models  # noqa: F401  its command joins too
from nasrec.cli import serving as _serving  # noqa: F401  so do its commands
from nasrec.cli import single as _single  # noqa: F401  and its
from nasrec.cli.data import data_app
from nasrec.cli.spaces import arch_app, space_app
from nasrec.cli.stages import app
from nasrec.cli.study import study_app

app.add_typer(data_app, name="data")
app.add_typer(arch_app, name="arch")
app.add_typer(space_app, name="space")
app.add_typer(study_app, name="study")


def main() -> None:
    """The `nasrec` command."""
    app()
