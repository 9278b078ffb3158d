"""Where a training computes."""

from __future__ import annotations

import torch

from nasrec.errors import ConfigError

#: Names that settings accept.
PATTERN = r"^(cpu|cuda(:\d+)?)$"


def device_of(name: str) -> torch.device:
    """The device of this name, `cpu`, `cuda` or `cuda:1`; ConfigError if it cannot compute here."""
    device = torch.device(name)
    try:
        torch.zeros(1, device=device).add_(1)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            f"this machine cannot compute on {name!r}: {reason}",
            where="device",
            mend="choose cpu, or install the driver and a build of torch for it (pytorch.org)",
        ) from None
    return device
