"""Stage 3: search among architectures scored with the shared weights; the ranking."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.errors import ConfigError
from nasrec.files import write_json
from nasrec.nn import Inputs, SharedWeights, live_madds
from nasrec.pipeline.data import inputs_of
from nasrec.pipeline.folder import RunFolder, read_json
from nasrec.pipeline.progress import Reporter
from nasrec.search import Evolution, Journal, RandomSearch, Scorer, SearchMethod, search, top
from nasrec.search.candidate import Candidate
from nasrec.space import Architecture

FORMAT = "nasrec-ranking/1"


def method_of(config: SearchConfig, inputs: Inputs) -> SearchMethod:
    """The search method that the settings ask for, within their limits.

    Raises:
        ConfigError: no architecture seems to meet the limits.
    """
    allowed, limit = None, config.max_madds
    if limit is not None:

        def allowed(architecture: Architecture) -> bool:
            return live_madds(architecture, inputs, config.model) <= limit

        _require_some(config, inputs, limit)
    if config.method == "random":
        return RandomSearch(config.space, seed=config.seed, allowed=allowed)
    return Evolution(config.space, config.evolution, seed=config.seed, allowed=allowed)


def _require_some(config: SearchConfig, inputs: Inputs, limit: int) -> None:
    rng, least = np.random.default_rng(config.seed), math.inf
    for _ in range(1000):
        least = min(least, live_madds(config.space.sample(rng), inputs, config.model))
        if least <= limit:
            return
    raise ConfigError(
        f"max_madds {limit:,} is too low: of 1000 architectures of the space the cheapest needs "
        f"{least:,} multiply-adds a row",
        mend="raise --max-madds, or search a space of narrower choices",
    )


def search_stage(
    run: RunFolder,
    data: PreparedData,
    config: SearchConfig,
    shared: Callable[[], SharedWeights],
    tell: Reporter,
) -> list[Architecture]:
    """The best `top_k` architectures by the supernet's score, best first.

    Args:
        run: where the journal and the ranking are.
        data: scored on its validation rows.
        config: method, number of evaluations, scoring.
        shared: gives the trained shared weights; not called if the ranking is there.
        tell: shows progress.
    """
    ranking = run.search / "ranking.json"
    if not ranking.is_file():
        header = {
            "fingerprint": data.fingerprint,
            "seed": config.seed,
            "space": config.space.to_dict(),
            "scoring": config.scoring.model_dump(),
            "method": config.method,
            "max_madds": config.max_madds,
        }
        weights = shared()  # a stage of its own, with its own time
        began = time.perf_counter()
        scorer = Scorer(weights, data.train, data.valid, config.scoring, config.seed)
        with (
            Journal(run.search / "journal.jsonl", header) as journal,
            tell.bar("Scoring candidates", "candidates") as progress,
            tell.log("search", run.search, lines=False) as log,
        ):
            replayed = len(journal.candidates)
            best = min((c.score.logloss for c in journal.candidates), default=math.inf)

            def on_progress(candidate: Candidate, planned: int | None) -> None:
                nonlocal best
                if candidate.index >= replayed:
                    progress(candidate.index + 1, planned or candidate.index + 1)
                    score = candidate.score
                    best = min(best, score.logloss)
                    log(
                        {
                            "step": candidate.index + 1,
                            "valid_logloss": score.logloss,
                            "valid_auc": score.auc,
                            "best_valid_logloss": best,
                        }
                    )

            found = search(
                method_of(config, inputs_of(data)),
                scorer,
                journal,
                evaluations=config.planned_evaluations,
                on_progress=on_progress,
            )
        write_json(
            ranking, {"format": FORMAT, "candidates": [_entry(c) for c in top(found, 10**9)]}
        )
        run.stage_done("search", time.perf_counter() - began)
    entries = read_json(ranking)["candidates"][: config.top_k]
    return [Architecture.from_dict(entry["architecture"]) for entry in entries]


def _entry(candidate: Candidate) -> dict[str, Any]:
    return {
        "digest": candidate.digest,
        "logloss": candidate.score.logloss,
        "auc": candidate.score.auc,
        "evaluation": candidate.index,
        "architecture": candidate.architecture.to_dict(),
    }
