"""Search by gradients: choices learnt in a relaxed supernet, then architectures drawn from them.

`relaxed` follows differentiable search (FBNet: Wu et al., CVPR 2019; for CTR models: Krishna et
al., "Differentiable NAS Framework and Application to Ads CTR Prediction", 2021). Kept: Gumbel
softmax over the operators of a block at a falling temperature, weights and choices trained in turn
on different rows, networks drawn from what was learnt. Not kept: their search spaces, and a price
on slow choices in the loss.

`progressive` follows PROFIT (Gao et al., "Progressive Feature Interaction Search for Deep Sparse
Network", NeurIPS 2021). Kept: low orders of interaction first (here: block after block, each fixed
before the next is learnt), and choices of what interacts factorised at a low rank (here: the
sources of a block's inputs). Not kept: its space of one product of fields for each order.

Both begin with the shared weights as the supernet's training has left them, and train a copy. What
is drawn is scored with the shared weights like the candidates of any other method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from nasrec.search.method import SearchMethod, register
from nasrec.space import Architecture
from nasrec.space.choices import Choices, require_one_operator
from nasrec.train.relax import RelaxConfig, learn_choices

if TYPE_CHECKING:
    from nasrec.data import Split
    from nasrec.nn import SharedWeights

_DRAWS, _FLATTER = 50, (1.0, 2.0, 4.0, 8.0)
"""Draws in vain before the distribution is made flatter, and how flat it becomes."""


@register
class Relaxed(SearchMethod):
    """The likeliest architecture, then draws; where they repeat, from a flatter distribution.

    Without `learn` nothing is preferred, and it is random search.
    """

    name = "relaxed"
    learns = True
    settings_class = RelaxConfig
    block_by_block: ClassVar[bool] = False

    def _begin(self) -> None:
        require_one_operator(self.space, self.name)
        self.choices = Choices.uniform(self.space)
        self._flatter = 0

    @property
    def evaluations(self) -> int | None:
        """Any number."""
        return None

    def learn(
        self,
        shared: SharedWeights,
        train: Split,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Learn the choices; see `nasrec.train.relax.learn_choices`."""
        self.choices = learn_choices(
            shared,
            train,
            cast("RelaxConfig", self.settings),
            self.seed,
            rank=getattr(self.settings, "rank", None),
            block_by_block=self.block_by_block,
            progress=progress,
        )

    def ask(self, limit: int = 1) -> list[Architecture]:
        """New draws."""
        asked: list[Architecture] = []
        while len(asked) < limit and (architecture := self._next()) is not None:
            asked.append(architecture)
        return asked

    def _next(self) -> Architecture | None:
        found = None
        if not self.seen:
            found = self.new(self.choices.likeliest, tries=1)
        while found is None and self._flatter < len(_FLATTER):
            flatter = _FLATTER[self._flatter]
            found = self.new(lambda f=flatter: self.choices.sample(self.rng, f), _DRAWS)  # type: ignore[misc]
            self._flatter += found is None
        return found or self.new_sample()

    def tell(self, architecture: Architecture, losses: Sequence[float]) -> None:
        """Nothing to learn from scores."""


class ProgressiveSettings(RelaxConfig):
    """Settings of the progressive search.

    Attributes:
        rank: numbers for each block and each source whose products are the logits of sources.
    """

    rank: int = Field(default=4, ge=1)


@register
class Progressive(Relaxed):
    """Learns block after block, each on top of those that were chosen before."""

    name = "progressive"
    settings_class = ProgressiveSettings
    block_by_block = True
