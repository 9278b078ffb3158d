"""From weights to ranked architectures."""

from nasrec.search.candidate import Candidate, Score
from nasrec.search.evaluate import SCORE_RECIPES, ScoreConfig, Scorer
from nasrec.search.evolution import Evolution, EvolutionSettings
from nasrec.search.goals import COSTS, Goals
from nasrec.search.guided import Guided, GuidedSettings
from nasrec.search.journal import Journal
from nasrec.search.method import METHODS, SearchMethod, register
from nasrec.search.nsga2 import NSGA2, NSGA2Settings
from nasrec.search.random import RandomSearch
from nasrec.search.ranking import search
from nasrec.search.relaxed import Progressive, ProgressiveSettings, Relaxed

__all__ = [
    "COSTS",
    "METHODS",
    "NSGA2",
    "SCORE_RECIPES",
    "Candidate",
    "Evolution",
    "EvolutionSettings",
    "Goals",
    "Guided",
    "GuidedSettings",
    "Journal",
    "NSGA2Settings",
    "Progressive",
    "ProgressiveSettings",
    "RandomSearch",
    "Relaxed",
    "Score",
    "ScoreConfig",
    "Scorer",
    "SearchMethod",
    "register",
    "search",
]
