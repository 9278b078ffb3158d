"""Which network a model is, and its weights from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from nasrec.errors import RunError
from nasrec.nn import Blend, Inputs, Members, ModelOptions, NASRecNet, build_baseline
from nasrec.nn.parameters import shapes_only
from nasrec.space import Architecture
from nasrec.train.loop import derive_seed

NASREC, BLEND = "nasrec", "blend"
#: Of random numbers, beside those of `nasrec.train.loop`: first weights of further members.
MEMBER_STREAM = 11
AGAIN = "copy the folder again from where it was trained, or train the model again"


@dataclass(frozen=True)
class ModelSpec:
    """Which network a model is: enough to build it, without its weights.

    Attributes:
        model: `nasrec`, a name in `nasrec.nn.BASELINES`, or `blend`.
        inputs: the columns it reads.
        options: how it is made.
        architecture: of a NASRecNet; None for the hand-made models.
        parts: of a blend, the networks whose logits it adds up; see `blend_of`.
    """

    model: str
    inputs: Inputs
    options: ModelOptions
    architecture: Architecture | None = None
    parts: tuple[ModelSpec, ...] = ()

    def build(self, seed: int = 0) -> nn.Module:
        """The network, newly initialised; with several members each from another seed."""
        if self.parts:
            return Blend([part.build(seed) for part in self.parts])
        further = range(1, self.options.members)
        seeds = [seed, *(derive_seed(seed, MEMBER_STREAM, i) for i in further)]
        return _joined([self._one(seed=of_one) for of_one in seeds])

    def empty(self) -> nn.Module:
        """The network, its weights still to be filled in, where it is large at no cost."""
        if self.parts:
            return Blend([part.empty() for part in self.parts])
        if self.architecture is None:
            return self.build()
        return _joined([self._one(source=shapes_only) for _ in range(self.options.members)])

    def _one(self, **how: Any) -> nn.Module:
        if self.architecture is not None:
            return NASRecNet(self.architecture, self.inputs, self.options, **how)
        return build_baseline(self.model, self.inputs, self.options, **how)

    def load(self, weights: Path) -> nn.Module:
        """The network with the weights of a safetensors file.

        Raises:
            RunError: the file is damaged, or holds other tensors than the network has.
        """
        network = self.empty()
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


def blend_of(parts: Sequence[ModelSpec]) -> ModelSpec:
    """The blend of some networks on the same columns; options and architecture are the first's."""
    first = parts[0]
    return ModelSpec(BLEND, first.inputs, first.options, first.architecture, tuple(parts))


def _joined(networks: list[nn.Module]) -> nn.Module:
    return networks[0] if len(networks) == 1 else Members(networks)
