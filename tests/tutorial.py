"""Runs the tutorial: its commands in order in an empty folder, each beside what the page says.

    python -m tests.tutorial

runs it and writes what the commands print into the page, line for quoted line. In a `console` block
a line that begins with `$ ` is a command, one with `> ` goes on with it; all others are quoted from
what it prints, and `...` stands for lines left out. Numbers may differ and so may the width of
gaps; all else may not. A `code-block` with a caption is a file of that name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from nasrec.cli import app

PAGE = Path(__file__).parents[1] / "docs/tutorial.md"
LEFT_OUT = "..."
_BLOCK = re.compile(r"^```(?:console|\{code-block\} \w+\n:caption: (\S+))\n(.*?)^```", re.M | re.S)


class Step(NamedTuple):
    """A command of the page, or a file that it has the reader write."""

    file: str | None
    content: str
    quoted: list[str]


def steps(page: str) -> Iterator[Step]:
    """What the reader does, in order."""
    for caption, text in _BLOCK.findall(page):
        if caption:
            yield Step(caption, text, [])
            continue
        command, quoted = "", []
        for line in text.splitlines():
            if line.startswith("$ "):
                if command:
                    yield Step(None, command, quoted)
                command, quoted = line[2:], []
            elif line.startswith("> ") and not quoted:
                command = f"{command.removesuffix(chr(92))}{line[2:]}"
            else:
                quoted.append(line)
        yield Step(None, command, quoted)


def do(step: Step) -> list[str]:
    """Take a step in the current folder; the lines it printed."""
    if step.file is not None:
        Path(step.file).write_text(step.content, encoding="utf-8")
        return []
    words = shlex.split(step.content)
    if words[0] == "nasrec" and not {"|", ">", "<"} & set(words):
        # In this process: loading torch anew takes longer than most commands.
        done = CliRunner().invoke(app, words[1:], env={"COLUMNS": "100"})
        code, printed = done.exit_code, done.output
    else:
        here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        shell = subprocess.run(
            step.content,
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **here},
        )
        code, printed = shell.returncode, shell.stdout
    assert code == 0, f"$ {step.content}\n{printed}"
    return printed.splitlines()


def shape(line: str) -> str:
    """A line without its numbers and the width of its gaps and rules."""
    line = re.sub(r"\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "0", line)
    return re.sub(r"-{2,}", "--", re.sub(r"\s+", " ", line)).strip()


def found(quoted: list[str], printed: list[str]) -> list[str]:
    """The printed lines that the quoted ones stand for; AssertionError where one is missing.

    The lines of a table, below its rule, may come in another order.
    """
    told = "\n".join(printed)
    lines: list[str] = []
    at, anywhere, left = 0, False, list(quoted)
    while left:
        if left[0] == LEFT_OUT:
            anywhere = True
            lines.append(left.pop(0))
            continue
        in_table = bool(lines) and shape(lines[-1]).startswith("--")
        count = _until_blank(left) if in_table else 1
        wanted = sorted(map(shape, left[:count]))
        fits = [
            i
            for i in range(at, len(printed))
            if sorted(map(shape, printed[i : i + count])) == wanted
        ]
        right = bool(fits) and (anywhere or fits[0] == at)
        assert right, f"{left[:count]} is not what comes next:\n{told}"
        at, anywhere = fits[0] + count, False
        lines += [line.rstrip() for line in printed[fits[0] : at]]
        del left[:count]
    assert anywhere or not quoted or at == len(printed), f"more was printed: {printed[at:]}"
    return lines


def _until_blank(lines: list[str]) -> int:
    """How many lines come before one that is empty or stands for others; at least 1."""
    ends = (i for i, line in enumerate(lines) if i and line in ("", LEFT_OUT))
    return next(ends, len(lines))


def take(page: str, folder: Path) -> str:
    """The page with the lines that its commands print now, run in an empty folder."""
    with chdir(folder):
        for step in steps(page):
            printed = do(step)
            if step.quoted:
                old, new = "\n".join(step.quoted), "\n".join(found(step.quoted, printed))
                page = page.replace(f"\n{old}\n", f"\n{new}\n", 1)
    return page


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        PAGE.write_text(take(PAGE.read_text(encoding="utf-8"), Path(empty)), encoding="utf-8")
