"""A study from data to its table, in a folder that it goes on in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasrec.files import finite, write_json, write_text
from nasrec.pipeline.data import DataRequest, data_stage, describe_data
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.leaderboard import text_table
from nasrec.pipeline.progress import Reporter
from nasrec.serve.versions import environment
from nasrec.study import ranking
from nasrec.study.config import StudyConfig
from nasrec.study.truth import cut
from nasrec.study.variants import variants_named


def run_ranking(
    request: DataRequest,
    out: Path,
    config: StudyConfig,
    variants: str = "strategies",
    reporter: Reporter | None = None,
) -> tuple[dict[str, Any], str]:
    """The ranking study; gives its result and its table as text.

    Writes ranking.json, ranking.md and ranking.txt. A study that was stopped goes on when called
    again with the same settings; other variants join what is there.

    Args:
        request: the click log, or a prepared folder.
        out: the study's folder.
        config: the ground truth.
        variants: names of `nasrec.study.variants`, by commas.
        reporter: tells how it goes; on standard error by default.

    Raises:
        NasrecError: bad data, settings, or a folder of another study.
    """
    tell, run = reporter or Reporter(), RunFolder(Path(out))
    chosen = variants_named(variants)
    # What scores depend on stands in their journals: the ground truth serves any of them.
    truth = config.model_dump(mode="json", exclude={"scoring"})
    asked = {**request.describe(), "study": truth}
    with run.claimed(asked):
        whole = data_stage(run, request, config.seed)
        data = cut(whole, config)
        result = ranking.ranking(run.path, data, config, chosen, tell)
        result |= {
            "study": config.model_dump(mode="json"),
            "data": describe_data(data),
            "environment": environment(),
        }
        return written(run.path, "ranking", result, *ranking.table(result), ranking.words(result))


def written(
    path: Path,
    name: str,
    result: Mapping[str, Any],
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    words: str,
) -> tuple[dict[str, Any], str]:
    """Write a study's files; gives its result as JSON types and its table as text."""
    text = f"{text_table(head, body)}\n\n{words}\n"
    lines = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body)]
    write_json(path / f"{name}.json", result)
    write_text(path / f"{name}.md", "\n".join(lines) + f"\n\n{words}\n")
    write_text(path / f"{name}.txt", text)
    found: dict[str, Any] = finite(result)
    return found, text.rstrip("\n")
