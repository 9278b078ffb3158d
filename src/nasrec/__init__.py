"""Designs click-through-rate models for your data by weight-sharing architecture search.

The functions underneath a search, on files that are there when the tests run this:

    >>> import nasrec
    >>> data = nasrec.prepare("log.csv", "data", label="click")
    >>> data.train.click_rate < 0.5
    True
    >>> model = nasrec.train(data, "mlp", "mlp")
    >>> model.predict_proba("new-rows.csv").shape
    (50,)
    >>> told = nasrec.predict("mlp", "new-rows.csv", "scores.csv", keep=["id"])
    >>> told.rows, told.drift[0].column
    (50, 'I1')
    >>> nasrec.load("mlp").evaluate(data.path).rows
    40
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasrec.config import SearchConfig as SearchConfig
    from nasrec.data import PreparedData as PreparedData
    from nasrec.data import Schema as Schema
    from nasrec.data import prepare as prepare
    from nasrec.errors import NasrecError as NasrecError
    from nasrec.estimator import NASRecClassifier as NASRecClassifier
    from nasrec.pipeline import Comparison as Comparison
    from nasrec.pipeline import Run as Run
    from nasrec.pipeline import compare as compare
    from nasrec.pipeline import open_run as open_run
    from nasrec.pipeline import search as search
    from nasrec.pipeline import train as train
    from nasrec.serve import Model as Model
    from nasrec.serve import load_model as load
    from nasrec.serve import predict as predict
    from nasrec.space import Architecture as Architecture
    from nasrec.space import SearchSpace as SearchSpace

#: Where each public name is defined. Nothing is imported before it is asked for: torch and polars
#: take seconds to load, which `nasrec --help` need not wait for.
_PUBLIC = {
    "Architecture": "nasrec.space",
    "Comparison": "nasrec.pipeline",
    "Model": "nasrec.serve",
    "NASRecClassifier": "nasrec.estimator",
    "NasrecError": "nasrec.errors",
    "PreparedData": "nasrec.data",
    "Run": "nasrec.pipeline",
    "Schema": "nasrec.data",
    "SearchConfig": "nasrec.config",
    "SearchSpace": "nasrec.space",
    "compare": "nasrec.pipeline",
    "load": "nasrec.serve",
    "open_run": "nasrec.pipeline",
    "predict": "nasrec.serve",
    "prepare": "nasrec.data",
    "search": "nasrec.pipeline",
    "train": "nasrec.pipeline",
}
_RENAMED = {"load": "load_model"}

# Without NASRecClassifier: a star import must not need scikit-learn.
__all__ = [
    "Architecture",
    "Comparison",
    "Model",
    "NasrecError",
    "PreparedData",
    "Run",
    "Schema",
    "SearchConfig",
    "SearchSpace",
    "compare",
    "load",
    "open_run",
    "predict",
    "prepare",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nasrec' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


class _Package(ModuleType):
    """Keeps `nasrec.search` and `nasrec.train` the functions.

    Importing a sub-package binds its name in the package; for these two that would hide the
    functions as soon as anything imports the rooms of the same name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
