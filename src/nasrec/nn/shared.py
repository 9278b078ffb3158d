"""The supernet: a store of shared tensors that lends slices of them to ordinary networks."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nasrec.errors import ConfigError, RunError
from nasrec.files import written_aside
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.network import Limits, NASRecNet
from nasrec.nn.parameters import Axis, Init, leading, limit, seeded_generator, shapes_only
from nasrec.space.architecture import Architecture
from nasrec.space.space import SearchSpace

FORMAT = "nasrec-shared-weights/1"


class SharedWeights:
    """All weights of a search space; every architecture's network is a set of views of them.

    A tensor is as long on each axis as the space's widest choice needs, and a network is lent its
    leading slice. So training a subnet trains exactly the weights that its standalone twin would
    have (spec/method.md, "what sharing means here").

    Tensors are made when first asked for. Each has a random stream of its own, by name, so their
    values do not depend on the order.

    Attributes:
        device: where they are, and with them all subnets.
        tensors: the shared tensors by parameter name.
    """

    def __init__(
        self,
        space: SearchSpace,
        inputs: Inputs,
        options: ModelOptions | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.space, self.inputs, self.seed = space, inputs, seed
        self.device = torch.device(device)
        self.options = options or ModelOptions()
        if self.options.batch_norm:
            raise ConfigError(
                "a supernet has no batch normalisation: its statistics are those of one network",
                mend="use layer_norm, which every subnet computes anew",
            )
        self.limits = Limits(max(space.dense_dims), max(space.sparse_dims))
        self.tensors: dict[str, Tensor] = {}

    def subnet(self, architecture: Architecture) -> NASRecNet:
        """The architecture's network on views: a step on its parameters changes the store.

        Raises:
            ConfigError: the options ask for click rates, which no supernet has learned.
        """
        if self.options.click_rates:
            raise ConfigError(
                "networks of a supernet do not read click rates",
                mend="make it with click_rates off",
            )
        net = NASRecNet(
            architecture, self.inputs, self.options, limits=self.limits, source=self._lend
        )
        return net if self.device.type == "cpu" else net.to(self.device)  # its fixed indices

    def extract(self, architecture: Architecture) -> NASRecNet:
        """A standalone copy of the architecture's network, with weights of its own."""
        net = NASRecNet(architecture, self.inputs, self.options, source=shapes_only)
        lent = self.subnet(architecture).state_dict()
        net.load_state_dict({name: tensor.clone() for name, tensor in lent.items()}, assign=True)
        return net.to(self.device)

    def shape(self, name: str) -> torch.Size:
        """Full shape of a shared tensor that some subnet has used."""
        return self.tensors[name].shape

    def _lend(self, name: str, axes: tuple[Axis, ...], init: Init) -> nn.Parameter:
        shared = self.tensors.get(name)
        if shared is None:
            shared = torch.empty([axis.limit for axis in axes])
            init(shared, seeded_generator(self.seed, name), limit)
            self.tensors[name] = shared = shared.to(self.device)
        return nn.Parameter(leading(shared, [axis.size for axis in axes]))

    def save(self, path: Path) -> None:
        """Write all tensors to one safetensors file, whole or not at all."""
        with written_aside(path) as aside:
            save_file(self.tensors, aside, metadata={"format": FORMAT, "seed": str(self.seed)})

    def load(self, path: Path) -> None:
        """Read the tensors `save` wrote; RunError if the file is damaged or of another seed."""
        try:
            with safe_open(path, framework="pt", device=str(self.device)) as file:
                if (file.metadata() or {}).get("format") != FORMAT:
                    raise RunError("not a file of shared weights", where=str(path))
                self.seed = int(file.metadata()["seed"])
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"cannot be read: {error}", where=str(path), mend="train the supernet again"
            ) from None
