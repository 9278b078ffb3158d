"""Stage 3: search among architectures scored with the shared weights; the ranking."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from nasrec.config import PROBES, SearchConfig
from nasrec.data import PreparedData
from nasrec.errors import RunError
from nasrec.files import write_json
from nasrec.nn import SharedWeights
from nasrec.pipeline.costs import Costs, counted_limits
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.scorers import (
    SideBySide,
    all_scored,
    from_copies,
    from_scratch,
    second_looks,
)
from nasrec.pipeline.supernet import untrained
from nasrec.pipeline.workers import Workers, jobs_for
from nasrec.search import (
    METHODS,
    EvolutionSettings,
    Goals,
    GuidedSettings,
    Journal,
    NSGA2Settings,
    ProgressiveSettings,
    Scorer,
    SearchMethod,
    search,
)
from nasrec.search.candidate import Candidate
from nasrec.search.pareto import fronts, spread
from nasrec.space import Architecture
from nasrec.train import CRITERIA
from nasrec.train.config import Settings
from nasrec.train.loop import derive_seed
from nasrec.train.recipes import Recipe
from nasrec.train.relax import RelaxConfig

FORMAT = "nasrec-ranking/2"

#: Normalised entropy from which a score tells little; models of docs/results.md have 0.24 to 0.9.
BARELY_BETTER = 0.98
#: Of random numbers, beside those of `nasrec.train.loop`: seeds that no other training has.
SECOND_STREAM = 9
PROBE_STREAM = 10
#: A recipe is left out whose loss is above the best one's by more than this share of it. Two
#: networks of one recipe are mostly within a third of that.
FAR_BEHIND = 0.03
#: Times the rows of a candidate's training that its second one has, where it did not see all.
LOOK_ROWS = 4


def settings_of(
    method: str, evolution: EvolutionSettings, relaxation: RelaxConfig
) -> Settings | None:
    """The settings of a method; None, its own defaults, if it has none of these."""
    if method == "evolution":
        return evolution
    if method == "guided":
        return GuidedSettings(**evolution.model_dump())
    if method == "relaxed":
        return relaxation
    if method == "progressive":
        return ProgressiveSettings(**relaxation.model_dump())
    return NSGA2Settings(population=evolution.population) if method == "nsga2" else None


def method_of(config: SearchConfig, costs: Costs) -> SearchMethod:
    """The search method that the settings ask for, within their limits.

    Raises:
        ConfigError: no architecture seems to meet the limits.
    """
    start, name = costs.start(), config.search_method
    settings = settings_of(name, config.evolution, config.relaxation)
    return METHODS[name](
        config.space,
        settings,
        seed=config.seed,
        allowed=None if start is None else costs.allowed,
        start=start,
    )


def search_stage(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    shared: Callable[[], SharedWeights],
    tell: Reporter,
) -> list[Architecture]:
    """The `top_k` architectures to train from scratch, the best by their scores first.

    With costs as goals they are spread over the front.

    Args:
        run: where the journal and the ranking are.
        data: scored on its validation rows.
        config: method, number of evaluations, scoring.
        shared: gives the trained shared weights; not called if the ranking is there, or if
            neither scores nor the method need them.
        tell: shows progress.
    """
    ranking = run.search / "ranking.json"
    if not ranking.is_file():
        with Workers(jobs_for(config, inputs_of(data))) as workers:
            write_json(ranking, _searched(run, data, config, shared, workers, tell))
    content = read_ranking(run)
    entries = {entry["digest"]: entry for entry in content["candidates"]}
    return [Architecture.from_dict(entries[d]["architecture"]) for d in content["chosen"]]


def _searched(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    shared: Callable[[], SharedWeights],
    workers: Workers,
    tell: Reporter,
) -> dict[str, Any]:
    """The ranking of a whole search."""
    costs = Costs(config, inputs_of(data), data.valid, run.search / "latency.json")
    method = method_of(config, costs)  # before any long work
    by_supernet, weights = config.scored_by == "supernet", cache(shared)
    by_training = config.scored_by == "training"
    if by_supernet or method.learns:
        weights()  # a stage of its own, with its own time
    began = time.perf_counter()
    header = {
        "fingerprint": data.fingerprint,
        "seed": config.seed,
        "space": config.space.to_dict(),
        "method": config.search_method,
        "criterion": config.criterion,
        "costs": list(config.costs),
        "limits": {**counted_limits(config), "p99_ms": config.max_p99_ms},
    }
    asked = config
    if by_training and config.probings:
        config = with_best_recipes(run, data, config, header, costs, workers, tell)
    header |= _scoring(config)
    if method.learns:
        header["learning"] = method.settings.model_dump()
        batch = config.relaxation.batch_size
        with tell.bar("Learning choices", "rows of weights", batch) as learning:
            method.learn(weights(), data.train, learning)
    criterion, field = CRITERIA[config.criterion], CRITERIA[config.criterion].field
    with (
        Journal(run.search / "journal.jsonl", header) as journal,
        tell.bar("Scoring candidates", "candidates") as progress,
        tell.log("search", run.search, lines=False) as log,
    ):
        scorer: Scorer | SideBySide
        if by_training:
            scorer = from_scratch(data.path, config, workers)
        elif workers.jobs > 1 and config.score_recipe.copies:
            file = run.supernet / "weights.safetensors" if by_supernet else None
            scorer = from_copies(data.path, file, config, workers)
        else:
            store = weights() if by_supernet else untrained(data, config)
            scorer = Scorer(store, data.train, data.valid, config.score_recipe, config.seed)
        replayed = len(journal.candidates)
        lowest = math.inf

        def on_progress(candidate: Candidate, planned: int | None) -> None:
            nonlocal lowest
            lowest = min(lowest, criterion.loss(candidate.score))
            if candidate.index >= replayed:
                progress(candidate.index + 1, planned or candidate.index + 1)
                log(
                    {
                        "step": candidate.index + 1,
                        "valid_logloss": candidate.score.logloss,
                        "valid_auc": candidate.score.auc,
                        f"best_valid_{field}": -lowest if criterion.rises else lowest,
                    }
                )

        found = search(
            method,
            scorer,
            journal,
            score_many=scorer.score_many,
            goals=config.goals,
            costs=costs.of,
            evaluations=config.planned_evaluations,
            on_progress=on_progress,
        )
    best = config.goals.top(found, len(found))
    if config.second_looks and by_training and not config.costs:
        best = looked_again(run, data, config, header, best, workers)
    if not by_training and (warning := too_little_known(found, by_supernet)):
        tell.say(f"Warning: {warning}")
    run.stage_done("search", time.perf_counter() - began)
    more = config.top_k + len(asked.recipes) - len(config.recipes)
    most = max(config.top_k, min(more, config.planned_evaluations))
    return ranking_of(config.replaced(top_k=most), found, best)


def looked_again(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    header: dict[str, Any],
    best: list[Candidate],
    workers: Workers,
) -> list[Candidate]:
    """The candidates, best first, after another training of some with another seed.

    Where candidates saw some of the rows only, the other training sees more of them and decides
    alone, and it is not for the very best but for the best of each size: the fewer the rows, the
    smaller the network that is best on them.
    """
    few = config.search_rows is not None and config.search_rows < len(data.train)
    rows = LOOK_ROWS * config.search_rows if few and config.search_rows else None
    seed = derive_seed(config.seed, SECOND_STREAM)
    other = config.replaced(seed=seed, search_rows=rows)
    criterion = CRITERIA[config.criterion]
    looked_at = best[: config.second_looks]
    if few:
        known = [c for c in best if math.isfinite(criterion.loss(c.score))]
        sizes = [(criterion.loss(c.score), -math.log(c.costs["madds"])) for c in known]
        looked_at = [known[i] for i in spread(sizes, config.second_looks)]
    header = header | _scoring(other) | {"seed": seed}
    with Journal(run.search / "second.jsonl", header) as journal:
        scorer = from_scratch(data.path, other, workers)
        first = second_looks(scorer, journal, looked_at, criterion, alone=few)
    digests = {candidate.digest for candidate in first}
    return [*first, *(c for c in best if c.digest not in digests)]


def with_best_recipes(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    header: dict[str, Any],
    costs: Costs,
    workers: Workers,
    tell: Reporter,
) -> SearchConfig:
    """The search with the recipes that are good for a few random networks, the best first.

    Candidates that a recipe trains badly are ordered by how little that harms them, the smallest
    first. What is best by the right one may be many times larger. Those that are clearly behind
    are left out: other architectures are worth more then.
    """
    seed = derive_seed(config.seed, PROBE_STREAM)
    probes = method_of(config.replaced(seed=seed, method="random", costs=()), costs).ask(PROBES)
    lowest: dict[str, float] = {}
    criterion = CRITERIA[config.criterion]
    for recipe in config.recipes:
        by = config.replaced(recipes=(recipe, *(r for r in config.recipes if r != recipe)))
        file = run.search / f"recipe-{recipe.name}.jsonl"
        with Journal(file, header | _scoring(by)) as journal:
            if len(journal.candidates) < len(probes):
                with tell.bar(f"Trying the recipe {recipe.name}", "networks") as progress:
                    all_scored(from_scratch(data.path, by, workers), journal, probes)
                    progress(len(probes), len(probes))
            lowest[recipe.name] = min(criterion.loss(c.score) for c in journal.candidates)
    good = recipes_near_the_best(config.recipes, lowest)
    losses = ", ".join(f"{name} {loss:.5f}" for name, loss in lowest.items())
    tell.say(
        f"Candidates are trained by the recipe {good[0].name} "
        f"({config.criterion} of each: {losses})"
    )
    if few := [recipe.name for recipe in config.recipes if recipe not in good]:
        tell.say(f"Left out, for so far behind: {', '.join(few)}; more architectures instead")
    return config.replaced(recipes=good)


def recipes_near_the_best(
    recipes: Sequence[Recipe], lowest: Mapping[str, float]
) -> tuple[Recipe, ...]:
    """Those whose lowest loss is at most a share of `FAR_BEHIND` above the least, best first."""
    least = min(lowest.values())
    near = least + FAR_BEHIND * abs(least) if math.isfinite(least) else math.inf
    good = [recipe for recipe in recipes if lowest[recipe.name] <= near]
    return tuple(sorted(good, key=lambda recipe: lowest[recipe.name]))


def _scoring(config: SearchConfig) -> dict[str, Any]:
    """What scores depend on beside data, seed and space, for the journal's header."""
    if config.scored_by != "training":
        return {"scoring": config.score_recipe.model_dump()}
    one = replace(config.model, members=1)  # a candidate is one network, whatever comes of it
    parts: dict[str, Any] = {"model": asdict(one), "rows": config.search_rows}
    parts["retrain"] = config.training.model_dump()
    return {"scoring": parts | {"recipe": config.recipes[0].model_dump()}}


def too_little_known(found: Sequence[Candidate], by_supernet: bool) -> str | None:
    """A warning where no candidate predicts notably better than the rows' click rate does."""
    known = [e for c in found if math.isfinite(e := c.score.normalized_entropy)]
    if not known or min(known) < BARELY_BETTER:
        return None
    how, more = "after a few steps", "Score with a supernet (--scoring whole)"
    if by_supernet:
        how = "with the supernet's weights"
        more = "Train the supernet on more rows or longer (--search-rows, --epochs)"
    return (
        f"{how} the best candidate has {min(known):.1%} of the log loss of the click rate alone: "
        f"their order means little. {more}, or train more candidates from scratch (--top-k)"
    )


def ranking_of(
    config: SearchConfig, found: Sequence[Candidate], best: Sequence[Candidate]
) -> dict[str, Any]:
    """The content of ranking.json: all candidates, best first by the criterion.

    Those chosen are the first of `best`, or with costs as goals spread over the front. A search
    without shows the front of quality and multiply-adds.
    """
    goals = config.goals
    seen = Goals(goals.criterion, goals.costs or ("madds",))
    ranked = goals.distinct(found)
    points = [seen.of(candidate) for candidate in ranked]
    front = set(fronts(points)[0])
    chosen = [ranked[i] for i in spread(points, config.top_k)] if goals.costs else best
    return {
        "format": FORMAT,
        "criterion": goals.criterion,
        "objectives": [goals.criterion, *seen.costs],
        "chosen": [candidate.digest for candidate in chosen[: config.top_k]],
        "recipes": [recipe.name for recipe in config.recipes],
        "candidates": [_entry(candidate, i in front) for i, candidate in enumerate(ranked)],
    }


def read_ranking(run: RunFolder) -> dict[str, Any]:
    """What `ranking_of` has made; RunError if it is not there, damaged or of another version."""
    file = run.search / "ranking.json"
    content = read_json(file)
    if content.get("format") != FORMAT:
        raise RunError(
            f"the ranking has the format {content.get('format')!r}, this library reads {FORMAT}",
            where=str(file),
            mend="use the version of nasrec that made it, or search again in a new folder",
        )
    return content


def recipes_to_try(run: RunFolder, config: SearchConfig) -> tuple[Recipe, ...]:
    """By which the best architecture of a finished search is trained, in the settings' order."""
    if config.scored_by != "training":
        return config.recipes  # the search has tried none
    good = read_ranking(run).get("recipes")
    return tuple(r for r in config.recipes if good is None or r.name in good)


def _entry(candidate: Candidate, in_front: bool) -> dict[str, Any]:
    return {
        "digest": candidate.digest,
        **asdict(candidate.score),
        "evaluation": candidate.index,
        "costs": dict(candidate.costs),
        "front": in_front,
        "architecture": candidate.architecture.to_dict(),
    }
