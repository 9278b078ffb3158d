"""What a long stage tells while it works: bars for people, a line now and then for log files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nasrec.pipeline.tracking import Listener, Log, stage_log

#: Called with what is done and what is planned.
Update = Callable[[int, int], None]
PLAIN_SECONDS = 15.0
"""Time between the lines of a stage where no bar can be drawn."""


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task.finished_speed or task.speed or 0.0, task.fields["unit"]))


def _rate(speed: float, unit: str) -> str:
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.2g} {unit}/s"


class Reporter:
    """Tells on standard error how a run goes; bars only where a terminal shows them.

    Args:
        quiet: tell nothing.
        bars: draw bars on a terminal; without, a line now and then there too.
        listeners: called with a stage's name and each record of numbers that it logs.
    """

    def __init__(
        self, quiet: bool = False, listeners: Sequence[Listener] = (), bars: bool = True
    ) -> None:
        self.quiet, self.listeners, self.bars = quiet, tuple(listeners), bars
        self._console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """One line or more, as it is."""
        if not self.quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def log(self, stage: str, folder: Path, lines: bool = True) -> AbstractContextManager[Log]:
        """Where a stage's numbers go: files in its folder, and the listeners."""
        return stage_log(stage, folder, self.listeners, lines)

    def heard(self, stage: str, folder: Path) -> None:
        """Give the listeners what a stage has logged elsewhere, from its folder."""
        if self.listeners:
            for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
                for listener in self.listeners:
                    listener(stage, json.loads(line))

    @contextmanager
    def bar(self, title: str, unit: str, scale: int = 1) -> Iterator[Update]:
        """A bar for one stage.

        Args:
            title: what is being done.
            unit: what is counted.
            scale: how many units one count of the stage is worth, say rows in a step.
        """
        if self.quiet:
            yield lambda done, total: None
        elif self.bars and self._console.is_terminal:
            with self._drawn(title, unit, scale) as update:
                yield update
        else:
            yield _plain(title, unit, scale)

    @contextmanager
    def _drawn(self, title: str, unit: str, scale: int) -> Iterator[Update]:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
        )
        with progress:
            task = progress.add_task(title, total=None, unit=unit)

            def update(done: int, total: int) -> None:
                progress.update(task, completed=done * scale, total=total * scale)

            yield update


def _plain(title: str, unit: str, scale: int) -> Update:
    began = told = time.monotonic()
    first: int | None = None

    def update(done: int, total: int) -> None:
        nonlocal told, first
        if first is None:
            first = done - 1
        now = time.monotonic()
        if now - told < PLAIN_SECONDS and done < total:
            return
        told = now
        speed = (done - first) / max(now - began, 1e-9)
        left = (total - done) / speed if speed else 0.0
        print(
            f"{title}: {done * scale:,} of {total * scale:,} {unit}, "
            f"{_rate(speed * scale, unit)}, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    return update
