"""All that a run folder tells, finished or not, as JSON types: what a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.data.info import info
from nasrec.errors import NasrecError, RunError
from nasrec.files import finite
from nasrec.pipeline import evidence
from nasrec.pipeline.data import run_data
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.front import read_front
from nasrec.pipeline.leaderboard import BASE_RATE
from nasrec.pipeline.retrain import NASREC, RANDOM
from nasrec.search import COSTS
from nasrec.search.correlation import kendall, spearman
from nasrec.search.journal import read_records
from nasrec.serve import Model, load_model
from nasrec.serve.bench import bench
from nasrec.serve.versions import versions
from nasrec.train import CRITERIA

FORMAT = "nasrec-report/1"
#: Rows a call whose latency is measured: one request, and what a ranker scores for one user.
LATENCY_BATCHES = (1, 128)
LATENCY_SECONDS = 0.2
"""For each of them: a figure to begin with, from hundreds of calls."""

# What is read of the entries of leaderboard.json.
_OF_TRIALS = {"trial", "family", "digest", "weights", "madds", "bytes", "failed"}
_OF_TRIALS |= {f"valid_{criterion.field}" for criterion in CRITERIA.values()}
_OF_ROWS = _OF_TRIALS | {"name", "embedding_weights", "trainings", "family_seconds", "test_rows"}
_OF_ROWS |= {"blend"}
_OF_ROWS |= {f"test_{c.field}" for c in CRITERIA.values()} | {"test_ece", "test_bias"}


class _Sources:
    """The files of a run, each read when first asked for; None where it is not there (yet).

    Raises NasrecError where a file is there and cannot be read.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    @cached_property
    def config(self) -> SearchConfig | None:
        file = self.run.config
        return SearchConfig(**read_json(file)["settings"]) if file.is_file() else None

    @cached_property
    def data(self) -> PreparedData | None:
        there = self.run.data.is_dir() or self.run.data_pointer.is_file()
        return run_data(self.run) if there else None

    @cached_property
    def board(self) -> dict[str, Any] | None:
        file = self.run.leaderboard
        if not file.is_file():
            return None
        content = read_json(file)
        tables = (("rows", _OF_ROWS), ("trials", _OF_TRIALS))
        for name, needed in tables:
            entries = content.get(name)
            if not isinstance(entries, list) or any(needed - set(entry) for entry in entries):
                raise RunError(
                    f"its {name} are not those that this version writes",
                    where=str(file),
                    mend="use the version of nasrec that made the run; or delete the file, and "
                    "the same search makes it again",
                )
        return content

    @cached_property
    def winner(self) -> Mapping[str, Any] | None:
        rows = self.board["rows"] if self.board else ()
        return next((row for row in rows if row["family"] == NASREC), None)

    @cached_property
    def model(self) -> Model | None:
        return load_model(self.run.model) if self.run.model.is_dir() else None

    @cached_property
    def records(self) -> list[dict[str, Any]] | None:
        journal = self.run.search / "journal.jsonl"
        return read_records(journal) if journal.is_file() else None


def findings(run: RunFolder) -> dict[str, Any]:
    """What the run has found so far.

    Parts that it does not have are None. `missing` says which stages there are not, `faults` which
    files cannot be read; a damaged part never hides the others.

    Raises:
        RunError: not a run folder, or of another version.
    """
    run.require_run()
    sources = _Sources(run)
    faults: dict[str, dict[str, Any]] = {}

    def part(make: Callable[[_Sources], Any]) -> Any:
        try:
            return make(sources)
        except NasrecError as error:
            fault = {"what": error.what, "where": error.where, "mend": error.mend}
            faults.setdefault(str(error), fault)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # JSON of the right form whose content is not: written by hand, or by another version.
            what = f"a file is not as this version writes it ({type(error).__name__}: {error})"
            faults.setdefault(what, {"what": what, "where": str(run.path), "mend": None})
        return None

    parts = {name: part(make) for name, make in PARTS.items()}
    missing = [title for title, there in _stages(sources) if not there]
    told = {
        "format": FORMAT,
        "run": str(run.path),
        "version": versions()["nasrec"],
        "finished": run.summary.is_file() and not missing,
        "was_finished": run.summary.is_file(),
        "missing": missing,
        "faults": list(faults.values()),
        "seconds": run.stage_seconds(),
        **parts,
    }
    return finite(told)  # type: ignore[no-any-return]


def _stages(sources: _Sources) -> list[tuple[str, bool]]:
    """Every stage by its name for people, and whether what it leaves is there."""
    run = sources.run
    try:
        shared = sources.config is None or sources.config.scored_by == "supernet"
    except NasrecError:  # a fault that is told already
        shared = True
    supernet = ("the trained supernet", (run.supernet / "weights.safetensors").is_file())
    return [
        ("the prepared data", run.data.is_dir() or run.data_pointer.is_file()),
        *([supernet] if shared else []),
        ("the ranking of the search", (run.search / "ranking.json").is_file()),
        ("the leaderboard", run.leaderboard.is_file()),
        ("the model folder", run.model.is_dir()),
    ]


def _answer(sources: _Sources) -> dict[str, Any] | None:
    """The model that was chosen: how good, against what, at what cost."""
    winner, board, config = sources.winner, sources.board, sources.config
    if winner is None or board is None or config is None:
        return None
    others = [
        row
        for row in board["rows"]
        if row["family"] not in (NASREC, BASE_RATE, RANDOM) and row["test_logloss"] is not None
    ]
    # The one that is best on the test rows: the strictest to be measured by.
    criterion = CRITERIA[config.criterion]
    key = f"test_{criterion.field}"
    rival = min(others, key=lambda row: criterion.loss_of(row[key]), default=None)
    base = next((row for row in board["rows"] if row["family"] == BASE_RATE), None)
    return {
        **winner,
        "rival": rival,
        "base_rate": base,
        "space": config.space.name,
        "top_k": config.top_k,
        "evaluations": config.planned_evaluations,
        "model": str(sources.run.model),
    }


def _test(sources: _Sources) -> Any:
    """The chosen model's metrics on the test rows, with their intervals."""
    return None if sources.model is None else sources.model.metrics.get("test")


def _architecture(sources: _Sources) -> dict[str, Any] | None:
    model = sources.model
    if model is not None and model.architecture is not None:
        return model.architecture.to_dict()
    ranking = sources.run.search / "ranking.json"
    if ranking.is_file():  # nothing retrained yet: the best of the search
        best: dict[str, Any] = read_json(ranking)["candidates"][0]["architecture"]
        return best
    return None


def _leaderboard(sources: _Sources) -> list[dict[str, Any]] | None:
    return None if sources.board is None else list(sources.board["rows"])


def _trials(sources: _Sources) -> list[dict[str, Any]] | None:
    """Every training from scratch; those of an unfinished run too."""
    if sources.board is not None:
        return list(sources.board["trials"])
    results = sorted(sources.run.retrain.glob("*/result.json"))
    found = [read_json(file) for file in results]
    return [
        {name: result.get(name) for name in _OF_TRIALS}
        | {"trial": result["name"], "bytes": 4 * (result["weights"] + result["embedding_weights"])}
        | {f"valid_{name}": value for name, value in result["valid"].items()}
        for result in found
    ] or None


def _criterion(sources: _Sources) -> dict[str, Any] | None:
    """What quality is in this run, and the costs that are shown beside it."""
    if sources.config is None:
        return None
    criterion = CRITERIA[sources.config.criterion]
    costs = dict.fromkeys(("madds", *sources.config.costs))
    return {
        **asdict(criterion),
        "costs": {name: COSTS[name] for name in costs},
        "scored_by": sources.config.scored_by,
    }


def _search(sources: _Sources) -> list[dict[str, Any]] | None:
    """Every evaluation in order: scores, costs, and the training from scratch that followed."""
    trials = {t["digest"]: t["trial"] for t in (sources.board or {"trials": ()})["trials"]}
    return [
        {
            "evaluation": record["index"] + 1,
            "digest": record["digest"],
            "score": record["score"],
            "costs": record["costs"],
            "trial": trials.get(record["digest"]),
        }
        for record in sources.records or ()
    ] or None


def _ranks(sources: _Sources) -> dict[str, Any] | None:
    """Scores of the search beside validation results after training from scratch, and how alike."""
    if sources.board is None or sources.records is None or sources.config is None:
        return None
    criterion = CRITERIA[sources.config.criterion]
    scores = {r["digest"]: r["score"][criterion.field] for r in sources.records}
    field = f"valid_{criterion.field}"
    # The first architecture is trained by every recipe and the others by the one that was best for
    # it: the best training of each is by the same recipe for all.
    trained: dict[str, dict[str, Any]] = {}
    for trial in sorted(sources.board["trials"], key=lambda t: criterion.loss_of(t[field])):
        known = scores.get(trial["digest"]) is not None and trial[field] is not None
        if trial["family"] == NASREC and known:
            trained.setdefault(trial["digest"], trial)
    pairs = [
        {
            "trial": trial["trial"],
            "digest": digest,
            "score": scores[digest],
            "retrained": trial[field],
        }
        for digest, trial in trained.items()
    ]
    told: dict[str, Any] = {"pairs": pairs, "kendall": None, "spearman": None}
    if len(pairs) > 1:
        a, b = (np.array([pair[name] for pair in pairs]) for name in ("score", "retrained"))
        once = np.ones((1, len(pairs)))
        told |= {
            "kendall": float(kendall(a, b, once)[0]),
            "spearman": float(spearman(a, b, once)[0]),
        }
    return told


def _front(sources: _Sources) -> dict[str, Any] | None:
    """The front of quality and costs, of a run whose trainings are done."""
    return read_front(sources.run.path) if sources.run.front.is_file() else None


def _data(sources: _Sources) -> dict[str, Any] | None:
    return None if sources.data is None else info(sources.data)


def _settings(sources: _Sources) -> dict[str, Any] | None:
    if sources.config is None:
        return None
    content = read_json(sources.run.config)
    default = SearchConfig().model_dump(mode="json")
    changed = {k: v for k, v in content["settings"].items() if default.get(k) != v}
    return {**content, "changed": sorted(changed)}


def _environment(sources: _Sources) -> dict[str, Any] | None:
    file = sources.run.environment
    return read_json(file) if file.is_file() else None


def _latency(sources: _Sources) -> list[dict[str, Any]] | None:
    if sources.model is None:
        return None
    timed = bench(
        sources.model, batches=LATENCY_BATCHES, runtimes=("torch",), seconds=LATENCY_SECONDS
    )
    return [timing.to_dict() for timing in timed]


def _differences(sources: _Sources) -> dict[str, Any] | None:
    if sources.board is None or sources.data is None:
        return None
    return evidence.differences(sources.run, sources.data, sources.board["rows"])


def _calibration(sources: _Sources) -> list[dict[str, Any]] | None:
    if sources.winner is None or sources.data is None:
        return None
    return evidence.calibration(sources.run, sources.data, str(sources.winner["trial"]))


def _columns(sources: _Sources) -> dict[str, Any] | None:
    if sources.data is None:
        return None
    try:
        trained = sources.model.trained.rates if sources.model else None
    except NasrecError:  # a damaged model is told by the parts that need it
        trained = None
    return evidence.columns(sources.data, trained)


def _importance(sources: _Sources) -> dict[str, Any] | None:
    if sources.data is None or sources.model is None:
        return None
    return evidence.importance(sources.data, sources.model)


PARTS: dict[str, Callable[[_Sources], Any]] = {
    "answer": _answer,
    "test": _test,
    "latency": _latency,
    "architecture": _architecture,
    "leaderboard": _leaderboard,
    "differences": _differences,
    "trials": _trials,
    "criterion": _criterion,
    "search": _search,
    "front": _front,
    "ranks": _ranks,
    "calibration": _calibration,
    "columns": _columns,
    "importance": _importance,
    "data": _data,
    "settings": _settings,
    "environment": _environment,
}
