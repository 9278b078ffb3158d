"""Which operators there are and what each reads: the part of an operator that is not tensors.

`nasrec.nn.operators` holds the modules that compute them, under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nasrec.errors import SpaceError

Branch = Literal["dense", "sparse"]
Reads = Literal["dense", "sparse", "pair"]


@dataclass(frozen=True)
class OperatorInfo:
    """What a search space must know of an operator.

    Attributes:
        name: unique; how architectures spell it.
        branch: the branch of a block it stands in.
        reads: what it takes: `dense` and `sparse` are the concatenated sources of a block's dense
            and sparse input, `pair` its two single sources `left` and `right`.
        symmetric: whether `left` and `right` may change places.
    """

    name: str
    branch: Branch
    reads: frozenset[Reads]
    symmetric: bool = False

    def __post_init__(self) -> None:
        if not self.reads:
            raise SpaceError(f"operator {self.name!r} reads nothing")
        if self.branch == "sparse" and self.reads != {"sparse"}:
            raise SpaceError(f"sparse operator {self.name!r} may read the sparse input only")


_REGISTRY: dict[str, OperatorInfo] = {}


def declare(info: OperatorInfo) -> OperatorInfo:
    """Make an operator known to search spaces; declaring the same one twice is harmless."""
    if _REGISTRY.setdefault(info.name, info) != info:
        raise SpaceError(f"operator {info.name!r} is already declared with other properties")
    return info


def operator_info(name: str) -> OperatorInfo:
    """Look an operator up by name, or raise SpaceError that lists the known ones."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise SpaceError(
            f"unknown operator {name!r}", mend=f"use one of {', '.join(sorted(_REGISTRY))}"
        ) from None


# Paper section 3 and method notes: one line an operator.
FC = declare(OperatorInfo("FC", "dense", frozenset({"dense"})))
SIGMOID_GATING = declare(OperatorInfo("SG", "dense", frozenset({"pair"})))
SUM = declare(OperatorInfo("Sum", "dense", frozenset({"pair"}), symmetric=True))
DOT_PRODUCT = declare(OperatorInfo("DP", "dense", frozenset({"dense", "sparse"})))
PLAIN_DOT_PRODUCT = declare(OperatorInfo("PlainDP", "dense", frozenset({"dense", "sparse"})))
FLAT = declare(OperatorInfo("Flat", "dense", frozenset({"dense", "sparse"})))  # ours
EFC = declare(OperatorInfo("EFC", "sparse", frozenset({"sparse"})))
ATTENTION = declare(OperatorInfo("Attn", "sparse", frozenset({"sparse"})))
