"""Several networks as one model: trained side by side, or each before and for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


class Members(nn.Module):
    """A deep ensemble (Lakshminarayanan et al., NeurIPS 2017): its logit is the mean of theirs.

    Each member learns for itself, as it would alone, from the same batches. What one network takes
    from the chance of its first weights and of its dropout, others do not.

    Args:
        networks: at least one; they share nothing.

    Shapes: dense (B, n_dense) and sparse (B, F) to logits (B,).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    def each(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """The logits of every member: (members, B)."""
        return torch.stack([member(dense, sparse) for member in self.members])

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        return self.each(dense, sparse).mean(0)

    @property
    def madds(self) -> int:
        """Multiply-adds a row of all of them."""
        return sum(cast("Any", member).madds for member in self.members)

    @property
    def architecture(self) -> Any:
        """That of the first, where it is a NASRecNet; else None."""
        return getattr(self.members[0], "architecture", None)


class Blend(Members):
    """Networks of any makes as one model: its logit is a weighted sum of theirs, and a constant.

    Each was trained before. Other architectures, options and learning rates err in other ways than
    further seeds of one make do (Caruana et al., *Ensemble selection from libraries of models*,
    ICML 2004).

    Args:
        networks: at least one; they share nothing.
        scales: what each logit is multiplied by; 1 / their number if None.
        shift: what is added to the sum.

    Shapes: dense (B, n_dense) and sparse (B, F) to logits (B,).
    """

    scales: Tensor
    shift: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        scales: Sequence[float] | None = None,
        shift: float = 0.0,
    ) -> None:
        super().__init__(networks)
        if scales is None:
            scales = [1 / len(networks)] * len(networks)
        self.register_buffer("scales", torch.tensor(list(scales)))
        self.register_buffer("shift", torch.tensor(float(shift)))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        return self.scales @ self.each(dense, sparse) + self.shift
