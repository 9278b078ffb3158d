"""Scoring candidates with the supernet: children together, a whole search, fast against exhaustive.

    python -m benchmarks siblings --json
    python -m benchmarks search --json

`search-agreement` compares fast scores with those of as many steps and rows as in the paper;
`search-paper-again` the paper's scores with themselves, fine-tuned on other rows.
`search` reads criteo_adkdd21 from the folder that NASREC_DATA names. With `--out` what it has
done is kept, and a search that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import (
    DATA,
    Limits,
    Result,
    Stolen,
    at_least,
    at_most,
    clock,
    result,
    show,
)
from benchmarks.supernet import SMALL_TABLES, criteo_inputs, random_rows
from nasrec.nn import SharedWeights
from nasrec.search import EvolutionSettings, ScoreConfig, Scorer
from nasrec.space import NASREC_FULL, Architecture

CHILDREN, CANDIDATES, BEST = 8, 200, 5
PLANNED = 128 + 240 * CHILDREN
#: How the search that is timed scores: on all validation rows, the last FC fine-tuned on few rows
#: again and again. At the paper's constant rate the last steps' rows decide the order of candidates
#: (`search-paper-again`), so the rate falls, the more the wider the FC is, and logits are
#: calibrated.
FAST = ScoreConfig(
    head="calm", schedule="cosine", calibrate=True, batch_size=1024,
    finetune_steps=300, finetune_rows=1024,
)  # fmt: skip
#: The same with as many steps and rows as in the paper.
EXHAUSTIVE = FAST.model_copy(
    update={"finetune_steps": 500, "finetune_rows": None, "cache_mb": 2048}
)
#: The paper's scoring, and how many candidates it scores twice, on other rows.
PAPER, AGAIN = ScoreConfig(batch_size=1024, cache_mb=2048), 20


def siblings(repeats: int) -> list[Result]:
    """Time of scoring the 8 children of a parent together, over that of scoring each alone.

    The value is the mean over parents (`--repeats`, 50 by default), drawn at random from Full;
    rows are about in the proportions of the timed search, a fifth as many.
    """
    limits = Limits()
    inputs = criteo_inputs(SMALL_TABLES)
    shared = SharedWeights(NASREC_FULL, inputs, seed=0)
    rows = random_rows(inputs, 2048)
    config = FAST.model_copy(update={"finetune_steps": 40, "finetune_rows": 512})
    scorer = Scorer(shared, rows, rows, config)
    rng = np.random.default_rng(0)
    ratios, largest = [], 0.0
    for _ in range(repeats):
        parent = NASREC_FULL.sample(rng)
        children = [NASREC_FULL.mutate(parent, rng) for _ in range(CHILDREN)]
        for child in children:
            shared.subnet(child)  # makes the tensors that were not used before
        limits()
        began = clock()
        together = scorer.score_many(children)
        middle = clock()
        alone = [scorer.score(child) for child in children]
        ratios.append((middle - began) / (clock() - middle))
        differences = [abs(a.logloss - b.logloss) for a, b in zip(together, alone, strict=True)]
        largest = max(largest, *differences)
    figure = result(
        "siblings", ratios, "of standalone", 0.6, at_most(0.6), limits, largest_difference=largest
    )
    mean = statistics.mean(ratios)
    return [figure | {"value": mean, "holds": mean <= 0.6 and largest <= 1e-6}]


def search_command(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks search`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks search", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real logs")
    parser.add_argument("--out", type=Path, help="where to keep the run")
    parser.add_argument("--population", type=int, default=128)
    parser.add_argument("--generations", type=int, default=240)
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="compared exhaustively")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        evolution = EvolutionSettings(
            population=options.population,
            tournament=max(1, options.population // 2),
            generations=options.generations,
        )
        show(search(options.data, out, evolution, options.candidates), options.json)


def search(source: Path, out: Path, evolution: EvolutionSettings, candidates: int) -> list[Result]:
    """The time of a whole search, and how its scores rank a fixed set of candidates."""
    from benchmarks.logs import prepare_log
    from nasrec.config import SearchConfig
    from nasrec.data import PreparedData
    from nasrec.nn import SharedWeights
    from nasrec.pipeline.candidates import search_stage
    from nasrec.pipeline.data import inputs_of
    from nasrec.pipeline.folder import RunFolder
    from nasrec.pipeline.progress import Reporter
    from nasrec.pipeline.supernet import supernet_stage

    limits = Limits()
    limits()
    data = PreparedData.open(prepare_log("criteo_adkdd21", source, out, seed=0))
    config = SearchConfig(space=NASREC_FULL, scoring=FAST, evolution=evolution)
    run, tell = RunFolder(out / f"search-{config.planned_evaluations}"), Reporter(quiet=True)
    run.search.mkdir(parents=True, exist_ok=True)

    def shared() -> SharedWeights:
        return supernet_stage(run, data, config, tell)

    resumed = (run.search / "journal.jsonl").is_file()
    began, stolen = clock(), Stolen()
    search_stage(run, data, config, shared, tell)
    taken = stolen.share()
    processor = clock() - began  # of this process: not of one before, that began the search
    shares = {} if resumed else {"processor_minutes": processor / 60, "stolen": taken}
    limits()
    seconds = run.stage_seconds()
    minutes = (seconds["supernet"] + seconds["search"]) / 60
    planned = config.planned_evaluations
    target = 20.0 if planned >= PLANNED else None  # a smaller search is a trial
    figures = [
        result(
            "search", [minutes], "minutes of wall time", target, at_most(20.0), limits,
            supernet_minutes=seconds["supernet"] / 60, candidates=planned, **shares,
        )
    ]  # fmt: skip
    if not candidates:
        return figures
    weights = SharedWeights(config.space, inputs_of(data), config.supernet_options)
    weights.load(run.supernet / "weights.safetensors")
    rng = np.random.default_rng(0)
    fixed = [NASREC_FULL.sample(rng) for _ in range(candidates)]
    losses, times = {}, {}
    for kind, scoring, seed, count in (
        ("fast", FAST, 0, candidates),
        ("exhaustive", EXHAUSTIVE, 0, candidates),
        ("paper", PAPER, 0, AGAIN),
        ("again", PAPER, 1, AGAIN),
    ):
        scorer = Scorer(weights, data.train, data.valid, scoring, seed)
        losses[kind], times[kind] = kept(run.path / f"{kind}.jsonl", scorer, fixed[:count])
    again = _tau(losses["paper"], losses["again"])
    return [
        *figures,
        *agreement(losses["fast"], losses["exhaustive"], times),
        result("search-paper-again", [again], "Kendall's τ", candidates=len(losses["again"])),
    ]


def kept(file: Path, scorer: Scorer, fixed: Sequence[Architecture]) -> tuple[list[float], float]:
    """Log losses of the candidates, and the seconds one takes; those in the file are not repeated.

    Each is scored alone, so that both ways are timed alike.
    """
    done = []
    if file.is_file():
        done = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with file.open("a", encoding="utf-8") as lines:
        for architecture in fixed[len(done) :]:
            began = time.process_time()
            loss = scorer.score(architecture).logloss
            done.append({"logloss": loss, "seconds": time.process_time() - began})
            lines.write(json.dumps(done[-1]) + "\n")
            lines.flush()
    done = done[: len(fixed)]
    return [d["logloss"] for d in done], statistics.mean(d["seconds"] for d in done)


def agreement(
    fast: Sequence[float], exhaustive: Sequence[float], times: dict[str, float]
) -> list[Result]:
    """Kendall's τ, and how many of the best five are the same."""
    x, y = np.array(fast), np.array(exhaustive)
    common = len({*np.argsort(x)[:BEST]} & {*np.argsort(y)[:BEST]})
    more = {f"{kind}_seconds": value for kind, value in times.items()} | {"candidates": len(x)}
    enough = len(x) >= CANDIDATES
    tau_target, best_target = (0.95, BEST) if enough else (None, None)
    return [
        result("search-agreement", [_tau(x, y)], "Kendall's τ", tau_target, at_least(0.95), **more),
        result("search-best-five", [common], "of 5 the same", best_target, at_least(BEST)),
    ]


def _tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's τ."""
    from nasrec.search.correlation import kendall

    return float(kendall(np.array(one), np.array(other), np.ones((1, len(one))))[0])
