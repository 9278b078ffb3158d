"""A study from data to its table, in a folder that it goes on in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nasrec.errors import ConfigError, nearest
from nasrec.pipeline.data import DataRequest, data_stage, describe_data
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.serve.versions import environment
from nasrec.study.cdf import cdf
from nasrec.study.config import StudyConfig
from nasrec.study.cost import cost
from nasrec.study.found import Found
from nasrec.study.interactions import interactions
from nasrec.study.methods import methods
from nasrec.study.ranking import ranking
from nasrec.study.searched import searched
from nasrec.study.truth import cut

#: By name: from folder, data, settings, a Reporter and the study's own options.
STUDIES: dict[str, Callable[..., Found]] = {
    "ranking": ranking,
    "cdf": cdf,
    "cost": cost,
    "searched": searched,
    "methods": methods,
    "interactions": interactions,
}


def run_study(
    name: str,
    request: DataRequest,
    out: Path,
    config: StudyConfig,
    reporter: Reporter | None = None,
    **options: Any,
) -> tuple[dict[str, Any], str]:
    """One study; gives its result as JSON types and its table as text.

    Writes NAME.json, NAME.md, NAME.txt and NAME.svg. A study that was stopped goes on when called
    again with the same settings. Studies in one folder share the ground truth, so they need the
    same settings; what they compare beside it may differ from call to call.

    Args:
        name: of `STUDIES`.
        request: the click log, or a prepared folder.
        out: the folder.
        config: the ground truth.
        reporter: tells how it goes; on standard error by default.
        options: of the study.

    Raises:
        NasrecError: an unknown study, bad data, settings, or a folder of other settings.
    """
    if name not in STUDIES:
        raise ConfigError(f"there is no study {name!r}", mend=nearest(name, STUDIES))
    tell, run = reporter or Reporter(), RunFolder(Path(out))
    # What scores depend on stands in their journals: the ground truth serves any of them, and of
    # more subnets those that are trained are the first.
    grows = {"subnets", "repeated", "supernets", "scoring", "others"}
    truth = config.model_dump(mode="json", exclude=grows)
    with run.claimed({**request.describe(), "study": truth}):
        data = cut(data_stage(run, request, config.seed), config)
        found = STUDIES[name](run.path, data, config, tell, **options)
        about = {
            "study": config.model_dump(mode="json"),
            "data": describe_data(data),
            "environment": environment(),
        }
        return found.write(run.path, name, about), found.text
