"""The front of quality and costs: what it holds, what was trained of it, how it is taken home."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.errors import DivergenceError, RunError
from nasrec.files import write_json
from nasrec.pipeline.candidates import read_ranking
from nasrec.pipeline.data import inputs_of, run_data
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.leaderboard import TITLES, text_table
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.retrain import NASREC, RANDOM, retrain_stage
from nasrec.pipeline.trials import Trial, TrialResult, run_trial
from nasrec.search import COSTS, Goals, Score
from nasrec.search.pareto import fronts
from nasrec.serve import Calibration, Model, ModelSpec, load_model, report, save_model
from nasrec.space import Architecture
from nasrec.train import CRITERIA

FORMAT = "nasrec-front/2"
Families = Mapping[str, Sequence[TrialResult]]


def front_stage(run: RunFolder, config: SearchConfig, families: Families) -> dict[str, Any]:
    """The content of front.json, made from the ranking and the trainings if it is not there."""
    if not run.front.is_file():
        write_json(run.front, front_of(read_ranking(run), config, families))
    return read_json(run.front)


def front_of(
    ranking: Mapping[str, Any], config: SearchConfig, families: Families
) -> dict[str, Any]:
    """What front.json holds.

    `points` are the candidates of the front and all that were trained from scratch, cheapest
    first: its score in the search, the costs, and if trained what the best of its trainings has on
    validation. `trained_front` marks those that no other trained one dominates. `models` are the
    hand-made models, each by the training, or the blend of some, that validation chose.
    """
    trained: dict[str, TrialResult] = {}
    for result in sorted(families[NASREC], key=lambda result: result.order):
        architecture = result.trial.spec.architecture
        if architecture is not None and result.failed is None and not result.parts:
            trained.setdefault(architecture.digest, result)
    names = ranking["objectives"][1:]
    points = [
        _point(entry, trained.get(entry["digest"]))
        for entry in ranking["candidates"]
        if entry["front"] or entry["digest"] in trained
    ]
    points.sort(key=lambda point: (point["costs"][names[0]], point["digest"]))
    goals = Goals(config.criterion, tuple(names))
    known = [point for point in points if point["valid"] is not None]
    losses = [goals.losses(_score(point["valid"]), point["costs"]) for point in known]
    best = set(fronts(losses)[0]) if known else set()
    for number, point in enumerate(known):
        point["trained_front"] = number in best
    models = [
        {"name": TITLES.get(family, family), "family": family, **_trained(results[0])}
        for family, results in families.items()
        if family not in (NASREC, RANDOM) and results[0].failed is None
    ]
    return {
        "format": FORMAT,
        "criterion": config.criterion,
        "objectives": ranking["objectives"],
        "points": points,
        "models": models,
    }


def _point(entry: Mapping[str, Any], result: TrialResult | None) -> dict[str, Any]:
    point: dict[str, Any] = {
        "digest": entry["digest"],
        "evaluation": entry["evaluation"],
        "front": entry["front"],
        "score": {c.field: entry[c.field] for c in CRITERIA.values()},
        "costs": dict(entry["costs"]),
        "trial": None,
        "valid": None,
        "trained_front": False,
    }
    if result is not None:
        # what was trained may cost less than the dearest recipe's network, which was priced
        trained = _trained(result)
        point |= {**trained, "costs": {**point["costs"], **trained["costs"]}}
    return point


def _trained(result: TrialResult) -> dict[str, Any]:
    return {
        "trial": result.trial.name,
        "valid": {c.field: getattr(result.valid, c.field) for c in CRITERIA.values()},
        "costs": result.costs,
    }


def _score(measured: Mapping[str, float | None]) -> Score:
    return Score(**{name: math.nan if v is None else v for name, v in measured.items()})  # type: ignore[arg-type]


def front_table(content: Mapping[str, Any]) -> str:
    """front.json as text, cheapest first."""
    criterion = CRITERIA[content["criterion"]]
    costs = [name for name in COSTS if any(name in point["costs"] for point in content["points"])]
    head = ("point", *costs, f"score ({criterion.title})", f"trained {criterion.title}", "as")
    body = [
        (
            point["digest"][:12] + (" *" if point["trained_front"] else ""),
            *(_cost(name, point["costs"].get(name)) for name in costs),
            _number(point["score"][criterion.field]),
            _number(None if point["valid"] is None else point["valid"][criterion.field]),
            point["trial"] or "",
        )
        for point in content["points"]
    ]
    body += [
        (
            model["name"],
            *(_cost(name, model["costs"].get(name)) for name in costs),
            "",
            _number(model["valid"][criterion.field]),
            model["trial"],
        )
        for model in content["models"]
    ]
    return text_table(head, body)


def _cost(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f} ms" if name == "latency" else f"{value:,}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def read_front(path: str | Path) -> dict[str, Any]:
    """The front of a run; of one whose trainings are not finished, what the search has found.

    Raises:
        RunError: not a run folder, or its search is not finished.
    """
    run = RunFolder(Path(path))
    run.require_run()
    if run.front.is_file():
        return read_json(run.front)
    if not (run.search / "ranking.json").is_file():
        raise _unfinished(run)
    config = SearchConfig(**read_json(run.config)["settings"])
    return front_of(read_ranking(run), config, {NASREC: []})


def _unfinished(run: RunFolder) -> RunError:
    return RunError(
        "the search in this run is not finished",
        where=str(run.path),
        mend="give the command that started it again; it goes on where it stopped",
    )


def take(
    path: str | Path, point: str, out: str | Path, *, reporter: Reporter | None = None
) -> Model:
    """Any architecture that a search has scored, as a model folder.

    One that was trained from scratch is copied as its best training left it; another is trained
    now, by the recipe that was best, in the run's folder: going on after a kill, and there for the
    next time.

    Args:
        path: the run folder; its search must be finished.
        point: the beginning of a digest, or the name of a training.
        out: the model folder; must not exist.
        reporter: tells how it goes; on standard error by default.

    Raises:
        RunError: no such run or point, or `out` exists.
    """
    run, out = RunFolder(Path(path)), Path(out)
    request = run.require_run()
    if out.exists():  # before any long work
        raise RunError("the folder exists already", where=str(out), mend="give another --out")
    if not run.front.is_file():
        raise _unfinished(run)
    tell = reporter or Reporter(quiet=True)
    with run.claimed({name: value for name, value in request.items() if name != "format"}):
        data = run_data(run)
        config = SearchConfig(**read_json(run.config)["settings"])
        ranking = read_ranking(run)
        entries = {entry["digest"]: entry for entry in ranking["candidates"]}
        best = [Architecture.from_dict(entries[d]["architecture"]) for d in ranking["chosen"]]
        families = retrain_stage(run, data, config, best, tell)
        recipe = _recipe_of(families[NASREC][0], config)

        def trained(digest: str) -> TrialResult:
            architecture = Architecture.from_dict(entries[digest]["architecture"])
            options = recipe.model(config.model)
            spec = ModelSpec("nasrec", inputs_of(data), options, architecture)
            name = f"{NASREC}-{digest[:12]}-{recipe.name}"
            trial = Trial(name, NASREC, spec, recipe.training(config.training), config.seed)
            return run_trial(trial, data, run.retrain / name, tell)

        results = list(families[NASREC])
        for digest in entries:  # those that were taken before
            if (run.retrain / f"{NASREC}-{digest[:12]}-{recipe.name}" / "result.json").is_file():
                results.append(trained(digest))
        results.sort(key=lambda result: result.order)
        digest = _digest_of(point, entries, results, run)
        found = [r for r in results if _digest(r) == digest and r.failed is None]
        if not found:
            found = [trained(digest)]
            if found[0].failed is not None:
                raise DivergenceError(f"the training failed: {found[0].failed}")
            results.append(found[0])
        write_json(run.front, front_of(ranking, config, {**families, NASREC: results}))
        by_name = [result for result in found if result.trial.name == point]
        take_home(out, data, config, (by_name or found)[0])
    return load_model(out)


def _digest(result: TrialResult) -> str | None:
    architecture = result.trial.spec.architecture
    return None if architecture is None else architecture.digest


def _digest_of(
    point: str, entries: Mapping[str, Any], results: Sequence[TrialResult], run: RunFolder
) -> str:
    for result in results:
        if result.trial.name == point and (digest := _digest(result)) is not None:
            return digest
    found = [digest for digest in entries if point and digest.startswith(point)]
    if len(found) == 1:
        return found[0]
    raise RunError(
        f"{len(found)} architectures begin with {point!r}" if found else f"no point {point!r}",
        where=str(run.path),
        mend=f"choose one of those that nasrec front {run.path} prints",
    )


def _recipe_of(result: TrialResult, config: SearchConfig) -> Any:
    for recipe in config.recipes:
        made = recipe.model(config.model), recipe.training(config.training)
        if made == (result.trial.spec.options, result.trial.config):
            return recipe
    raise AssertionError(f"no recipe has made {result.trial.name}")


def take_home(out: Path, data: PreparedData, config: SearchConfig, result: TrialResult) -> None:
    """A training of this run, or a blend of some, as a model folder."""
    save_model(
        out,
        result.trial.spec,
        result.network().state_dict(),
        data,
        calibration=Calibration.of(result.calibration),
        metrics={
            part.name: report(logits, part.labels, groups=part.groups)
            for part, logits in (
                (data.valid, result.logits(data.valid)),
                (data.test, result.test_logits(data)),
            )
        },
        config={
            "training": result.trial.config.model_dump(mode="json"),
            "parts": {
                part.trial.name: part.trial.config.model_dump(mode="json") for part in result.parts
            },
            "search": config.model_dump(mode="json"),
        },
        history=(result.parts or (result,))[0].folder,
    )
