"""The whole path, from a click log to a model, each stage on the files of the one before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from nasrec.config import SearchConfig
from nasrec.data import PreparedData, Schema
from nasrec.errors import RunError
from nasrec.files import write_text
from nasrec.nn import SharedWeights
from nasrec.pipeline.blend import blend_stage
from nasrec.pipeline.budget import fit_to_budget
from nasrec.pipeline.candidates import search_stage
from nasrec.pipeline.costs import Costs, counted_limits
from nasrec.pipeline.data import DataRequest, data_stage, inputs_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.front import front_stage, take, take_home
from nasrec.pipeline.leaderboard import leaderboard_stage
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.report import report_stage
from nasrec.pipeline.retrain import NASREC, retrain_stage
from nasrec.pipeline.summary import summary_text
from nasrec.pipeline.supernet import supernet_stage
from nasrec.serve import Model, load_model
from nasrec.space import Architecture
from nasrec.train import CRITERIA
from nasrec.train.device import device_of


class Run:
    """A finished run folder.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._folder = RunFolder(self.path)
        self._folder.require_run()
        if not self._folder.summary.is_file():
            raise RunError(
                "the run is not finished",
                where=str(self.path),
                mend="give the command that started it again; it goes on where it stopped",
            )

    @cached_property
    def config(self) -> SearchConfig:
        """Every setting, as it was resolved."""
        return SearchConfig(**read_json(self._folder.config)["settings"])

    @cached_property
    def leaderboard(self) -> list[dict[str, Any]]:
        """One row for each family of models, best validation log loss first."""
        return list(read_json(self._folder.leaderboard)["rows"])

    @cached_property
    def front(self) -> dict[str, Any]:
        """The front of quality and costs, as in front.json."""
        return read_json(self._folder.front)

    def take(self, point: str, out: str | Path) -> Model:
        """Any architecture that was scored, as a model folder; see `nasrec.pipeline.front.take`."""
        return take(self.path, point, out)

    @property
    def table(self) -> str:
        """The leaderboard as text."""
        return self._folder.leaderboard_text.read_text(encoding="utf-8").rstrip("\n")

    @property
    def summary(self) -> str:
        """What was found, in plain words."""
        return self._folder.summary.read_text(encoding="utf-8")

    @property
    def report(self) -> Path:
        """The HTML file that shows all of it; `nasrec.pipeline.write_report` makes it anew."""
        return self._folder.report

    @cached_property
    def model(self) -> Model:
        """The NASRecNet that was chosen, ready to score rows."""
        return load_model(self._folder.model)

    @property
    def architecture(self) -> Architecture:
        """The architecture that was chosen."""
        architecture = self.model.architecture
        assert architecture is not None  # a run's model is a NASRecNet
        return architecture

    @property
    def test_logloss(self) -> float | None:
        """Log loss of the chosen NASRecNet on the test rows."""
        return self._winner["test_logloss"]  # type: ignore[no-any-return]

    @property
    def test_auc(self) -> float | None:
        """AUC of the chosen NASRecNet on the test rows; None where it is not defined."""
        return self._winner["test_auc"]  # type: ignore[no-any-return]

    @property
    def _winner(self) -> dict[str, Any]:
        return next(row for row in self.leaderboard if row["family"] == NASREC)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types."""
        return {
            "run": str(self.path),
            "test_logloss": self.test_logloss,
            "test_auc": self.test_auc,
            "architecture": self.architecture.to_dict(),
            "model": str(self._folder.model),
            "report": str(self.report),
            "leaderboard": self.leaderboard,
            "seconds": self._folder.stage_seconds(),
        }


def open_run(path: str | Path) -> Run:
    """Open the folder of a finished search.

    Raises:
        RunError: not a run folder, or the search in it is not finished.
    """
    return Run(path)


def search(
    data: str | Path | pl.DataFrame | PreparedData,
    label: str | None = None,
    out: str | Path = "run",
    *,
    valid: str | Path | pl.DataFrame | None = None,
    test: str | Path | pl.DataFrame | None = None,
    ignore: Sequence[str] = (),
    schema: Schema | str | Path | None = None,
    format: str | None = None,
    budget: float | None = None,
    config: SearchConfig | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Run:
    """Find, train and keep the best model for a click log.

    A search that was stopped goes on when called again with the same arguments, and ends with the
    same result.

    Args:
        data: a CSV, TSV or Parquet file, a data frame, or what `prepare` has made (or its folder).
        label: the 0/1 column.
        out: the run folder; made, or gone on with if it is of the same search.
        valid: validation rows, where they come separately.
        test: test rows, likewise.
        ignore: columns not to use.
        schema: what the columns are; inferred by default.
        format: how to read the files; by their extension by default.
        budget: minutes; the sizes of the search are then chosen to fit this machine.
        config: all settings at once.
        reporter: tells how it goes; on standard error by default.
        settings: fields of `SearchConfig`, for example `seed=0, space="small", top_k=3`.

    Raises:
        NasrecError: bad data, settings or folder, each with its place and how to mend it.

    Example:
        >>> run = nasrec.search(
        ...     "log.csv", label="click", out="run", seed=0, space="small", evaluations=2, top_k=1
        ... )
        >>> run.leaderboard[0]["test_rows"]
        40
        >>> run.model.predict_proba("new-rows.csv").shape
        (50,)
    """
    tell = reporter or Reporter()
    asked = (config or SearchConfig()).replaced(**settings)
    source = data.path if isinstance(data, PreparedData) else data
    request = DataRequest(source, label, valid, test, ignore, schema, format)
    run = RunFolder(Path(out))
    described = request.describe()
    told = {**described, "settings": asked.model_dump(mode="json"), "budget": budget}
    with run.claimed(told):
        prepared = data_stage(run, request, asked.seed)
        for warning in prepared.warnings:
            tell.say(f"Warning: {warning}")
        if not run.config.is_file():
            _require_possible(asked, prepared)
            asked = asked.suited(inputs_of(prepared))
        resolved = _resolved(run, prepared, asked, budget, tell)
        _stages(run, prepared, resolved, counted_limits(asked), tell)
    return Run(out)


def _require_possible(config: SearchConfig, data: PreparedData) -> None:
    """ConfigError if data, device or limits do not allow what is asked for."""
    CRITERIA[config.criterion].require(data.valid)
    device_of(config.device)
    Costs(config, inputs_of(data), data.valid).start()


def _resolved(
    run: RunFolder,
    data: PreparedData,
    asked: SearchConfig,
    budget: float | None,
    tell: Reporter,
) -> SearchConfig:
    """The settings with all sizes chosen: once, so that a run that goes on keeps them."""
    if not run.config.is_file():
        began = time.perf_counter()
        resolved, measured = asked.for_log(len(data.train)), None
        if budget is not None:
            resolved, measured = fit_to_budget(asked, data, budget, tell)
            run.stage_done("measure the machine", time.perf_counter() - began)
        run.settle(resolved.model_dump(mode="json"), data.fingerprint, budget, measured)
    return SearchConfig(**read_json(run.config)["settings"])


def _stages(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    limits: Mapping[str, int],
    tell: Reporter,
) -> None:
    """From the supernet to the model folder; what is complete is not done again.

    The limits are those asked for: a budget has others, on what one candidate may take to train.
    """

    def shared() -> SharedWeights:
        return supernet_stage(run, data, config, tell)

    best = search_stage(run, data, config, shared, tell)
    families = retrain_stage(run, data, config, best, tell)
    families = blend_stage(run, data, config, families, limits)
    rows = leaderboard_stage(run, data, families, CRITERIA[config.criterion])
    front_stage(run, config, families)
    winner = families[NASREC][0]
    if not run.model.is_dir():
        take_home(run.model, data, config, winner)
    if not run.summary.is_file():
        architecture = winner.trial.spec.architecture
        assert architecture is not None
        write_text(run.summary, summary_text(run, data, config, rows, architecture))
    report_stage(run, tell)
