"""The search as a scikit-learn classifier."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from nasrec.config import SearchConfig
from nasrec.data import Column, Schema, infer_schema
from nasrec.errors import NasrecError
from nasrec.pipeline import Reporter, search
from nasrec.pipeline.tracking import Listener
from nasrec.serve import Model

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_y, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "NASRecClassifier needs scikit-learn 1.6 or newer: pip install 'nasrec[sklearn]'"
    ) from error

FEWEST_ROWS = 20
"""Rows of each class from which a tenth can be held out; of fewer, all rows serve for all."""
STEPS = 200
"""Steps that a training shall have at least, so that small logs are learnt too."""


class NASRecClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Searches an architecture for a click log and trains it; two classes.

    A tenth of the rows given to `fit` is held out to choose by, another tenth to test the choice
    on: `table_` shows that test. With fewer than 20 rows of a class nothing is held out: the
    choice and its test are then on the training rows.

    Args:
        budget: minutes a fit may take; the sizes of the search are then measured, so that two
            fits can differ. Otherwise:
        evaluations: architectures to score; None is what `config` says, or 50.
        config: settings of the search, a `SearchConfig` or its fields as a dictionary.
        schema: what the columns are; None infers them: of a data frame as `nasrec prepare` does, of
            an array by type: numbers are numeric columns, all else categories.
        categorical: columns to take as categories whatever they look like, by name, or by place
            in an array.
        ignore: columns not to use, likewise.
        out: run folder to keep, which a later fit of the same data goes on with; None keeps
            nothing on disk.
        callbacks: called with a stage's name and each record of numbers that it logs.
        random_state: decides the split, the initial weights and the search.
        verbose: tell on standard error how it goes.

    Attributes:
        model_: the trained model, a `nasrec.Model`.
        classes_: the two labels; the second is the click.
        table_: the leaderboard of the search as text.
        architecture_: of the model.
        n_features_in_, feature_names_in_: of the rows it was fitted to.

    Example:
        >>> from nasrec.data import SyntheticLog
        >>> log = SyntheticLog(n_dense=2, n_sparse=3).generate(400)
        >>> quick = {"space": "small", "supernet": {"epochs": 1}, "retrain": {"epochs": 2}}
        >>> classifier = nasrec.NASRecClassifier(evaluations=2, config=quick)
        >>> classifier = classifier.fit(log.drop("label"), log["label"])
        >>> classifier.predict_proba(log.drop("label")).shape
        (400, 2)
    """

    def __init__(
        self,
        *,
        budget: float | None = None,
        evaluations: int | None = None,
        config: SearchConfig | Mapping[str, Any] | None = None,
        schema: Schema | str | Path | None = None,
        categorical: Sequence[str | int] = (),
        ignore: Sequence[str | int] = (),
        out: str | Path | None = None,
        callbacks: Sequence[Listener] = (),
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.budget = budget
        self.evaluations = evaluations
        self.config = config
        self.schema = schema
        self.categorical = categorical
        self.ignore = ignore
        self.out = out
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        """Two classes; missing values and texts are fine."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return cast("Tags", tags)

    def fit(self, X: Any, y: Any) -> Self:
        """Search and train.

        Args:
            X: rows: a pandas or polars frame, an array, or the path of a file.
            y: their labels; or the name of the label column of X, a frame or a file.

        Raises:
            ValueError: bad rows, labels or settings.
        """
        try:
            if isinstance(X, str | Path):
                return self._search(X, str(y), None, rows=None)
            if isinstance(y, str):
                frame = _polars(X)
                if y not in frame.columns:
                    raise ValueError(f"there is no column {y!r} to take as labels")
                X, y = frame.drop(y), frame[y].to_numpy()
            frame = self._frame(X, reset=True)
            positive = self._labels(y, frame.height)
            label = "label"
            while label in frame.columns:
                label += "_"
            schema = self._schema(frame, label, is_frame=_is_frame(X))
            whole = frame.with_columns(pl.Series(label, positive))
            few = min(positive.sum(), len(positive) - positive.sum()) < FEWEST_ROWS
            return self._search(whole, label, schema, frame.height, whole if few else None)
        except NasrecError as error:
            raise ValueError(str(error)) from error

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (rows, 2), in the order of `classes_`."""
        check_is_fitted(self)
        rows = X if isinstance(X, str | Path) else self._frame(X, reset=False)
        try:
            clicks = self.model_.predict_proba(rows)
        except NasrecError as error:
            raise ValueError(str(error)) from error
        return np.column_stack([1 - clicks, clicks])

    def predict(self, X: Any) -> NDArray[Any]:
        """The more probable class of each row, (rows,)."""
        chosen = (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)
        return np.asarray(self.classes_[chosen])

    def _search(
        self,
        data: pl.DataFrame | str | Path,
        label: str,
        schema: Schema | None,
        rows: int | None,
        held_out: pl.DataFrame | None = None,
    ) -> Self:
        with tempfile.TemporaryDirectory(prefix="nasrec-") as scratch:
            run = search(
                data,
                label,
                Path(scratch) / "run" if self.out is None else self.out,
                valid=held_out,
                test=held_out,
                schema=schema if schema is not None else self.schema,
                ignore=() if schema is not None else [str(name) for name in self.ignore],
                budget=self.budget,
                config=self._settings(rows),
                reporter=Reporter(quiet=not self.verbose, listeners=self.callbacks),
            )
            self.model_: Model = run.model
            self.table_, self.architecture_ = run.table, run.architecture
            # All that scoring needs, before its files go.
            _ = self.model_.network, self.model_.encoder, self.model_.sample
        if rows is None:
            self.classes_ = np.array([0, 1])
            self.n_features_in_ = len(self.model_.encoder.columns)
        return self

    def _settings(self, rows: int | None) -> SearchConfig:
        """The settings, with enough steps for few rows where `config` does not say."""
        given = self.config or {}
        if isinstance(given, SearchConfig):
            config, said = given, set(given.model_fields_set)
        else:
            config, said = SearchConfig(**given), set(given)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        changes: dict[str, Any] = {"seed": int(seed)}
        if "baselines" not in said:
            changes["baselines"] = ()
        if rows is not None:
            batch = int(np.clip(2 ** int(math.log2(max(rows, 2) / 16)), 16, 512))
            epochs = int(np.clip(math.ceil(STEPS * batch / rows), 3, 100))
            for part in {"supernet", "retrain"} - said:
                sizes = {"batch_size": batch, "epochs": max(1, epochs)}
                changes[part] = getattr(config, part).model_copy(update=sizes)
        if "top_k" not in said and self.budget is None:
            changes["top_k"] = 2
        wanted = self.evaluations
        if wanted is None and self.budget is None and not {"evaluations", "evolution"} & said:
            wanted = 50
        if wanted is not None:
            if self.budget is not None:
                raise ValueError("give a budget or a number of evaluations, not both")
            sized = config.model_copy(update={"top_k": 1}).with_evaluations(wanted)
            changes |= {"evaluations": wanted, "evolution": sized.evolution}
            changes["top_k"] = min(changes.get("top_k", config.top_k), wanted)
        return config.replaced(**changes)

    def _labels(self, y: ArrayLike, rows: int) -> NDArray[np.int8]:
        """1 for the second class, 0 for the first; sets `classes_`."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        y = _check_y(y, estimator=self)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        classes, codes = np.unique(y, return_inverse=True)
        if kind != "binary" or len(classes) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        if len(codes) != rows:
            raise ValueError(f"{rows} rows, {len(codes)} labels: inconsistent numbers of samples")
        if len(classes) < 2:
            raise ValueError(f"there is one class only among n_samples={rows}: {classes[0]!r}")
        self.classes_ = classes
        return codes.astype(np.int8)

    def _frame(self, X: Any, *, reset: bool) -> pl.DataFrame:
        """The rows as a polars frame; sets or checks number and names of the columns."""
        if _is_frame(X):
            frame = _polars(X)
            if frame.height == 0 or frame.width == 0:
                raise ValueError(
                    f"0 sample(s) or feature(s) (shape={frame.shape}) while a minimum of 1 is "
                    "required."
                )
            validate_data(self, X, reset=reset, skip_check_array=True)
            return frame
        array = _array(self, X, reset)
        return pl.DataFrame(
            {f"x{i}": _series(array[:, i]) for i in range(array.shape[1])}, strict=False
        )

    def _schema(self, frame: pl.DataFrame, label: str, is_frame: bool) -> Schema | None:
        """The columns' roles; None leaves them to the search."""
        if self.schema is not None:
            return None
        names = frame.columns
        categorical, ignored = (
            {names[name] if isinstance(name, int) else name for name in chosen}
            for chosen in (self.categorical, self.ignore)
        )
        if unknown := sorted((categorical | ignored) - set(names)):
            raise ValueError(f"there is no column {unknown[0]!r}")
        inferred: dict[str, Column] = {}
        if is_frame:
            with_label = frame.with_columns(pl.Series(label, [0, 1] * frame.height)[: frame.height])
            found, _ = infer_schema(with_label, label)
            inferred = {column.name: column for column in found.columns}
        columns = [Column(name=label, role="label")]
        for name in names:
            if name in ignored:
                columns.append(Column(name=name, role="ignore"))
            elif name in categorical:
                columns.append(Column(name=name, role="categorical"))
            elif name in inferred:
                columns.append(inferred[name])
            else:
                number = frame[name].dtype.is_numeric()
                columns.append(Column(name=name, role="dense" if number else "categorical"))
        return Schema(columns=tuple(columns))


def _is_frame(X: Any) -> bool:
    """Whether X has names for its columns: a pandas frame numbered through is an array."""
    if isinstance(X, pl.DataFrame):
        return True
    return hasattr(X, "iloc") and all(isinstance(name, str) for name in getattr(X, "columns", [1]))


def _polars(X: Any) -> pl.DataFrame:
    """A frame as a polars one, without need of pyarrow."""
    if isinstance(X, pl.DataFrame):
        return X
    if not _is_frame(X):
        raise ValueError("a label column can be named for a frame or a file only")
    return pl.DataFrame({name: _pandas_series(X[name]) for name in X.columns}, strict=False)


def _pandas_series(column: Any) -> pl.Series:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return pl.Series(column.to_numpy())
    if getattr(column.dtype, "kind", "O") in "iufb":  # pandas' own numbers, with its own missing
        values = column.to_numpy(dtype="float64", na_value=np.nan)
        return pl.Series(values, nan_to_null=True)
    return _series(column.astype(object).where(column.notna(), None).to_numpy())


def _array(estimator: BaseEstimator, X: Any, reset: bool) -> NDArray[Any]:
    """A checked array, (rows, columns), of numbers if all of it is."""
    checks: dict[str, Any] = {"reset": reset, "ensure_all_finite": "allow-nan"}
    texts = getattr(np.asarray(X) if isinstance(X, list | tuple) else X, "dtype", None)
    try:
        return np.asarray(validate_data(estimator, X, **checks))
    except ValueError:
        if texts is None or getattr(texts, "kind", "") not in "OUS":
            raise
        return np.asarray(validate_data(estimator, X, dtype=object, **checks))


def _series(values: NDArray[Any]) -> pl.Series:
    """Numbers as they are; all else as numbers if every value is one, otherwise as texts."""
    if values.dtype.kind in "iufb":
        return pl.Series(values.astype(values.dtype.newbyteorder("=")))
    plain = [None if v is None or v != v else v for v in values.tolist()]
    if all(isinstance(v, int | float) or v is None for v in plain):
        return pl.Series(plain, dtype=pl.Float64, strict=False)
    return pl.Series([None if v is None else str(v) for v in plain], dtype=pl.String)
