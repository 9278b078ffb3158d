"""The page of all commands, from the command line itself.

A line `<!-- commands -->` in a page becomes one section for each command: its help, its use, its
options and its example, as `--help` gives them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MARK = "<!-- commands -->"


def commands_page() -> str:
    """Markdown: a section for each command of `nasrec`."""
    from typer.main import get_command

    from nasrec.cli import app

    root = get_command(app)
    context = root.make_context("nasrec", [], resilient_parsing=True)
    return "\n".join(line for part in _sections(root, context) for line in part)


def _sections(group: Any, context: Any) -> Iterator[list[str]]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        below = type(context)(found, info_name=name, parent=context)
        if hasattr(found, "list_commands"):
            yield from _sections(found, below)
        else:
            yield _section(found, below)


def _section(command: Any, context: Any) -> list[str]:
    usage = command.get_usage(context).removeprefix("Usage: ")
    usage = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), usage)
    example = command.epilog.removeprefix("Example: ")
    lines = [f"## {context.command_path}", "", _marked(command.help), ""]
    lines += ["```text", usage, "```", "", "For example:", "", "```console", f"$ {example}", "```"]
    for parameter in command.params:
        names, told = parameter.get_help_record(context)
        if parameter.param_type_name == "argument":
            names = parameter.name.upper()
        lines += ["", f"`{names}`", f": {_marked(told)}"]
    return [*lines, ""]


def _marked(text: str) -> str:
    """A help text with its options as code."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]+", r"`\g<0>`", text)


def _replace(app: object, name: str, source: list[str]) -> None:
    source[0] = source[0].replace(MARK, commands_page() if MARK in source[0] else "")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _replace)
    return {"parallel_read_safe": True}
