"""From weights to ranked architectures."""

from nasrec.search.candidate import Candidate, Score, ranked, top
from nasrec.search.evaluate import ScoreConfig, Scorer
from nasrec.search.evolution import Evolution, EvolutionSettings
from nasrec.search.journal import Journal
from nasrec.search.method import METHODS, SearchMethod, register
from nasrec.search.random import RandomSearch
from nasrec.search.ranking import search

__all__ = [
    "METHODS",
    "Candidate",
    "Evolution",
    "EvolutionSettings",
    "Journal",
    "RandomSearch",
    "Score",
    "ScoreConfig",
    "Scorer",
    "SearchMethod",
    "ranked",
    "register",
    "search",
    "top",
]
