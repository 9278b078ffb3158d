"""Probabilities of the choices of a space: what a relaxed search learns and then draws from.

Every choice of every block is independent. Operators, widths and the two pair inputs are one of
several; each source of a concatenated input, and each merger, is there or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasrec.errors import SpaceError
from nasrec.space.architecture import Architecture, Block
from nasrec.space.space import SearchSpace

Floats = NDArray[np.float64]

ONE_OF = ("dense_ops", "sparse_ops", "dense_dim", "sparse_dim", "left", "right")
"""Choices of one of several."""
ANY_OF = ("dense_inputs", "sparse_inputs", "mergers")
"""Choices of any number; the mergers are dense-to-sparse, then sparse-to-dense."""


def sizes(space: SearchSpace, block: int) -> dict[str, int]:
    """Number of options of each choice of a block, counted from 1."""
    return {
        "dense_ops": len(space.dense_ops),
        "sparse_ops": len(space.sparse_ops),
        "dense_dim": len(space.dense_dims),
        "sparse_dim": len(space.sparse_dims),
        "left": block,
        "right": block,
        "dense_inputs": block,
        "sparse_inputs": block,
        "mergers": 2,
    }


def require_one_operator(space: SearchSpace, method: str) -> None:
    """SpaceError unless each branch has exactly one operator: others are not relaxed."""
    if space.max_ops_per_branch != 1:
        raise SpaceError(
            f"the method {method!r} chooses one operator a branch, and this space allows "
            f"{space.max_ops_per_branch or 'any number'}",
            where=f"space {space.name!r}",
            mend="set max_ops_per_branch: 1, or search it with evolution, guided or random",
        )


@dataclass(frozen=True)
class Choices:
    """A distribution over the architectures of a space.

    Attributes:
        space: which; one operator a branch.
        blocks: for each block, by choice, the probability of each option.
    """

    space: SearchSpace
    blocks: tuple[Mapping[str, Floats], ...]

    @classmethod
    def uniform(cls, space: SearchSpace) -> Choices:
        """Every option equally likely."""
        return cls(
            space,
            tuple(
                {n: np.full(k, 1 / k if n in ONE_OF else 0.5) for n, k in sizes(space, i).items()}
                for i in range(1, space.blocks + 1)
            ),
        )

    def likeliest(self) -> Architecture:
        """Of every choice the likeliest option: for sources and mergers those above one half."""
        return self._build(lambda p: int(np.argmax(p)), lambda p: p - 0.5)

    def sample(self, rng: np.random.Generator, flatter: float = 1.0) -> Architecture:
        """Draw every choice. At a `flatter` above 1, log odds are divided by it.

        An input without a source gets the one that came nearest; one of more sources than the
        space allows keeps those that came in by the most.
        """

        def one(p: Floats) -> int:
            weights = np.maximum(p, 1e-12) ** (1 / flatter)
            return int(rng.choice(len(p), p=weights / weights.sum()))

        def any_of(p: Floats) -> Floats:
            odds = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(1 - p, 1e-12))
            uniform = rng.random(len(p))
            return np.asarray(odds / flatter + np.log(uniform) - np.log1p(-uniform))

        return self._build(one, any_of)

    def _build(
        self, one: Callable[[Floats], int], any_of: Callable[[Floats], Floats]
    ) -> Architecture:
        """From probabilities `one` gives an option, `any_of` numbers: those above 0 are in."""
        space, blocks = self.space, []
        for chances in self.blocks:
            found = {name: one(chances[name]) for name in ONE_OF}
            sets = {}
            for name in ("dense_inputs", "sparse_inputs"):
                strength = any_of(chances[name])
                order = np.argsort(-strength, kind="stable")[: space.max_connections]
                sets[name] = tuple(int(j) for k, j in enumerate(order) if not k or strength[j] > 0)
            to_sparse, to_dense = (bool(x > 0) for x in any_of(chances["mergers"]))
            blocks.append(
                Block(
                    dense_ops=(space.dense_ops[found["dense_ops"]],),
                    sparse_ops=(space.sparse_ops[found["sparse_ops"]],),
                    dense_dim=space.dense_dims[found["dense_dim"]],
                    sparse_dim=space.sparse_dims[found["sparse_dim"]],
                    **sets,
                    left=found["left"],
                    right=found["right"],
                    dense_to_sparse=to_sparse,
                    sparse_to_dense=to_dense,
                )
            )
        return Architecture(tuple(blocks))
