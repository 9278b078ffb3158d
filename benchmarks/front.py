"""A front of quality and cost on a real click log, beside hand-made models of two sizes.

    python -m benchmarks front --out runs --page docs/front.md

Searches one space for log loss and multiply-adds at once, trains points spread over the front from
scratch, and the hand-made models by the same recipe, wide and narrow. A search that was stopped
goes on; what is finished is not repeated. Points are chosen on validation rows; the test rows are
read once for each point and each model of the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import page_parser, tell
from benchmarks.logs import MAX_MADDS, SEARCHED_ROWS, prepare_log

EVALUATIONS, TRAINED = 100, 5
HAND_MADE = ("logreg", "fm", "mlp", "dlrm", "dcn-v2")
#: Hidden widths of the hand-made models: the usual ones, and narrow ones, so that they too have
#: cheap points.
HIDDEN = {"wide": (400, 400), "narrow": (64, 64)}


def search_front(data: Path, space: str, seed: int, out: Path) -> Any:
    """The search, finished."""
    import nasrec
    from nasrec.config import SearchConfig
    from nasrec.data import PreparedData
    from nasrec.train.recipes import RECIPES

    rows = len(PreparedData.open(data).train)
    config = SearchConfig(
        seed=seed,
        space=space,
        supernet={"epochs": max(1, round(SEARCHED_ROWS / rows)), "path_warmup_fraction": 0.1},
        search_rows=SEARCHED_ROWS if rows > SEARCHED_ROWS else None,
        scoring={"scope": "head", "finetune_steps": 100, "finetune_rows": 2048, "valid_rows": 4096},
        costs=("madds",),
        max_madds=MAX_MADDS,
        top_k=TRAINED,
        recipes=RECIPES[:1],
        baselines=(),
    ).with_evaluations(EVALUATIONS)
    return nasrec.search(data, out=out, config=config)


def hand_made(run: Any, data: Path, out: Path) -> list[dict[str, Any]]:
    """The hand-made models, trained as the points were: one entry each."""
    from dataclasses import replace

    import nasrec
    from nasrec.data import PreparedData
    from nasrec.nn import build_baseline

    prepared, config = PreparedData.open(data), run.config
    recipe = config.recipes[0]
    entries = []
    for name in HAND_MADE:
        for size, hidden in HIDDEN.items():
            if name in ("logreg", "fm") and size != "wide":
                continue  # they have no hidden layers
            options = replace(recipe.model(config.model), hidden=hidden)
            folder = out / f"{name}-{size}"
            if folder.is_dir():
                model = nasrec.load(folder)
            else:
                model = nasrec.train(
                    prepared,
                    name,
                    folder,
                    options=options,
                    config=recipe.training(config.training),
                    seed=config.seed,
                )
            network = build_baseline(name, model.spec.inputs, options)
            title = type(network).title
            sized = title if name in ("logreg", "fm") else f"{title}, {hidden[0]} wide"
            entries.append({"name": sized, "madds": network.madds, **scores(model)})
    return entries


def points_of(run: Any, out: Path) -> list[dict[str, Any]]:
    """The trained points that no other trained point dominates on validation, cheapest first."""
    import nasrec

    entries = []
    for point in run.front["points"]:
        if point["trained_front"]:
            folder = out / f"point-{point['digest'][:12]}"
            model = nasrec.load(folder) if folder.is_dir() else run.take(point["digest"], folder)
            name = f"NASRecNet {point['digest'][:8]}"
            entry = {"name": name, "madds": point["costs"]["madds"], **scores(model)}
            entries.append({**entry, "supernet_logloss": point["supernet"]["logloss"]})
    return entries


def scores(model: Any) -> dict[str, float]:
    found = {
        f"{part}_{name}": model.metrics[part][name]
        for part in ("valid", "test")
        for name in ("logloss", "auc")
    }
    return found


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks front`."""
    parser = page_parser("front", __doc__, "runs")
    parser.add_argument("--log", default="frappe_x1", help="which log")
    parser.add_argument("--space", default="plus")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    began = time.process_time()
    data = prepare_log(options.log, options.data, options.out, options.seed)
    folder = options.out / "front" / f"{options.log}-{options.space}-{options.seed}"
    run = search_front(data, options.space, options.seed, folder / "run")
    front, models = points_of(run, folder), hand_made(run, data, folder)
    print(f"complete after {time.process_time() - began:.0f} processor seconds")
    tell(page(options, run, front, models), options.page)


def page(
    options: argparse.Namespace,
    run: Any,
    front: list[dict[str, Any]],
    models: list[dict[str, Any]],
) -> str:
    """The front and the models as Markdown."""
    config = run.config
    base = next(r["valid_logloss"] for r in run.leaderboard if r["family"] == "base rate")
    rows = sorted([*front, *models], key=lambda entry: (entry["madds"], entry["name"]))
    lines = [
        "# A front of quality and cost",
        "",
        "Made by `python -m benchmarks front --page docs/front.md`; nothing here is typed by hand.",
        f"Machine: {platform.machine()}, {os.cpu_count()} cores, one thread. Log: {options.log}, "
        f"space {options.space}, seed {options.seed}: one seed, so no spread.",
        "",
        f"`nasrec search --objective logloss,madds --max-madds {config.max_madds}` scored "
        f"{config.planned_evaluations} candidates",
        f"with a supernet that had seen {config.search_rows or 'all'} rows, and trained "
        f"{config.top_k} of them from scratch, spread over the front.",
        "The hand-made models were trained by the same recipe (`plain`, see",
        "[comparing](compare.md)), once each, with wide and with narrow hidden layers. The",
        "points below are those that no other trained point beats on validation in both goals; the",
        "test rows were read once for each line. The last column names the cheapest point that",
        "needs no more multiply-adds and has less test log loss. The supernet's log loss is what",
        f"the search went by; always predicting the click rate has {base:.4f} on validation.",
        "",
        "| model | multiply-adds a row | supernet log loss | validation log loss | test log loss "
        "| test AUC | beaten by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    beaten = 0
    for entry in rows:
        ours = entry in front
        better = [
            point
            for point in front
            if point["madds"] <= entry["madds"] and point["test_logloss"] < entry["test_logloss"]
        ]
        beaten += bool(better) and not ours
        mark, supernet = "**" if ours else "", entry.get("supernet_logloss", 0.0)
        lines.append(
            f"| {mark}{entry['name']}{mark} | {entry['madds']:,} "
            f"| {f'{supernet:.4f}' if ours else ''} "
            f"| {entry['valid_logloss']:.4f} "
            f"| {entry['test_logloss']:.4f} | {entry['test_auc']:.4f} "
            f"| {better[0]['name'] if better else '' if ours else 'none'} |"
        )
    lines += [
        "",
        f"{beaten} of the {len(models)} hand-made models are dominated on the test rows by a "
        "point of the front.",
        "A model without matrix products has 0 multiply-adds as they are counted here, so nothing "
        "can dominate it.",
    ]
    return "\n".join(lines) + "\n"
