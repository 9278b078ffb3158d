"""The commands that look at architectures and search spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasrec.cli.command import (
    Arch,
    EmbeddingDim,
    Json,
    Seed,
    command,
)

arch_app = typer.Typer(no_args_is_help=True, help="Look at architectures and count their cost.")
space_app = typer.Typer(no_args_is_help=True, help="Look at search spaces.")


@arch_app.command("show", epilog="Example: nasrec arch show published:criteo-full")
@command()
def arch_show(arch: Arch, as_json: Json = False) -> tuple[Any, str]:
    """Draw an architecture as text, and say which parts never reach the logit."""
    from nasrec.pipeline.picture import picture
    from nasrec.space import load_architecture

    architecture = load_architecture(arch)
    result = {
        **architecture.to_dict(),
        "digest": architecture.digest,
        "live_blocks": list(architecture.live_blocks),
    }
    return result, picture(architecture)


@arch_app.command("sample", epilog="Example: nasrec arch sample --space small --out arch.json")
@command()
def arch_sample(
    space: Annotated[str, typer.Option(help="full, small, or a YAML file.")] = "full",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="File to write; must not exist.")] = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Draw a random architecture of a space."""
    from nasrec.pipeline.picture import picture, sample_to

    architecture = sample_to(space, seed, out)
    if out is not None:
        return {**architecture.to_dict(), "out": str(out)}, picture(architecture)
    return architecture.to_dict(), architecture.to_json()


@arch_app.command(
    "cost", epilog="Example: nasrec arch cost published:criteo-full --dense 13 --sparse 26"
)
@command()
def arch_cost(
    arch: Arch,
    dense: Annotated[int, typer.Option(min=0, help="Number of numeric columns.")],
    sparse: Annotated[int, typer.Option(min=0, help="Number of categorical columns.")],
    embedding_dim: EmbeddingDim = None,
    layer_norm: Annotated[bool, typer.Option(help="LayerNorm in every operator.")] = True,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Count weights, multiply-adds a row and bytes of a stored model, embeddings excluded.

    "live" is what a model stores and computes: the parts that reach the logit.
    """
    from nasrec.config import model_options
    from nasrec.nn import Inputs, cost
    from nasrec.nn.cost import BYTES_PER_WEIGHT
    from nasrec.space import load_architecture

    options = model_options(embedding_dim or 16, layer_norm=layer_norm)
    found = cost(load_architecture(arch), Inputs(dense, (1,) * sparse), options)
    names = ("weights", "live_weights", "madds", "live_madds")
    result: dict[str, Any] = {name: getattr(found, name) for name in names}
    result["bytes"] = found.bytes - BYTES_PER_WEIGHT * found.embedding_weights
    text = "\n".join(f"{name:<13} {value:>12,}" for name, value in result.items())
    live = ", ".join(map(str, found.live_blocks))
    return {**result, "live_blocks": list(found.live_blocks)}, f"{text}\nlive_blocks   {live}"


@space_app.command("count", epilog="Example: nasrec space count full")
@command()
def space_count(
    space: Annotated[str, typer.Argument(help="full, small, or a YAML file.")] = "full",
    as_json: Json = False,
) -> tuple[Any, str]:
    """Count exactly how many architectures a space holds, and say by which rules."""
    from nasrec.space import load_space

    found = load_space(space)
    count, paper = found.cardinality(), found.paper_cardinality()
    rules = found.cardinality_rules
    result = {"space": found.name, "count": count, "paper_count": paper, "rules": rules}
    lines = "\n".join(f"- {rule}" for rule in rules)
    text = f"{count:,}\nabout {count:.2e} architectures, by these rules:\n{lines}"
    return result, f"{text}\nBy the paper's rule: about {paper:.2e}"
