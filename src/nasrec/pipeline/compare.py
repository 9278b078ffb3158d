"""Models compared under equal treatment: the same data, as many trials, several seeds."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nasrec.config import SearchConfig, model_options
from nasrec.data import PreparedData, Schema
from nasrec.errors import ConfigError, RunError
from nasrec.files import write_json, write_text
from nasrec.nn import BASELINES
from nasrec.nn.inputs import SIZES
from nasrec.pipeline.boosting import LIGHTGBM, require_lightgbm, settings_of
from nasrec.pipeline.budget import epoch_seconds, measure, measure_supernet
from nasrec.pipeline.compared import compared, comparison_text
from nasrec.pipeline.contest import (
    Outcome,
    Setup,
    blended,
    known_models,
    repeat,
    searched,
    spec_of,
    title_of,
    tune,
)
from nasrec.pipeline.data import DataRequest, Source, data_stage, inputs_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.protocol import Protocol, protocol_of
from nasrec.pipeline.retrain import NASREC
from nasrec.pipeline.workers import in_processes, jobs_for, threads
from nasrec.serve.versions import environment
from nasrec.train.device import device_of

FORMAT = "nasrec-comparison/1"


class Comparison:
    """A finished comparison.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / "comparison.json"
        if not file.is_file():
            raise RunError(
                "there is no finished comparison",
                where=str(self.path),
                mend="give the command that started it again; it goes on where it stopped",
            )
        self._content = read_json(file)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each model, least mean test log loss first, among them the base rate.

        Last, where there are several, the mean logit of all: not to be deployed, but what could
        still be gained.
        """
        return list(self._content["rows"])

    @property
    def table(self) -> str:
        """The leaderboard as text."""
        return (self.path / "comparison.txt").read_text(encoding="utf-8").rstrip("\n")

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return {"comparison": str(self.path), **self._content}


def compare(
    data: Source,
    label: str | None = None,
    out: str | Path = "comparison",
    *,
    models: Sequence[str] | None = None,
    protocol: str = "leaderboard",
    seeds: int = 3,
    trials: int | None = None,
    jobs: int | None = None,
    embedding_dim: int | None = None,
    valid: Source | None = None,
    test: Source | None = None,
    ignore: Sequence[str] = (),
    schema: Schema | str | Path | None = None,
    format: str | None = None,
    config: SearchConfig | None = None,
    reporter: Reporter | None = None,
) -> Comparison:
    """Train models as well as each other, several times, and tell how far apart they are.

    A comparison that was stopped goes on when called again with the same arguments; with more
    seeds or other models it keeps what it has.

    Args:
        data: a CSV, TSV or Parquet file, a data frame, or a folder that `prepare` has made.
        label: the 0/1 column.
        out: the comparison's folder; made, or gone on with.
        models: names of hand-made models, `nasrec` for a searched network, `published:...`,
            `lightgbm`; None is all hand-made ones and `nasrec`.
        protocol: `leaderboard` or `paper`.
        seeds: trainings of each model's chosen trial, or of each that its blend is made of; the
            trials are those of the first.
        trials: trainings that each model may choose from on validation; the protocol's if None.
        jobs: trainings side by side, one thread each; as many as cores and memory allow if
            None.
        embedding_dim: the same width for all (16).
        valid, test, ignore, schema, format: as in `nasrec.search`.
        config: the seed, the device, the sizes of the search for `nasrec`, and in `config.model`
            those of the hand-made models (`hidden`, `cross_layers`, `cin`, `attention_layers`,
            `attention_heads`), and in `config.retrain` whether a protocol that calibrates does
            (`calibrate: false`), and how many trainings one that blends does (`blend`); its other
            settings are the protocol's.
        reporter: tells how it goes; on standard error by default.

    Raises:
        NasrecError: bad data, an unknown model or protocol, LightGBM not installed, a folder of
            another comparison.

    Example:
        >>> found = nasrec.compare(
        ...     "log.csv", label="click", out="comparison", models=["logreg", "fm"], seeds=2, jobs=1
        ... )
        >>> sorted(row["family"] for row in found.rows)
        ['all together', 'base rate', 'fm', 'logreg']
    """
    tell, rules = reporter or Reporter(), protocol_of(protocol)
    names = known_models(tuple(models) if models is not None else (*BASELINES, NASREC))
    count = rules.trials if trials is None else trials
    if seeds < 1 or count < 1:
        raise ConfigError(f"{seeds} seeds and {count} trials", mend="give at least one of each")
    if LIGHTGBM in names:
        require_lightgbm()
        settings_of(count)
    shared = _shared(rules, embedding_dim, config or SearchConfig())
    device_of(shared.device)
    request = DataRequest(data, label, valid, test, ignore, schema, format)
    run = RunFolder(Path(out))
    told = {
        **request.describe(),
        "comparison": {"protocol": rules.name, "trials": count},
        "settings": shared.model_dump(mode="json"),
    }
    with run.claimed(told):
        prepared = data_stage(run, request, shared.seed)
        for warning in prepared.warnings:
            tell.say(f"Warning: {warning}")
        shared = shared.for_log(len(prepared.train))
        if not run.config.is_file():
            run.settle(shared.model_dump(mode="json"), prepared.fingerprint)
        inputs = inputs_of(prepared)
        shared = shared.suited(inputs).with_trainings(count)
        setup = Setup(prepared.path, run.path, shared, count)
        jobs = jobs or jobs_for(shared, inputs)
        _tell_time(setup, prepared, names, seeds, jobs, tell)
        found = _trained(setup, prepared, names, seeds, jobs, tell)
        rows = compared(found, prepared, run)
        write_json(
            run.path / "comparison.json",
            {
                "format": FORMAT,
                "protocol": rules.name,
                "trials": count,
                "seeds": seeds,
                "calibrated": shared.retrain.calibrate,
                "bends": shared.model.bends,
                "data": {
                    "fingerprint": prepared.fingerprint,
                    **{s.name: len(s) for s in (prepared.train, prepared.valid, prepared.test)},
                },
                "environment": environment(),
                "rows": rows,
            },
        )
        told_as = comparison_text(rules.name, rows, seeds, calibrated=shared.retrain.calibrate)
        write_text(run.path / "comparison.txt", told_as + "\n")
    return Comparison(out)


def _shared(rules: Protocol, embedding_dim: int | None, config: SearchConfig) -> SearchConfig:
    """The search's sizes with the protocol's way to train."""
    width = embedding_dim or config.model.embedding_dim
    sizes = {name: getattr(config.model, name) for name in SIZES}
    heads = model_options(width).heads
    return config.replaced(
        model=replace(rules.model, embedding_dim=width, heads=heads, **sizes),
        retrain=rules.training.model_copy(
            update={"calibrate": rules.training.calibrate and config.retrain.calibrate}
        ),
        criterion="logloss",
        costs=(),
        recipes=rules.recipes,
        blend=config.blend if rules.blends else 1,
        baselines=(),
        from_scratch_random=0,
    )


def _tell_time(
    setup: Setup,
    data: PreparedData,
    names: Sequence[str],
    seeds: int,
    jobs: int,
    tell: Reporter,
) -> None:
    """Say how long it may take at most, from a few steps of each model by each recipe here."""
    config, inputs, began = setup.config, inputs_of(data), time.perf_counter()
    done = len(list(RunFolder(setup.out).retrain.glob("*/result.json")))
    again = (seeds - 1) * min(config.most_blended, setup.trials)
    total = len(names) * (setup.trials + again)
    tell.say(
        f"{len(names)} models, {setup.trials} trials each, seeds: {seeds}. "
        f"{'At most ' if config.most_blended > 1 else ''}{total} trainings"
        + (f", {done} of them finished" if done else "")
    )
    if done:
        return
    seconds = 0.0
    for name in names:
        if name == LIGHTGBM:
            continue  # a few seconds to minutes, which no first step tells
        if name == NASREC:
            speeds = measure(config, data)
            one = speeds.pass_seconds(min(config.max_madds or math.inf, speeds.sampled.madds))
            if config.scored_by == "training":
                scored = config.planned_evaluations + config.second_looks + config.probings
                share = min(1.0, (config.search_rows or math.inf) / len(data.train))
                seconds += scored * share * one * config.retrain.epochs
            else:
                speed = measure_supernet(config, data)
                rows = config.search_rows or len(data.train) * config.supernet.epochs
                seconds += rows / speed.rows
                seconds += config.planned_evaluations * speed.candidate_seconds
            passes = [config.model.members * one] * len(config.recipes)
        else:
            spec = spec_of(name, config, inputs)
            passes = [
                epoch_seconds(
                    replace(spec, options=recipe.model(spec.options)).build(),
                    recipe.training(config.training),
                    data,
                    steps=3,
                )
                for recipe in config.recipes
            ]
        more = setup.trials - len(passes) + again  # by whichever recipes are chosen
        seconds += config.retrain.epochs * (sum(passes) + more * max(passes))
    least = seconds / config.retrain.epochs * min(4, config.retrain.epochs)
    tell.say(
        f"Expected: {_duration(least / jobs)} to {_duration(seconds / jobs)} with {jobs} side by "
        f"side, by how early validation stops the trainings (measured in "
        f"{time.perf_counter() - began:.0f} s)"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _trained(
    setup: Setup,
    data: PreparedData,
    names: Sequence[str],
    seeds: int,
    jobs: int,
    tell: Reporter,
) -> dict[str, list[list[Outcome]]]:
    """For each family its trials, best first, and the chosen one with every seed.

    A blend has each of its parts trained with every seed. The search comes before all, with all
    jobs, and NASRecNet's trials before the others'.
    """
    began = time.perf_counter()
    if NASREC in names:
        with threads(jobs):
            searched(setup, data, tell)
    ordered = sorted(names, key=lambda name: name != NASREC)
    trials: dict[str, list[Outcome]] = {}
    for i, outcomes in in_processes([(tune, (setup, name)) for name in ordered], jobs):
        trials[ordered[i]] = outcomes
        tell.say(
            f"{title_of(ordered[i])} chose {outcomes[0].name}; {len(trials)} of {len(ordered)} "
            f"models after {_duration(time.perf_counter() - began)}"
        )
    chosen = {name: trials[name][0] for name in names}
    others = [
        (name, setup.config.seed + i, part)
        for i in range(1, seeds)
        for name in names
        for part in chosen[name].parts or (chosen[name],)
        if part.failed is None
    ]
    parts: dict[tuple[str, int], dict[int, Outcome]] = defaultdict(dict)
    tasks = [(repeat, (setup, part, seed)) for _, seed, part in others]
    for i, outcome in in_processes(tasks, jobs):
        name, seed, _ = others[i]
        parts[name, seed][i] = outcome
    repeats: dict[str, list[Outcome]] = {name: [chosen[name]] for name in names}
    for (name, _), found in sorted(parts.items()):
        in_order = [found[i] for i in sorted(found)]
        good = [outcome for outcome in in_order if outcome.failed is None]
        repeats[name].append(blended(setup, good or in_order[:1]))
    return {name: [trials[name], repeats[name]] for name in names}
