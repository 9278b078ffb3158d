"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

_LEVELS = 256


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Drop a share of the entries at random and scale the others up (Srivastava et al., 2014).

    torch's own draws a number for each entry, which takes longer than the layer's matrix product;
    here eight entries share one. So the share is one of 256 levels, the nearest; the scale is that
    level's, so that the mean stays what it is. Torch's generator draws, as in its own.
    """
    if not training or not share:
        return x
    level = min(max(1, round(share * _LEVELS)), _LEVELS - 1)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    words.random_(torch.iinfo(torch.int64).min, None)  # all 64 bits
    drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
    return x * (drawn >= level).to(x.dtype).mul_(_LEVELS / (_LEVELS - level))
