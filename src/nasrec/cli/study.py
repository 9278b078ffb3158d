"""The studies of the method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import (
    RESUME,
    EmbeddingDim,
    Format,
    Ignore,
    Json,
    Label,
    SchemaFile,
    Seed,
    Test,
    Threads,
    Valid,
    command,
    use,
)

study_app = typer.Typer(
    no_args_is_help=True,
    help="Measure the method itself on your data. Studies with equal sizes in one folder share "
    "the networks that they train from scratch.",
)

Data = Annotated[Path, typer.Argument(help="A prepared folder, or a raw log.")]
Out = Annotated[Path, typer.Option(help="Folder; goes on if it is of a study of these sizes.")]
Subnets = Annotated[int, typer.Option(help="Subnets to train from scratch.")]
Rows = Annotated[int | None, typer.Option(min=1, help="Most rows of each split; all if left out.")]
Seeds = Annotated[int, typer.Option(help="Repeats of every training.")]
Space = Annotated[str, typer.Option(help="full-study, small-study, another name, or a YAML file.")]
Epochs = Annotated[int, typer.Option(help="Of the trainings from scratch.")]
BatchSize = Annotated[int, typer.Option(help="Of the trainings from scratch.")]
LearningRate = Annotated[float, typer.Option(help="Of the trainings from scratch.")]
FinetuneRows = Annotated[
    int | None, typer.Option(help="Rows of a score's fine-tuning; as many as it needs.")
]
ValidRows = Annotated[int | None, typer.Option(help="Rows that a score is measured on; all.")]
Score = Annotated[
    str,
    typer.Option(
        help="Ways to score beside the paper's, by commas: scratch (without a supernet: a "
        "search's up to 250,000 rows), whole (a search's beyond), calibrated, calm, norms, "
        "all:200x128 (steps of rows)."
    ),
]
Variants = Annotated[
    str,
    typer.Option(
        help="strategies, warmup, recipes, or names such as paper,any-any:4 (epochs), paper:0.2 "
        "(share of the rows)."
    ),
]


@study_app.command("ranking", epilog="Example: nasrec study ranking data --out study --subnets 24")
@command(RESUME)
def ranking(
    data: Data,
    out: Out,
    label: Label = None,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    variants: Variants = "strategies",
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    finetune_rows: FinetuneRows = None,
    score: Score = "whole,scratch",
    repeated: Annotated[
        int | None, typer.Option(help="Train so many subnets with every seed, the others once.")
    ] = None,
    ranker: Annotated[
        bool,
        typer.Option("--ranker", help="Also: scores mended by a learned ranker."),
    ] = False,
    valid_rows: ValidRows = None,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Does the supernet order networks as training from scratch does?

    Trains random subnets from scratch, once for all variants of the supernet, and compares their
    order with that of each variant's scores.
    """
    options = locals()
    return _run("ranking", options, lambda: {"variants": _variants(variants), "ranker": ranker})


@study_app.command(
    "interactions", epilog="Example: nasrec study interactions data --out study --subnets 24"
)
@command(RESUME)
def interactions(
    data: Data,
    out: Out,
    label: Label = None,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    finetune_rows: FinetuneRows = None,
    valid_rows: ValidRows = None,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """What balancing the dot product changes: the same networks with it and with the plain one.

    Weights, speed of the supernet, losses from scratch, and how well scores order them.
    """
    return _run("interactions", locals(), dict)


@study_app.command("cdf", epilog="Example: nasrec study cdf data --out study --subnets 24")
@command(RESUME)
def cdf(
    data: Data,
    out: Out,
    label: Label = None,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """How good are random networks of a space: the distribution of their test losses."""
    return _run("cdf", locals(), dict)


@study_app.command(
    "cost", epilog="Example: nasrec study cost data --out study --arch run/model/architecture.json"
)
@command(RESUME)
def cost(
    data: Data,
    out: Out,
    arch: Annotated[
        list[str] | None,
        typer.Option(help="A winner's file, or published:criteo-full; may be given several times."),
    ] = None,
    baselines: Annotated[
        str, typer.Option(help="Hand-made models, by commas, or none; see nasrec models.")
    ] = "logreg,mlp,dlrm",
    label: Label = None,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """What quality costs: multiply-adds and log loss of winners, hand-made and random networks."""
    names = [name.strip() for name in baselines.split(",") if name.strip() not in ("", "none")]
    return _run("cost", locals(), lambda: {"baselines": names, "architectures": arch or []})


@study_app.command("searched", epilog="Example: nasrec study searched data --out study")
@command(RESUME)
def searched(
    data: Data,
    out: Out,
    label: Label = None,
    variants: Variants = "strategies",
    score: Score = "whole",
    pairs: Annotated[
        str,
        typer.Option(
            help="Only these: variant/scoring by commas, say paper/fine-tuned,paper:0.2/whole."
        ),
    ] = "",
    evaluations: Annotated[int, typer.Option(min=1, help="Candidates of each search.")] = 100,
    top_k: Annotated[int, typer.Option(min=1, help="Best of each to train from scratch.")] = 3,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    finetune_rows: FinetuneRows = None,
    valid_rows: ValidRows = None,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """What a search finds with each variant of the supernet: its winner's test loss.

    Needs no random subnets from scratch; --subnets is there so that the folder may be shared.
    """
    return _run(
        "searched",
        locals(),
        lambda: {
            "variants": _variants(variants),
            "pairs": _pairs(pairs),
            "evaluations": evaluations,
            "top_k": top_k,
        },
    )


@study_app.command("methods", epilog="Example: nasrec study methods data --out study")
@command(RESUME)
def methods(
    data: Data,
    out: Out,
    label: Label = None,
    variants: Variants = "paper",
    methods: Annotated[
        str, typer.Option(help="Search methods, by commas; each of one goal.")
    ] = "random,evolution,guided,relaxed,progressive",
    evaluations: Annotated[int, typer.Option(min=1, help="Candidates of each search.")] = 100,
    top_k: Annotated[int, typer.Option(min=1, help="Best of each to train from scratch.")] = 3,
    scratch: Annotated[
        int, typer.Option(min=0, help="Candidates of the searches that train each from scratch.")
    ] = 12,
    subnets: Subnets = 100,
    rows: Rows = None,
    seeds: Seeds = 2,
    space: Space = "full-study",
    epochs: Epochs = 1,
    batch_size: BatchSize = 1024,
    learning_rate: LearningRate = 0.12,
    finetune_rows: FinetuneRows = None,
    valid_rows: ValidRows = None,
    embedding_dim: EmbeddingDim = None,
    seed: Seed = 0,
    valid: Valid = None,
    test: Test = None,
    ignore: Ignore = None,
    schema: SchemaFile = None,
    format: Format = None,
    threads: Threads = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """What each search method finds, beside the training rows it has spent.

    Needs no random subnets from scratch; --subnets is there so that the folder may be shared.
    """
    return _run(
        "methods",
        locals(),
        lambda: {
            "variants": _variants(variants),
            "names": [name.strip() for name in methods.split(",")],
            "evaluations": evaluations,
            "top_k": top_k,
            "scratch": scratch,
        },
    )


def _listed(names: str) -> tuple[str, ...]:
    return tuple(part for name in names.split(",") if (part := name.strip()))


def _pairs(told: str) -> list[tuple[str, str]]:
    """Variants and ways to score; what is unknown the study refuses."""
    split = (pair.partition("/") for pair in _listed(told))
    return [(variant, scoring) for variant, _, scoring in split]


def _variants(names: str) -> Any:
    from nasrec.study import variants_named

    return variants_named(names)


def _run(
    name: str, given: dict[str, Any], options: Callable[[], dict[str, Any]]
) -> tuple[Any, str]:
    """A study with the command's arguments."""
    from nasrec.config import model_options
    from nasrec.pipeline.data import DataRequest
    from nasrec.search import ScoreConfig
    from nasrec.space import load_space
    from nasrec.study import StudyConfig, run_study
    from nasrec.train import TrainConfig

    use(given["threads"])
    training = {key: given[key] for key in ("epochs", "batch_size", "learning_rate")}
    scoring: dict[str, Any] = {key: given.get(key) for key in ("finetune_rows", "valid_rows")}
    config = StudyConfig(
        **{key: given[key] for key in ("seed", "subnets", "rows", "seeds")},
        space=load_space(given["space"]),
        model=model_options(given["embedding_dim"] or 16, embedding_cap=500_000),
        training=TrainConfig(patience=None, **training),
        scoring=ScoreConfig(**scoring),
        others=_listed(given.get("score", "")),
        repeated=given.get("repeated"),
    )
    about: dict[str, Any] = {
        key: given[key] for key in ("label", "valid", "test", "schema", "format")
    }
    request = DataRequest(given["data"], ignore=given["ignore"] or (), **about)
    return run_study(name, request, given["out"], config, **options())
