"""`nasrec compare` on real click logs, as one page.

    python -m benchmarks leaderboards --out runs/leaderboards --page docs/results.md

Compares the hand-made models, LightGBM and a searched NASRecNet on each log under one protocol,
and writes the page from the comparisons that are finished in `--out`; what the page has of others
stays. One that was stopped goes on. Nothing
is chosen for one log: the search scores 40 candidates of the space `plus` of at most 300,000
multiply-adds a row (`--max-madds`), about what an MLP needs, each by a training of its own, which
on logs of more than 100,000 training rows sees 40,000 of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.harness import page_parser, tell
from benchmarks.logs import LOGS, SEARCHED_ROWS, prepare_log

CANDIDATES, MOST_MADDS, FEW_ROWS = 40, 300_000, 100_000


def compare_log(
    name: str,
    source: Path,
    out: Path,
    models: list[str] | None,
    seeds: int,
    members: int,
    max_madds: int,
    **given: Any,
) -> None:
    """One comparison; the split is that of seed 0."""
    import nasrec
    from nasrec.config import SearchConfig
    from nasrec.data import PreparedData

    data, told = prepare_log(name, source, out, 0), f", {members} members each" * (members > 1)
    width = given["embedding_dim"]
    told += f", width {width}" * (width is not None)
    rows = len(PreparedData.open(data).train)
    config = SearchConfig(
        space="plus",
        model={"members": members},
        score_by="training",
        search_rows=SEARCHED_ROWS if rows > FEW_ROWS else None,
        max_madds=members * max_madds,
    ).with_evaluations(CANDIDATES)
    nasrec.compare(
        data, out=out / f"{name}{told}-{given['protocol']}", models=models, seeds=seeds,
        config=config, **given,
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    """Entry of `python -m benchmarks leaderboards`."""
    parser = page_parser("leaderboards", __doc__, "runs/leaderboards")
    parser.add_argument("--logs", default=",".join(LOGS), help="which logs, by commas; none")
    parser.add_argument("--models", help="which models, by commas; all if left out")
    parser.add_argument("--protocol", default="leaderboard")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--members", type=int, default=1, help="networks of every model")
    parser.add_argument("--max-madds", type=int, default=MOST_MADDS, help="of a candidate, a row")
    parser.add_argument("--embedding-dim", type=int, help="width of every model's embeddings (16)")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    options = parser.parse_args(arguments)
    models = options.models.split(",") if options.models else None
    for name in options.logs.split(",") if options.logs != "none" else ():
        compare_log(
            name, options.data, options.out, models, options.seeds, options.members,
            options.max_madds, protocol=options.protocol, trials=options.trials, jobs=options.jobs,
            embedding_dim=options.embedding_dim,
        )  # fmt: skip
    old = (
        options.page.read_text(encoding="utf-8") if options.page and options.page.is_file() else ""
    )
    tell(page(options.out, old), options.page)


def sections(text: str) -> dict[str, str]:
    """The parts of a page by their headings, `## ` and all below it."""
    parts = text.split("\n## ")[1:]
    return {part.split("\n", 1)[0]: f"## {part.rstrip()}" for part in parts}


def page(out: Path, old: str = "") -> str:
    """All finished comparisons as Markdown, and those of an older page that are not in `out`."""
    from nasrec.pipeline import Comparison

    head = [
        "# Results on real click logs",
        "",
        "Made by `python -m benchmarks leaderboards --page docs/results.md` from `nasrec",
        "compare` ([compare.md](compare.md)); nothing here is typed by hand. ± is the standard",
        "deviation over seeds; the interval is that of the difference to the best, over test rows",
        "and seeds. The machine had other work, so times are upper bounds. Where it is not said",
        "that logits are calibrated, that numbers have bends, that the recipe of click rates was",
        "tried, or that families are blends, it was not done then; without blends a NASRecNet is",
        "also of before `Flat` read numbers and BatchNorm stood before the ReLU. Where it is not",
        "said how its NASRecNet was searched, it is the best of 40 candidates of at most 100,000",
        "multiply-adds a row, each trained for itself by the recipe `plain`, or on frappe_x1",
        "scored by a supernet, before recipes were tried first.",
    ]
    found_parts = sections(old)
    for file in sorted(out.glob("*/comparison.json")):
        found = Comparison(file.parent).to_dict()
        name = file.parent.name.removesuffix(f"-{found['protocol']}")
        data, machine = found["data"], found["environment"]
        lines = [
            f"## {name}, protocol {found['protocol']}, {found['seeds']} seeds, "
            f"{found['trials']} trials",
            "",
            f"{data['train']:,} train, {data['valid']:,} validation, {data['test']:,} test rows. "
            f"Machine: {machine['processor']}, {machine['cores']} cores."
            + (" Logits calibrated on validation." if found.get("calibrated") else "")
            + (" Numbers have bends." if found.get("bends") else "")
            + rated(file.parent)
            + blending(file.parent)
            + searched(file.parent),
            "",
            "| model | test log loss | test AUC | difference to the best, 95 % | chosen trial "
            "| weights | multiply-adds a row | one training | 1 row, 1024 rows, p50 (p99) |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(line(row) for row in found["rows"]),
            *verdict(found["rows"]),
        ]
        found_parts[lines[0].removeprefix("## ")] = "\n".join(lines)
    return (
        "\n\n".join(["\n".join(head), *(found_parts[name] for name in sorted(found_parts))]) + "\n"
    )


def blending(folder: Path) -> str:
    """Whether the model of a family may be the mean of several trainings."""
    from nasrec.pipeline.folder import read_json

    file = folder / "config.json"
    most = read_json(file)["settings"].get("blend", 1) if file.is_file() else 1
    return f" A family's model is the blend of at most {most} of its trials." if most > 1 else ""


def searched(folder: Path) -> str:
    """How the NASRecNet of a comparison was searched, from the settings in its folder."""
    from nasrec.pipeline.folder import read_json

    file = folder / "config.json"
    settings = read_json(file)["settings"] if file.is_file() else {}
    if "search_rows" not in settings:
        return ""
    rows = settings["search_rows"]
    return (
        f" The NASRecNet is the best of {settings['evaluations']} candidates of at most "
        f"{settings['max_madds']:,} multiply-adds a row, each trained for itself"
        + (f" on {rows:,} rows." if rows else ".")
    )


def rated(folder: Path) -> str:
    """Whether the recipe of click rates was tried."""
    from nasrec.pipeline.folder import read_json

    file = folder / "config.json"
    recipes = read_json(file)["settings"].get("recipes", []) if file.is_file() else []
    tried = any(recipe.get("click_rates") for recipe in recipes)
    return " The recipe of click rates was tried." if tried else ""


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """Where NASRecNet stands: first by more than chance, among the first, or behind by more."""
    models = [row for row in rows if row["seeds"]]
    place = next((i for i, row in enumerate(models) if row["family"] == "nasrec"), None)
    if place is None or len(models) == 1:
        return []
    if place:
        low = models[place]["difference"]["low"]
        told = "behind by more than the interval" if low > 0 else "within the interval of the best"
    else:
        ahead = all(row["difference"]["low"] > 0 for row in models[1:])
        told = "ahead of all by more than the interval" if ahead else "not ahead of all by as much"
    return ["", f"NASRecNet is number {place + 1} of {len(models)}, {told}.{_left(rows)}"]


def _left(rows: list[dict[str, Any]]) -> str:
    """Whether any model could be ahead by more than chance, if not even the mean of all is."""
    last = rows[-1]
    if last["seeds"] or "difference" not in last or last["difference"]["high"] < 0:
        return ""
    return (
        " The mean logit of all of them is not ahead of the best by more than the interval either: "
        "so many test rows cannot tell."
    )


def line(row: dict[str, Any]) -> str:
    """One model's row of the table."""

    def spread(key: str) -> str:
        value, sd = row.get(key), row.get(f"{key}_sd")
        return "failed" if value is None else f"{value:.4f}" + (f" ± {sd:.4f}" if sd else "")

    d, latency = row.get("difference"), row.get("latency")
    cells = [row["name"], spread("test_logloss"), spread("test_auc")]
    cells.append(f"{d['mean']:+.4f} ({d['low']:+.4f}, {d['high']:+.4f})" if d else "")
    if "trial" not in row:
        return f"| {' | '.join([*cells, *[''] * 5])} |"
    seconds = row["training_seconds"]
    cells += [
        row["trial"] + (f" of {len(blend)}" if (blend := row.get("blend")) else ""),
        f"{row['weights']:,}",
        f"{row['madds']:,}" if row["madds"] else "",
        "" if seconds is None else f"{seconds:.0f} s",
        ", ".join(f"{t['p50']:.2f} ({t['p99']:.2f}) ms" for t in (latency or {}).values()),
    ]
    return f"| {' | '.join(cells)} |"
