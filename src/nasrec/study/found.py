"""What every study gives, and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nasrec.files import finite, write_json, write_text
from nasrec.pipeline.leaderboard import text_table


@dataclass(frozen=True)
class Found:
    """A study's result.

    Attributes:
        result: as JSON types.
        head, body: its table.
        words: what stands below the table.
        figure: an SVG.
    """

    result: dict[str, Any]
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    words: str
    figure: Markup

    @property
    def text(self) -> str:
        """Table and words."""
        return f"{text_table(self.head, self.body)}\n\n{self.words}"

    def write(self, path: Path, name: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """Write NAME.json, NAME.md, NAME.txt and NAME.svg; gives the content of the first.

        Args:
            path: the folder.
            name: the study's.
            about: settings, data and machine, for the JSON file.
        """
        lines = [f"| {' | '.join(line)} |" for line in (self.head, ["---"] * len(self.head))]
        lines += [f"| {' | '.join(line)} |" for line in self.body]
        whole: dict[str, Any] = finite({"format": f"nasrec-study-{name}/1", **about, **self.result})
        write_text(path / f"{name}.svg", str(self.figure))
        write_text(path / f"{name}.md", "\n".join(lines) + f"\n\n{self.words}\n")
        write_text(path / f"{name}.txt", f"{self.text}\n")
        write_json(path / f"{name}.json", whole)
        return whole
