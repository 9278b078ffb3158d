"""Which network a model is, and its weights from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from nasrec.errors import RunError
from nasrec.nn import Inputs, Members, ModelOptions, NASRecNet, build_baseline
from nasrec.nn.parameters import shapes_only
from nasrec.space import Architecture
from nasrec.train.loop import derive_seed

NASREC = "nasrec"
#: Of random numbers, beside those of `nasrec.train.loop`: first weights of further members.
MEMBER_STREAM = 11
AGAIN = "copy the folder again from where it was trained, or train the model again"


@dataclass(frozen=True)
class ModelSpec:
    """Which network a model is: enough to build it, without its weights.

    Attributes:
        model: `nasrec`, or a name in `nasrec.nn.BASELINES`.
        inputs: the columns it reads.
        options: how it is made.
        architecture: of a NASRecNet; None for the hand-made models.
    """

    model: str
    inputs: Inputs
    options: ModelOptions
    architecture: Architecture | None = None

    def build(self, seed: int = 0) -> nn.Module:
        """The network, newly initialised; with several members each from another seed."""
        further = range(1, self.options.members)
        seeds = [seed, *(derive_seed(seed, MEMBER_STREAM, i) for i in further)]
        return _joined([self._one(seed=of_one) for of_one in seeds])

    def _one(self, **how: Any) -> nn.Module:
        if self.architecture is not None:
            return NASRecNet(self.architecture, self.inputs, self.options, **how)
        return build_baseline(self.model, self.inputs, self.options, **how)

    def load(self, weights: Path) -> nn.Module:
        """The network with the weights of a safetensors file.

        Raises:
            RunError: the file is damaged, or holds other tensors than the network has.
        """
        if self.architecture is not None:  # large tables need not be initialised to be replaced
            networks = [self._one(source=shapes_only) for _ in range(self.options.members)]
            network = _joined(networks)
        else:
            network = self.build()
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"the weights cannot be read: {error}", where=str(weights), mend=AGAIN
            ) from None
        needed = network.state_dict()
        if missing := [name for name in needed if name not in tensors]:
            raise RunError(
                f"{len(missing)} of {len(needed)} tensors are missing, the first is {missing[0]!r}",
                where=str(weights),
                mend=AGAIN,
            )
        if unknown := [name for name in tensors if name not in needed]:
            raise RunError(
                f"there is a tensor that the model does not have, {unknown[0]!r}",
                where=str(weights),
                mend=AGAIN,
            )
        for name, tensor in tensors.items():
            if tensor.shape != needed[name].shape:
                raise RunError(
                    f"the tensor {name!r} has the shape {tuple(tensor.shape)} and should have "
                    f"{tuple(needed[name].shape)}",
                    where=str(weights),
                    mend=AGAIN,
                )
        network.load_state_dict(tensors, assign=True)
        return network.eval()


def _joined(networks: list[nn.Module]) -> nn.Module:
    return networks[0] if len(networks) == 1 else Members(networks)
