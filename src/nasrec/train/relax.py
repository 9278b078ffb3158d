"""Learning a space's choices by gradients on a copy of its shared weights.

The full supernet runs with a weight on every choice (`nasrec.nn.relaxed`), drawn anew in each step:
a Gumbel softmax of learned logits where one of several is chosen, its binary kin for sources and
mergers, at a temperature that falls, so that the weights come near to choices. Rows are dealt into
two parts. A batch of one trains the weights under the gates as drawn, the next batch of the other
trains the logits (as DARTS and DNAS do: on the same rows a choice would be judged by what it has
learnt by heart).

All blocks are learnt together, or one after another: then the network ends with the block that is
learnt, and the blocks before it are as they were chosen.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from nasrec.errors import DataError, DivergenceError
from nasrec.nn import NASRecNet, SharedWeights
from nasrec.nn.relaxed import BlockGates, RelaxedNet, head_width
from nasrec.space import Architecture, Block, SearchSpace
from nasrec.space.choices import ANY_OF, ONE_OF, Choices, Floats, sizes
from nasrec.train.config import LoopConfig, Settings
from nasrec.train.loop import derive_seed, label_loss, steps_per_epoch, train_steps
from nasrec.train.optim import build_optimizer

if TYPE_CHECKING:
    from nasrec.data import Batch, Split

_SPLIT_STREAM, _GATES_STREAM, _CHOICES_STREAM, _START_STREAM = 31, 32, 33, 34


class RelaxConfig(Settings):
    """How choices are learnt.

    Attributes:
        rows: most training rows, drawn by the seed; None is all. Each is seen once an epoch.
        held_out: share of them that trains the choices; the rest trains the weights.
        epochs: passes.
        batch_size: rows a step, of both parts; 512, as in the supernet.
        learning_rate: of the weights, by Adagrad; they have been trained before.
        choice_rate: of the logits, by Adam. At 0.1 a few dozen steps of one sign decide a choice.
        warmup_fraction: share of the steps, at first, in which only the weights are trained.
        temperature: of the first gates; the last ones' is `end_temperature`, and it falls
            geometrically. FBNet (Wu et al., CVPR 2019) goes from 5 towards 0.
    """

    rows: int | None = Field(default=200_000, ge=10)
    held_out: float = Field(default=0.5, gt=0, lt=1)
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=512, ge=1)
    learning_rate: float = Field(default=0.04, gt=0)
    choice_rate: float = Field(default=0.1, gt=0)
    warmup_fraction: float = Field(default=0.2, ge=0, lt=1)
    temperature: float = Field(default=2.0, gt=0)
    end_temperature: float = Field(default=0.3, gt=0)


class Logits:
    """Learned numbers for every choice; zero at first, so that nothing is preferred.

    Args:
        space: whose choices.
        rank: None gives each its own number. Otherwise those that name sources are products of
            `rank` numbers for the block and as many for the source: what is learnt of a source in
            one block is there for the next.
        seed: of the blocks' numbers, which begin at random where there is a rank.
    """

    SOURCES = ("dense_inputs", "sparse_inputs", "left", "right")

    def __init__(self, space: SearchSpace, rank: int | None = None, seed: int = 0) -> None:
        self.space, self.rank = space, rank
        self.free: list[dict[str, Tensor]] = []
        self.of_block: dict[str, Tensor] = {}
        self.of_source: dict[str, Tensor] = {}
        for i in range(1, space.blocks + 1):
            kept = {n: k for n, k in sizes(space, i).items() if not rank or n not in self.SOURCES}
            self.free.append({n: torch.zeros(k, requires_grad=True) for n, k in kept.items()})
        if rank:
            random = torch.Generator().manual_seed(derive_seed(seed, _START_STREAM))
            for name in self.SOURCES:
                start = torch.randn(space.blocks, rank, generator=random) / math.sqrt(rank)
                self.of_block[name] = start.requires_grad_()
                self.of_source[name] = torch.zeros(space.blocks, rank, requires_grad=True)

    def of(self, block: int, name: str) -> Tensor:
        """(options,) of one choice of a block, counted from 1."""
        if self.rank and name in self.SOURCES:
            return self.of_source[name][:block] @ self.of_block[name][block - 1]
        return self.free[block - 1][name]

    def parameters(self) -> list[Tensor]:
        """What is learnt."""
        free = [tensor for block in self.free for tensor in block.values()]
        return [*free, *self.of_block.values(), *self.of_source.values()]

    @torch.no_grad()
    def choices(self) -> Choices:
        """The distribution that they stand for, without noise."""
        return Choices(
            self.space,
            tuple(
                {
                    name: (
                        torch.softmax(self.of(i, name).double(), 0)
                        if name in ONE_OF
                        else torch.sigmoid(self.of(i, name).double())
                    ).numpy()
                    for name in (*ONE_OF, *ANY_OF)
                }
                for i in range(1, self.space.blocks + 1)
            ),
        )


def learn_choices(
    shared: SharedWeights,
    train: Split,
    config: RelaxConfig,
    seed: int = 0,
    *,
    rank: int | None = None,
    block_by_block: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Choices:
    """Learn which choices are good; the shared weights stay as they are.

    Args:
        shared: trained weights of a space of one operator a branch; a copy is trained on.
        train: rows of which `config.rows` are used.
        config: settings.
        seed: decides the rows, their order and all noise.
        rank: see `Logits`.
        block_by_block: learn one block after another, each in an equal share of the steps.
        progress: called with steps done and planned.

    Raises:
        DataError: there are fewer than two rows.
        DivergenceError: a loss is not finite.
    """
    return Learning(shared, train, config, seed, rank).run(block_by_block, progress)


class Learning:
    """The state of one learning: see `learn_choices`, whose arguments it takes.

    Attributes:
        shared: the copy that is trained.
        fixed: gates of the blocks that are chosen.
        depth: the block that the network ends with.
    """

    def __init__(
        self,
        shared: SharedWeights,
        train: Split,
        config: RelaxConfig,
        seed: int,
        rank: int | None = None,
    ) -> None:
        self.shared, self.config, self.seed = copy.copy(shared), config, seed
        self.shared.device = torch.device("cpu")  # so little is computed at once
        self.shared.tensors = {name: t.to("cpu", copy=True) for name, t in shared.tensors.items()}
        self.space = shared.space
        self.logits = Logits(self.space, rank, seed)
        self.adam = torch.optim.Adam(self.logits.parameters(), lr=config.choice_rate)
        self.fixed: list[BlockGates] = []
        count = min(len(train), config.rows or len(train))
        if count < 2:
            raise DataError("there are too few training rows to learn choices from")
        order = np.random.default_rng(derive_seed(seed, _SPLIT_STREAM)).permutation(len(train))
        held = min(count - 1, max(1, round(count * config.held_out)))
        self.weight_rows = train.chosen(order[held:count])
        self.choice_rows = train.chosen(order[:held])
        self.click_rate = train.click_rate

    def run(self, block_by_block: bool, progress: Callable[[int, int], None] | None) -> Choices:
        """All steps; see `learn_choices`."""
        c, blocks = self.config, self.space.blocks
        loop = LoopConfig(epochs=c.epochs, batch_size=c.batch_size, learning_rate=c.learning_rate)
        total = steps_per_epoch(self.weight_rows, loop) * c.epochs
        optimizer = build_optimizer(loop, self._shape)
        held_out = self._held_out()
        stages = blocks if block_by_block else 1
        ends = [round(total * (s + 1) / stages) for s in range(stages)]
        self._begin_stage(1 if block_by_block else blocks)
        stage, begin = 0, 0
        decided: list[Mapping[str, Floats]] = []

        def network_for(step: int) -> nn.Module:
            return self._network(step, self._share(step, begin, ends[stage]), learn=False)

        for step in train_steps(network_for, self.weight_rows, optimizer, loop, self.seed):
            share = self._share(step.done, begin, ends[stage])
            if share > c.warmup_fraction:
                self._learn(step.done, share, next(held_out))
            while block_by_block and stage + 1 < stages and step.done >= ends[stage]:
                stage, begin = stage + 1, step.done
                found = self.logits.choices()
                decided.append(found.blocks[stage - 1])  # its logits move on with the sources'
                self.fixed.append(self.chosen(found.likeliest().blocks[stage - 1]))
                self._begin_stage(stage + 1)
            if progress is not None:
                progress(step.done, total)
        last = self.logits.choices().blocks[len(decided) :]
        return Choices(self.space, (*decided, *last))

    @staticmethod
    def _share(step: int, begin: int, end: int) -> float:
        return min(1.0, (step - begin) / max(1, end - begin))

    def _shape(self, name: str) -> torch.Size:
        return self.head[name].shape if name in self.head else self.shared.shape(name)

    def _begin_stage(self, depth: int) -> None:
        """A last FC for networks that end with a block; it starts at the base rate."""
        self.depth = depth
        network = self.shared.subnet(self.space.maximal())
        rate = min(max(self.click_rate, 1e-6), 1 - 1e-6)
        weight = torch.zeros(head_width(network, depth))
        if network.first_order is not None:
            weight[-1] = 1.0  # the linear part's, as in `nn.network.Head`
        self.head = {
            f"relaxed.{depth}.weight": nn.Parameter(weight),
            f"relaxed.{depth}.bias": nn.Parameter(torch.tensor([math.log(rate / (1 - rate))])),
        }

    def _held_out(self) -> Iterator[Batch]:
        epoch = 0
        while True:
            shuffle = derive_seed(self.seed, _CHOICES_STREAM, epoch)
            yield from self.choice_rows.batches(self.config.batch_size, shuffle_seed=shuffle)
            epoch += 1

    def _learn(self, step: int, share: float, batch: Batch) -> None:
        """One step of the logits."""
        network = self._network(step, share, learn=True)
        loss = label_loss(network, batch)
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"the loss of the relaxed network is {loss.item()}",
                where=f"step {step}",
                mend=f"lower the learning rate (it is {self.config.learning_rate})",
            )
        parameters = self.logits.parameters()
        for tensor, grad in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        ):
            tensor.grad = grad
        self.adam.step()

    def _network(self, step: int, share: float, learn: bool) -> RelaxedNet:
        """The relaxed network with gates drawn for a step; `learn` keeps their graph."""
        c = self.config
        temperature = c.temperature * (c.end_temperature / c.temperature) ** share
        random = torch.Generator().manual_seed(derive_seed(self.seed, _GATES_STREAM, step, learn))
        with torch.set_grad_enabled(learn):
            drawn = [
                self._drawn(i, temperature, random)
                for i in range(len(self.fixed) + 1, self.depth + 1)
            ]
        gates = [*self.fixed, *drawn]
        return RelaxedNet(self.maximal(gates), gates, self.head)

    def maximal(self, gates: Sequence[BlockGates]) -> NASRecNet:
        """The network of everything, with the pairs of the gates."""
        blocks = list(self.space.maximal().blocks)
        for i, block_gates in enumerate(gates):
            left, right = block_gates.pair
            blocks[i] = dataclasses.replace(blocks[i], left=left, right=right)
        return self.shared.subnet(Architecture(tuple(blocks)))

    def _drawn(self, block: int, temperature: float, random: torch.Generator) -> BlockGates:
        """Gates between choices: each logit with its noise, at a temperature."""
        noisy = {}
        for name in (*ONE_OF, *ANY_OF):
            logits = self.logits.of(block, name)
            uniform = torch.rand(logits.shape, generator=random).clamp(1e-6, 1 - 1e-6)
            gumbel, logistic = -(-uniform.log()).log(), uniform.logit()
            noisy[name] = logits + (gumbel if name in ONE_OF else logistic)
        weights = {
            name: torch.softmax(x / temperature, 0)
            if name in ONE_OF
            else torch.sigmoid(x / temperature)
            for name, x in noisy.items()
        }
        pair = (int(noisy["left"].argmax()), int(noisy["right"].argmax()))
        return BlockGates.of(self.space, weights, pair)

    def chosen(self, block: Block) -> BlockGates:
        """Gates of one and zero: exactly a block."""

        def only(count: int, *chosen: int) -> Tensor:
            return torch.zeros(count).index_fill(0, torch.tensor(chosen, dtype=torch.int64), 1.0)

        space = self.space
        sources = len(self.fixed) + 1  # of the next block
        mergers = [k for k, on in enumerate((block.dense_to_sparse, block.sparse_to_dense)) if on]
        weights = {
            "dense_ops": only(len(space.dense_ops), *map(space.dense_ops.index, block.dense_ops)),
            "sparse_ops": only(
                len(space.sparse_ops), *map(space.sparse_ops.index, block.sparse_ops)
            ),
            "dense_dim": only(len(space.dense_dims), space.dense_dims.index(block.dense_dim)),
            "sparse_dim": only(len(space.sparse_dims), space.sparse_dims.index(block.sparse_dim)),
            "left": only(sources, block.left),
            "right": only(sources, block.right),
            "dense_inputs": only(sources, *block.dense_inputs),
            "sparse_inputs": only(sources, *block.sparse_inputs),
            "mergers": only(2, *mergers),
        }
        return BlockGates.of(space, weights, (block.left, block.right))
