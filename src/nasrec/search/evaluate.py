"""Scoring an architecture with the supernet's weights (method.md, section 5).

In the paper only the last FC is fine-tuned. All below it is frozen, so its outputs are features:
computed once, without a backward pass, and what is left to train is a logistic regression whose
gradient is written out. Candidates that are scored together share the computation of what they have
in common (`nasrec.nn.together`): of children of one parent that is most of it. The default of a
search fine-tunes all weights of a copy instead (`nasrec.search.finetune`): fewer steps, more work
in each, and a better order.

Legend: b rows of a mini-batch, H features a row.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from nasrec.errors import DataError, DivergenceError
from nasrec.nn import NASRecNet, SharedWeights, Together
from nasrec.search.candidate import Score
from nasrec.search.finetune import Scope, fine_tune
from nasrec.search.threads import in_threads
from nasrec.space import Architecture
from nasrec.train.calm import head_factor
from nasrec.train.config import Settings
from nasrec.train.loop import derive_seed
from nasrec.train.memory import keep_freed_memory
from nasrec.train.metrics import auc, grouped_auc, log_loss, normalized_entropy, to_device
from nasrec.train.optim import SCHEDULES
from nasrec.train.platt import calibration
from nasrec.train.rates import learn_rates

if TYPE_CHECKING:
    from nasrec.data import Batch, Split
    from nasrec.nn.rates import ClickRates

Item = TypeVar("Item")
Found = TypeVar("Found")
#: Blocks of rows come in multiples of it, for threads to end together.
BLOCKS = 2
_FINETUNE_STREAM, _VALID_STREAM = 11, 12


class ScoreConfig(Settings):
    """How a candidate is scored; the defaults are the paper's.

    Attributes:
        finetune_steps: steps of fine-tuning; 500 (paper). 0 scores the supernet's weights as they
            are.
        finetune_batch: rows a step; 512 (released code, Criteo and Avazu).
        finetune_rows: distinct training rows that the steps go through, again and again where
            they need more; None for as many as the steps need and the training split has. Fewer
            rows cost less: each row's features are computed once.
        valid_rows: validation rows to measure on; None for all.
        scope: what is fine-tuned: the last FC, `head` (paper); `norms`: that and gains and biases
            of all LayerNorms; or `all` weights, of a copy. The latter two go forward and backward
            through the network in every step, about three times the work of a forward pass, and
            nothing is kept: give them few steps.
        start: what a copy whose weights are `all` trained starts from: the `supernet`'s weights,
            or `scratch`, first weights of its own: then no supernet is needed.
        head: how the last FC is fine-tuned: `plain` (paper), or `calm`, at a rate that falls with
            its width (`nasrec.train.calm`).
        learning_rate: 0.04, of Adagrad (released code).
        eps: of Adagrad; 1e-2 (released code).
        schedule: constant or cosine (released code has both).
        warmup_fraction: share of the steps in which the rate rises from 0; 0 (released code).
        calibrate: fit a slope and an intercept of the logit to the validation rows first, as
            trainings do whose models are taken home (`nasrec.train.platt`): a candidate is not
            punished for a scale that they mend. Not in the paper.
        batch_size: rows whose features are computed at once; 4096 keeps the widest block's
            activations in tens of megabytes.
        cache_mb: most memory for features that are needed again. Larger ones are computed again
            for every pass.
    """

    finetune_steps: int = Field(default=500, ge=0)
    finetune_batch: int = Field(default=512, ge=1)
    finetune_rows: int | None = Field(default=None, ge=1)
    valid_rows: int | None = Field(default=None, ge=1)
    scope: Scope = "head"
    start: Literal["supernet", "scratch"] = "supernet"
    head: Literal["plain", "calm"] = "plain"
    learning_rate: float = Field(default=0.04, gt=0)
    eps: float = Field(default=1e-2, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_fraction: float = Field(default=0.0, ge=0, lt=1)
    calibrate: bool = False
    batch_size: int = Field(default=4096, ge=1)
    cache_mb: int = Field(default=512, ge=0)

    @model_validator(mode="after")
    def _trained_whole(self) -> ScoreConfig:
        if self.start == "scratch" and (self.scope != "all" or not self.finetune_steps):
            raise ValueError("start from scratch trains all weights: set scope to all, and steps")
        return self

    @property
    def copies(self) -> bool:
        """Whether a copy of each candidate is trained, which shares nothing with the others."""
        return self.scope != "head" and self.finetune_steps > 0

    @property
    def trained_rows(self) -> int:
        """Rows that a score's fine-tuning goes through, those that it repeats counted again."""
        return self.finetune_steps * self.finetune_batch


#: Ways to score, by name. `paper`: 500 steps of the last FC. `whole`: all weights of a copy, for a
#: fifth of the paper's rows. `scratch`: as many steps without a supernet, at the rates of a
#: training. What they are worth: docs/studies.md.
SCORE_RECIPES: dict[str, ScoreConfig] = {
    "paper": ScoreConfig(),
    "whole": ScoreConfig(scope="all", finetune_steps=100, calibrate=True),
    "scratch": ScoreConfig(
        scope="all", start="scratch", finetune_steps=100, learning_rate=0.12, schedule="cosine",
        warmup_fraction=0.1, calibrate=True,
    ),
}  # fmt: skip


class LastLayer:
    """Logistic regression on features by Adagrad: the last FC and its closed-form gradient.

    One step is that of `torch.optim.Adagrad` on the mean log loss, without autograd's overhead.
    It is bound by reading the features twice.
    """

    def __init__(self, weight: Tensor, bias: Tensor, eps: float, factor: float = 1.0) -> None:
        # (H,) and (1,), copies: the shared weights stay as they are
        self.weight, self.bias = weight.detach().clone(), bias.detach().clone().reshape(1)
        self.eps, self.factors = eps, (factor, 1.0)  # on the rates of weight and bias
        self._sums = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def logits(self, features_bH: Tensor) -> Tensor:
        """(b,) logits."""
        return torch.addmv(self.bias, features_bH, self.weight)

    def step(
        self, features_bH: Tensor, labels_b: Tensor, lr: float, weights_b: Tensor | None = None
    ) -> None:
        """One step on a mini-batch."""
        error_b = self.logits(features_bH).sigmoid_().sub_(labels_b)
        if weights_b is None:
            error_b.div_(len(labels_b))
        else:
            error_b.mul_(weights_b).div_(weights_b.sum())
        grads = torch.mv(features_bH.t(), error_b), error_b.sum(0, keepdim=True)
        for value, grad, total, factor in zip(
            (self.weight, self.bias), grads, self._sums, self.factors, strict=True
        ):
            total.addcmul_(grad, grad)
            value.addcdiv_(grad, total.sqrt().add_(self.eps), value=-lr * factor)


class Scorer:
    """Scores architectures on slices of the shared weights, which it never changes.

    A score depends on the shared weights, the rows and the settings, not on what was scored
    before. All candidates see the same rows in the same order, so their scores' differences have
    much less noise than the scores.

    Memory: the chosen rows (260 bytes each at 13 + 26 columns), for each thread one block of
    `batch_size` rows of activations and of features; and, if the fine-tuning goes through its rows
    more than once, their features up to `cache_mb`, of all that are scored together. Features
    that are used once are dropped block by block.

    Args:
        shared: trained shared weights.
        train: the training split; fine-tuning rows are drawn from it.
        valid: the validation split.
        config: settings.
        seed: decides the rows.
    """

    def __init__(
        self,
        shared: SharedWeights,
        train: Split,
        valid: Split,
        config: ScoreConfig | None = None,
        seed: int = 0,
    ) -> None:
        keep_freed_memory()
        self.shared, self.config = shared, config or ScoreConfig()
        self.train, self._rates = train, cast("ClickRates | None", None)
        c = self.config
        if not len(valid):
            raise DataError("there are no validation rows to score on")
        if c.finetune_steps and not len(train):
            raise DataError("there are no training rows to fine-tune on")
        self.batch = min(c.finetune_batch, max(1, len(train)))
        wanted = c.finetune_steps * self.batch
        rows = min(wanted, len(train), c.finetune_rows or wanted)
        # whole mini-batches, at least one
        rows = max(rows // self.batch, 1) * self.batch if wanted else 0
        self.batch = min(self.batch, rows) if rows else self.batch
        order = _draw(len(train), rows, derive_seed(seed, _FINETUNE_STREAM))
        self.finetune: Batch | None = train.take(order) if rows else None
        self.valid: Batch
        self.groups = valid.groups
        if c.valid_rows is None or c.valid_rows >= len(valid):
            self.valid = valid.rows(0, len(valid))
        else:
            chosen = np.sort(_draw(len(valid), c.valid_rows, derive_seed(seed, _VALID_STREAM)))
            self.valid = valid.take(chosen)
            self.groups = None if self.groups is None else self.groups[chosen]

    def score(self, architecture: Architecture) -> Score:
        """Fine-tune a copy of the architecture's last FC and measure it on validation rows."""
        return self.score_many([architecture])[0]

    __call__ = score

    def score_many(self, architectures: Sequence[Architecture]) -> list[Score]:
        """The score of each, as if scored alone; what several have in common is computed once.

        Architectures that are alike in all live parts are scored once, however they are spelt.
        Takes the more memory, the more they have in common: give it the children of one parent,
        not a whole population.
        """
        if not architectures:
            return []
        if self.config.copies and self.finetune is not None:
            return [self._score_trained(a, self.finetune) for a in architectures]
        networks = [self.shared.subnet(a).eval() for a in architectures]
        same = Together(networks).same
        scores: dict[int, Score] = {}
        for portion in self._portions({i: networks[i] for i in same}):
            found = self._score_together([networks[i] for i in portion])
            scores.update(zip(portion, found, strict=True))
        return [scores[i] for i in same]

    def _score_together(self, networks: Sequence[NASRecNet]) -> list[Score]:
        """Scores of networks that all compute something else."""
        together = Together(networks)
        with torch.inference_mode():
            layers = [self._layer(network) for network in networks]
            self._finetune(together, layers)
            logits: list[list[Tensor]] = [[] for _ in networks]
            for i, x, _ in self._features(together, self.valid):
                logits[i].append(layers[i].logits(x))
            whole = [torch.cat(parts) for parts in logits]
            return [score for _, score in self._side_by_side(self._measured, whole)]

    def _score_trained(self, architecture: Architecture, rows: Batch) -> Score:
        """The score of a copy that is fine-tuned below its last FC as well."""
        c, shared = self.config, self.shared
        if c.start == "scratch":
            network = NASRecNet(architecture, shared.inputs, shared.options, seed=shared.seed)
            network.to(shared.device)
            self._lend_rates(network)
        else:
            network = shared.extract(architecture)
        try:
            fine_tune(
                network,
                c.scope,
                rows,
                batch=self.batch,
                steps=c.finetune_steps,
                eps=c.eps,
                rate=lambda step: SCHEDULES[c.schedule](
                    step, c.finetune_steps, c.learning_rate, c.warmup_fraction
                ),
            )
        except DivergenceError:
            return self._measured(torch.full_like(self.valid.labels, math.nan))
        with torch.inference_mode():
            parts = [
                network(part.dense, part.sparse)
                for part in self._blocks(self.valid, network.head.bias.device)
            ]
        return self._measured(torch.cat(parts))

    def _lend_rates(self, network: NASRecNet) -> None:
        """Give a new network the click rates of the training rows, learned for the first one."""
        if network.rates is None:
            return
        if self._rates is None:
            learn_rates(network, self.train)
            self._rates = network.rates
        network.rates = self._rates

    def _blocks(self, rows: Batch, device: torch.device, multiple: int = 1) -> Iterator[Batch]:
        """Blocks of at most `batch_size` rows, a multiple of some number.

        More than one are equally large and a multiple of `BLOCKS`, so that threads end together.
        """
        total, size = len(rows.labels), max(1, self.config.batch_size // multiple) * multiple
        if total > size:
            count = math.ceil(total / size / BLOCKS) * BLOCKS
            size = math.ceil(total / count / multiple) * multiple
        for low in range(0, total, size):
            yield to_device(rows.map(operator.itemgetter(slice(low, low + size))), device)

    def _portions(self, networks: Mapping[int, NASRecNet]) -> Iterator[list[int]]:
        """Which are scored together: as many as the cache has room for, if it is used.

        Without room for their features all would be computed again for each pass.
        """
        bytes_of = {i: self._finetune_rows * n.head.madds * 4 for i, n in networks.items()}
        room = self.config.cache_mb * 2**20
        if self._passes <= 1 or sum(bytes_of.values()) <= room:
            yield list(networks)
            return
        if large := [i for i, size in bytes_of.items() if size > room]:
            yield large
        portion: list[int] = []
        for i in (i for i, size in bytes_of.items() if size <= room):
            if portion and sum(bytes_of[j] for j in (*portion, i)) > room:
                yield portion
                portion = []
            portion.append(i)
        if portion:
            yield portion

    @property
    def _finetune_rows(self) -> int:
        return 0 if self.finetune is None else len(self.finetune.labels)

    @property
    def _passes(self) -> int:
        """How often the fine-tuning goes through its rows."""
        batches = self._finetune_rows // self.batch
        return math.ceil(self.config.finetune_steps / batches) if batches else 0

    def _layer(self, network: NASRecNet) -> LastLayer:
        weight, bias = network.head.weight(), network.head.bias
        calm = self.config.head == "calm"
        return LastLayer(weight, bias, self.config.eps, head_factor(len(weight)) if calm else 1.0)

    def _measured(self, logits: Tensor) -> Score:
        y, w, g = self.valid.labels, self.valid.weights, self.groups
        loss = calibration(logits, y, w)[1] if self.config.calibrate else log_loss(logits, y, w)
        return Score(
            loss,
            auc(logits, y, w),
            len(logits),
            math.nan if g is None else grouped_auc(logits, y, g, w),
            normalized_entropy(loss, y, w),
        )

    def _features(
        self, together: Together, rows: Batch, multiple: int = 1
    ) -> Iterator[tuple[int, Tensor, Batch]]:
        """Block by block of rows, for each network its index, features (b, H) and their rows."""
        device = together.networks[0].head.bias.device

        def of_all(part: Batch) -> list[tuple[int, Tensor]]:
            with torch.inference_mode():
                return list(together.features(part.dense, part.sparse))

        for part, found in self._side_by_side(of_all, self._blocks(rows, device, multiple)):
            for i, features in found:
                yield i, features, part

    def _finetune(self, together: Together, layers: Sequence[LastLayer]) -> None:
        """Train the last layers, each by its own steps, in the order of the rows."""
        if self.finetune is None:
            return
        c, steps, b = self.config, self.config.finetune_steps, self.batch
        entries = self._finetune_rows * sum(layer.weight.numel() for layer in layers)
        keep = self._passes > 1 and entries * 4 <= c.cache_mb * 2**20
        kept: list[list[tuple[Tensor, Batch]]] = [[] for _ in layers]
        done = [0] * len(layers)
        schedule = SCHEDULES[c.schedule]

        def learn(i: int, features: Tensor, part: Batch) -> None:
            for low in range(0, len(part.labels), b):
                if done[i] == steps:
                    return
                lr = schedule(done[i], steps, c.learning_rate, c.warmup_fraction)
                mini = slice(low, low + b)
                weights = None if part.weights is None else part.weights[mini]
                layers[i].step(features[mini], part.labels[mini], lr, weights)
                done[i] += 1

        def learn_on(i: int) -> None:
            with torch.inference_mode():
                while done[i] < steps:
                    for features, part in kept[i]:
                        learn(i, features, part)

        if keep:
            for i, features, part in self._features(together, self.finetune, multiple=b):
                kept[i].append((features, part))
            list(self._side_by_side(learn_on, range(len(layers))))
            return
        while True:
            for i, features, part in self._features(together, self.finetune, multiple=b):
                learn(i, features, part)
                if min(done) == steps:
                    return

    def _side_by_side(
        self, call: Callable[[Item], Found], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Found]]:
        """Each item and what `call` makes of it, several at a time where torch has threads."""
        threads = torch.get_num_threads() if self.shared.device.type == "cpu" else 1
        if threads > 1:
            return in_threads(call, items, threads)
        return ((item, call(item)) for item in items)


def _draw(population: int, count: int, seed: int) -> NDArray[np.int64]:
    """Row numbers, distinct, in random order."""
    rng = np.random.default_rng(seed)
    return rng.choice(population, count, replace=False).astype(np.int64)
