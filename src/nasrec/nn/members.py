"""Several networks of one make as one model, trained side by side from different first weights."""

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
        """That of each, where they are NASRecNets; else None."""
        return getattr(self.members[0], "architecture", None)
