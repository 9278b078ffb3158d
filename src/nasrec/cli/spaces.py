"""The commands that look at architectures and search spaces."""

from __future__ import annotations

import json
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
def arch_show(
    arch: Arch,
    svg: Annotated[bool, typer.Option("--svg", help="Draw it as SVG.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="File for the SVG; must not exist. Standard output if none.")
    ] = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Draw an architecture, and say which parts never reach the logit.

    As text, or with --svg as a picture for a browser or a paper, in the manner of the paper's
    Figures 5 to 10.
    """
    from nasrec.errors import ConfigError
    from nasrec.files import write_new_text
    from nasrec.report import drawing, picture
    from nasrec.space import load_architecture

    if out is not None and not svg:
        raise ConfigError("--out is for the picture", mend="give --svg --out FILE.svg")
    architecture = load_architecture(arch)
    result = {
        **architecture.to_dict(),
        "digest": architecture.digest,
        "live_blocks": list(architecture.live_blocks),
    }
    if not svg:
        return result, picture(architecture)
    drawn = f"{drawing(architecture)}\n"
    if out is None:
        return {**result, "svg": drawn}, drawn.rstrip("\n")
    write_new_text(out, drawn)
    return {**result, "out": str(out)}, f"The picture is in {out}"


@arch_app.command("sample", epilog="Example: nasrec arch sample --space small --out arch.json")
@command()
def arch_sample(
    space: Annotated[str, typer.Option(help="full, small, or a YAML file.")] = "full",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="File to write; must not exist.")] = None,
    as_json: Json = False,
) -> tuple[Any, str]:
    """Draw a random architecture of a space."""
    import numpy as np

    from nasrec.files import write_new_text
    from nasrec.report import picture
    from nasrec.space import load_space

    architecture = load_space(space).sample(np.random.default_rng(seed))
    if out is not None:
        write_new_text(out, json.dumps(architecture.to_dict(), indent=1) + "\n")
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
