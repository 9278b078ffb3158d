"""All settings of a search: frozen, validated, written resolved into every run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nasrec.errors import ConfigError
from nasrec.nn import BASELINES, ModelOptions, build_baseline
from nasrec.nn.inputs import Inputs
from nasrec.search import METHODS, SCORE_RECIPES, EvolutionSettings, Goals, ScoreConfig
from nasrec.search.goals import parse_objectives
from nasrec.space import NASREC_PLUS, SearchSpace, load_space
from nasrec.train.config import Settings, SupernetConfig, TrainConfig
from nasrec.train.criteria import CriterionName
from nasrec.train.device import PATTERN
from nasrec.train.recipes import FROM_SCRATCH, RECIPES, Recipe, in_passes
from nasrec.train.relax import RelaxConfig


def _space(value: Any) -> Any:
    """A name or file becomes its content, so that a run does not depend on a file's later fate."""
    if isinstance(value, SearchSpace):
        return value
    return SearchSpace.from_dict(value) if isinstance(value, dict) else load_space(value)


#: A search space among settings: a name, a file's path, its content, or a SearchSpace.
Space = Annotated[SearchSpace, BeforeValidator(_space)]

#: Most training rows of a log whose candidates are scored from scratch if nothing else is asked.
#: On logs of 200,000 that was measured to be the better way (docs/studies.md); on much larger ones
#: nobody has compared them, and the rows of a score are a smaller share.
SCRATCH_ROWS = 250_000

#: How the networks of a search and of a leaderboard are made, but for what a recipe says of it.
MODEL = ModelOptions(layer_norm=False, first_order=True, bends=True)


def evolution_for(evaluations: int) -> EvolutionSettings:
    """The paper's evolution scaled to a number of evaluations.

    The population is a fifth of the evaluations and at most the paper's 128: with less, most of a
    short search would be spent on random architectures. Half of it meets in a tournament, as in
    the paper.
    """
    population = max(1, min(128, round(evaluations / 5)))
    children = 8 if evaluations >= 200 else 4
    return EvolutionSettings(
        population=population,
        tournament=max(1, population // 2),
        children=children,
        generations=math.ceil(max(0, evaluations - population) / children),
    )


#: The hand-made models that a search compares with if it is not told others: from the plainest to
#: the one the paper starts from. Each further one costs as many trainings as the NASRecNet has.
DEFAULT_BASELINES = ("logreg", "mlp", "dlrm")


#: Learning rates of one network: from a quarter of its recipe's to four times that.
MOST_RATES = 5
#: Random networks on which the recipes are tried before candidates are trained each for itself.
PROBES = 2


class SearchConfig(Settings):
    """Settings of a whole search, from the supernet to the leaderboard.

    Attributes:
        seed: decides the split, all initial weights, the order of rows, and what is sampled.
        device: where the supernet and the models are trained and candidates scored: `cpu`, `cuda`
            or `cuda:1`. What the methods relaxed and progressive learn, latencies and the final
            tests are computed on the CPU.
        space: what can be built; a name, the path of a YAML file, or a SearchSpace. `plus` is
            ours: the paper's Small and a layer over numbers and all embeddings.
        model: how every model of the leaderboard is made, but for what a recipe says of it; full
            embedding tables, no cap.
        supernet_layer_norm: LayerNorm in the supernet (paper: on, it keeps training stable).
        supernet_embedding_cap: most rows of a table during the search (paper: 500,000).
        search_rows: train the supernet, or each candidate for itself, on so many rows, drawn by the
            seed; the latter are measured on at most so many as well. None is all.
        supernet: training of the shared weights.
        scoring: how a candidate is scored that has no training of its own: changes of `whole`, or
            the name of a recipe in `nasrec.search.SCORE_RECIPES`. `whole` trains a copy of it from
            the supernet's weights for 100 steps; `paper` its last FC for 500; `scratch` trains it
            for 100 steps from scratch, and there is no supernet. None is `scratch` for a log of
            at most `SCRATCH_ROWS` training rows, else `whole`: what was measured to order better
            (docs/studies.md), as far as it was. Where a supernet is asked for, by `score_by`, by
            settings of it or by a method that learns from it, it is `whole`.
        criterion: what quality is: `logloss`, `auc`, `grouped-auc` or `normalized-entropy`. It
            ranks candidates, chooses among trainings on validation and stops them early; the loss
            that is trained is log loss in any case.
        costs: what is to be low as well, and makes the search one for a front: any of `madds`,
            `weights`, `bytes`, `latency`, each of the standalone network.
        score_by: what scores a candidate. `supernet`: the shared weights (paper), one training for
            all candidates. `training`: a training of its own by `retrain`, as in AutoCTR (Song et
            al., 2020), by the recipe that does best on two random networks; where the log is small
            that is affordable, and it orders candidates as they will be ordered at the end. None is
            what `scoring` says, and with a budget a training where the time allows.
        second_looks: where a candidate has a training of its own, so many of the best have a second
            one, with another seed, and the order of both together decides which are first. With
            `search_rows` they are the best of each size, on more rows, and the second one decides.
        method: evolution (the paper's), random search, guided (evolution whose children a learned
            ranker chooses), relaxed (draws from choices learnt by gradients), progressive (the
            same, block after block), or nsga2, over the same scores; None is
            evolution, and nsga2 where there are costs.
        evolution: sizes of the evolution.
        relaxation: how the methods relaxed and progressive learn.
        evaluations: number of candidates to score; None is what `evolution` plans.
        max_madds: score no architecture that needs more multiply-adds a row;
        max_weights: has more weights beside its embeddings;
        max_bytes: is larger when stored, embeddings included;
        max_p99_ms: or takes more milliseconds a batch at the 99th percentile, measured here.
        latency_batch: rows of a batch when latency is measured.
        top_k: so many of the best are trained from scratch (paper: 15); with costs, points spread
            over the front.
        rates: learning rates that the very best is trained at: what its recipe has, half, twice, a
            quarter ... of that.
        retrain: training from scratch, the same for all models.
        blend: so many trainings of a family are one model at most: its logit is the mean of theirs.
            Validation says which and how many (`nasrec.pipeline.blend`). 1 is the best alone, as it
            is with costs as goals or a limit on latency. Other limits hold for all of a blend.
        recipes: ways to train that each family of models tries, its best architecture first; other
            rates, and the others of the top k, are tried with the recipe that was best then. Every
            hand-made model has as many trainings: after the recipes, other learning rates.
        baseline_trials: trainings of each hand-made model, where it shall have more (or fewer) than
            the NASRecNet; None is as many.
        baselines: the hand-made models to compare with, by name (`nasrec models` lists all).
        match_size: give the hand-made models hidden widths such that their weights number about
            as many as those of the NASRecNet that was chosen; off, they have `model.hidden`.
        from_scratch_random: train so many random architectures of the space from scratch too: the
            paper's random-search baseline.
    """

    seed: int = Field(default=0, ge=0)
    device: str = Field(default="cpu", pattern=PATTERN)
    space: Space = NASREC_PLUS
    model: ModelOptions = MODEL
    supernet_layer_norm: bool = True
    supernet_embedding_cap: int | None = Field(default=500_000, ge=1)
    search_rows: int | None = Field(default=None, ge=1)
    supernet: SupernetConfig = SupernetConfig()
    scoring: ScoreConfig | None = None
    criterion: CriterionName = "logloss"
    costs: tuple[str, ...] = ()
    score_by: Literal["supernet", "training"] | None = None
    second_looks: int = Field(default=4, ge=0)
    method: Literal["evolution", "random", "nsga2", "guided", "relaxed", "progressive"] | None = (
        None
    )
    evolution: EvolutionSettings = evolution_for(400)
    relaxation: RelaxConfig = RelaxConfig()
    evaluations: int | None = Field(default=None, ge=1)
    max_madds: int | None = Field(default=None, ge=1)
    max_weights: int | None = Field(default=None, ge=1)
    max_bytes: int | None = Field(default=None, ge=1)
    max_p99_ms: float | None = Field(default=None, gt=0)
    latency_batch: int = Field(default=1, ge=1)
    top_k: int = Field(default=4, ge=1)
    rates: int = Field(default=2, ge=1)
    retrain: TrainConfig = FROM_SCRATCH
    blend: int = Field(default=4, ge=1)
    recipes: tuple[Recipe, ...] = Field(default=RECIPES, min_length=1)
    baseline_trials: int | None = Field(default=None, ge=1)
    baselines: tuple[str, ...] = DEFAULT_BASELINES
    match_size: bool = False
    from_scratch_random: int = Field(default=0, ge=0)

    @field_validator("scoring", mode="before")
    @classmethod
    def _recipe(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in SCORE_RECIPES:
            raise ValueError(f"known: {', '.join(SCORE_RECIPES)}")
        return SCORE_RECIPES[value]

    @field_validator("model", "retrain", "scoring", mode="before")
    @classmethod
    def _changed(cls, value: Any, info: ValidationInfo) -> Any:
        """A mapping changes the defaults in what it says; the rest stays."""
        if not isinstance(value, Mapping):
            return value
        default = cls.model_fields[info.field_name or ""].default or SCORE_RECIPES["whole"]
        return {**RootModel[Any](default).model_dump(), **value}

    @field_validator("baselines")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BASELINES:
                build_baseline(name, Inputs(1, ()))  # raises, with the nearest names
        return tuple(dict.fromkeys(names))

    @field_validator("recipes")
    @classmethod
    def _told_apart(cls, recipes: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
        names = [recipe.name for recipe in recipes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two recipes are called {twice[0]!r}")
        return recipes

    @field_validator("costs")
    @classmethod
    def _priced(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        criterion, costs = parse_objectives(",".join(names))
        if criterion is not None:
            raise ValueError(f"{criterion} is no cost: give it as criterion")
        return costs

    @model_validator(mode="after")
    def _one_criterion(self) -> SearchConfig:
        if self.retrain.criterion not in ("logloss", self.criterion):
            raise ValueError("retrain.criterion is that of the search: set criterion instead")
        if self.costs and self.method not in (None, "nsga2", "random"):
            raise ValueError(
                f"method {self.method} has one goal: choose nsga2 or random, or leave out the costs"
            )
        return self

    @model_validator(mode="after")
    def _enough(self) -> SearchConfig:
        if self.planned_evaluations < self.top_k:
            raise ValueError(
                f"top_k ({self.top_k}) may not exceed the evaluations ({self.planned_evaluations})"
            )
        return self

    @property
    def planned_evaluations(self) -> int:
        """How many candidates are scored."""
        if self.evaluations is not None:
            return self.evaluations
        e = self.evolution
        return e.population + e.generations * e.children

    @property
    def goals(self) -> Goals:
        """What the search minimises."""
        return Goals(self.criterion, self.costs)

    @property
    def scored_by(self) -> Literal["supernet", "steps", "training"]:
        """What scores a candidate: `steps` are a few from scratch, which need no supernet."""
        if self.score_by == "training":
            return "training"
        return "steps" if self.score_recipe.start == "scratch" else "supernet"

    @property
    def score_recipe(self) -> ScoreConfig:
        """`scoring`, or `whole` where the log has not decided."""
        return self.scoring or SCORE_RECIPES["whole"]

    def for_log(self, train_rows: int) -> SearchConfig:
        """The settings with what depends on the number of training rows: `scoring`."""
        if self.scoring is not None:
            return self
        asked = self.search_rows is not None or self.supernet != SupernetConfig()
        asked |= self.score_by == "supernet" or METHODS[self.search_method].learns
        few = train_rows <= SCRATCH_ROWS and not asked
        return self.replaced(scoring="scratch" if few else "whole")

    @property
    def search_method(self) -> str:
        """The method's name."""
        return self.method or ("nsga2" if self.costs else "evolution")

    @property
    def training(self) -> TrainConfig:
        """`retrain`, on the device, stopped and chosen by the criterion."""
        return self.retrain.model_copy(update={"criterion": self.criterion, "device": self.device})

    @property
    def trainings(self) -> int:
        """Trainings from scratch of each family of models."""
        return self.top_k + len(self.recipes) + self.rates - 2

    @property
    def most_blended(self) -> int:
        """How many trainings may be one model: one where costs are goals or latency is limited."""
        return 1 if self.costs or self.max_p99_ms is not None else self.blend

    @property
    def probings(self) -> int:
        """Trainings that choose the recipe by which candidates are trained each for itself."""
        return PROBES * len(self.recipes) if len(self.recipes) > 1 else 0

    @property
    def supernet_options(self) -> ModelOptions:
        """How networks on shared weights are made."""
        return dataclasses.replace(
            self.model,
            layer_norm=self.supernet_layer_norm,
            batch_norm=False,  # its averages would be those of no subnet
            click_rates=self.model.click_rates and self.scored_by != "supernet",
            embedding_cap=self.supernet_embedding_cap,
        )

    def suited(self, inputs: Inputs) -> SearchConfig:
        """The same search by the recipes that suit these columns; ConfigError if none does."""
        recipes = tuple(recipe for recipe in self.recipes if recipe.suits(inputs, self.model))
        if not recipes:
            raise ConfigError(
                f"the embedding tables are too large for every recipe: {sum(inputs.vocabulary):,} "
                f"rows of {self.model.embedding_dim}",
                mend="raise most_table_weights of a recipe, or min_count in the schema",
            )
        return self.replaced(recipes=recipes)

    def with_trainings(self, count: int) -> SearchConfig:
        """The same search with so many trainings of each family: recipes go first, as they change
        most; then come rates, up to `MOST_RATES`, in turn with other architectures, as far as there
        are candidates."""
        recipes = self.recipes[:count]
        further = count - len(recipes)
        others = max(further // 2, further - MOST_RATES + 1)
        top_k = min(1 + others, self.planned_evaluations)
        return self.replaced(recipes=recipes, rates=further + 2 - top_k, top_k=top_k)

    def with_evaluations(self, evaluations: int) -> SearchConfig:
        """The same search with another number of candidates, its evolution scaled to it."""
        return self.replaced(evaluations=evaluations, evolution=evolution_for(evaluations))

    def replaced(self, **changes: Any) -> SearchConfig:
        """A copy with some settings changed, validated."""
        return SearchConfig(
            **{name: getattr(self, name) for name in type(self).model_fields} | changes
        )


def model_options(embedding_dim: int, **options: Any) -> ModelOptions:
    """Options for an embedding width, with the largest number of heads up to 8 that divides it."""
    return ModelOptions(
        embedding_dim=embedding_dim, heads=math.gcd(8, max(1, embedding_dim)), **options
    )


def config_from_options(
    file: str | Path | None = None, budget: float | None = None, **given: Any
) -> SearchConfig:
    """Settings from a file and from a few flat options, as a command line has them.

    Args:
        file: a YAML or JSON file of `SearchConfig` fields; options go before it.
        budget: minutes; refused together with the sizes that it chooses.
        given: options; None leaves a setting as it is.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if budget is not None and (both := [n for n in _BUDGETED if n in given]):
        option = "--" + both[0].replace("_", "-")
        raise ConfigError(
            f"--budget chooses {option}", where="command line", mend="give one of the two"
        )
    settings = {} if file is None else _settings_file(Path(file))
    config = SearchConfig(**settings)
    changes: dict[str, Any] = {}
    for name, value in given.items():
        room, _, field = _OPTIONS.get(name, name).partition(".")
        if name == "embedding_dim":
            model = changes.get("model", config.model)
            heads = model_options(value).heads
            changes["model"] = dataclasses.replace(model, embedding_dim=value, heads=heads)
        elif name == "members":
            changes["model"] = dataclasses.replace(
                changes.get("model", config.model), members=value
            )
        elif name == "layer_norm":
            changes["recipes"] = tuple(
                recipe.model_copy(update={"layer_norm": value}) for recipe in config.recipes
            )
        elif name == "objective":
            criterion, changes["costs"] = parse_objectives(value)
            if criterion is not None and given.get("criterion", criterion) != criterion:
                raise ConfigError(
                    f"--objective names {criterion} and --criterion {given['criterion']}",
                    where="command line",
                    mend="give one of the two",
                )
            changes |= {} if criterion is None else {"criterion": criterion}
        elif name == "evaluations":
            changes |= {"evaluations": value, "evolution": evolution_for(value)}
        elif name == "retrain_epochs":
            changes["retrain"] = in_passes(changes.get("retrain", config.retrain), value)
        elif field:
            part = changes.get(room, getattr(config, room))
            changes[room] = type(part)(**part.model_dump() | {field: value})
        else:
            changes[room] = value
    return config.replaced(**changes)


#: Where the flat options of the command line live among the settings, if not under their name.
_OPTIONS = {
    "epochs": "supernet.epochs",
    "batch_size": "supernet.batch_size",
    "retrain_batch_size": "retrain.batch_size",
    "learning_rate": "retrain.learning_rate",
}
_BUDGETED = ("epochs", "search_rows", "evaluations", "top_k")


def _settings_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=str(path), mend="check the path"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from None
    if not isinstance(content, dict):
        raise ConfigError("not a mapping of settings", where=str(path))
    if set(content) == {"settings", "fingerprint", "budget_minutes", "measured"}:
        content = content["settings"]  # the config.json of a run
    return dict(content)
