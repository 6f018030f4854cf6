"""A loaded model with made-up data, as the contenders take it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pandas as pd
import yaml
from shapes import Shape, feature_names, make_data
from sklearn.base import BaseEstimator

from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.model_signature import specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.table_predictor import TablePredictor

_BATCH_ROWS = 3_000  # of a call of `predict`, in the article's script

Place = tuple[str, tuple[int | slice, ...]]
"""A model's input, and where in a row of it a feature sits."""


class Case(ABC):
    """A loaded model with its data.

    Parameters
    ----------
    shape : Shape
    n_rows, repeats : int
    n_features : int or None
        How many features are disturbed, evenly from all; None for all.

    Attributes
    ----------
    features, excluded : list of str
        What is disturbed and what is left alone, in the order of the model's inputs.
    """

    def __init__(self, shape: Shape, n_rows: int, repeats: int, n_features: int | None) -> None:
        self.shape, self.n_rows, self.repeats = shape, n_rows, repeats
        self.table, self.history = make_data(shape, n_rows)
        known = feature_names(shape)
        taken = len(known) if n_features is None else n_features
        chosen = {(2 * number + 1) * len(known) // (2 * taken) for number in range(taken)}
        self.features = [name for number, name in enumerate(known) if number in chosen]
        self.excluded = [name for number, name in enumerate(known) if number not in chosen]

    def inputs(
        self, rows_of: dict[str, np.ndarray] | None = None, own: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the model's inputs for the rows `own`; for some features the values come from other rows."""
        given = dict(self.arrays) if own is None else {name: array[own] for name, array in self.arrays.items()}
        for feature, rows in (rows_of or {}).items():
            name, index = self.places[feature]
            slot = (slice(None), *index)
            changed = given[name].copy()
            changed[slot] = self.arrays[name][slot][rows]
            given[name] = changed
        return given

    @property
    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The model's inputs, arrays of shape (n_rows, ...); made when somebody asks, since ours reads the table."""

    @property
    @abstractmethod
    def places(self) -> dict[str, Place]:
        """For each feature where its values are."""

    @abstractmethod
    def call(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the model's own predictions, of shape (n_rows,)."""

    @abstractmethod
    def estimator(self) -> tuple[BaseEstimator, Any]:
        """Return an estimator and the X with one column for each feature that it takes."""

    @abstractmethod
    def bound(self) -> tuple[Predictor, BoundInputs]:
        """Return the model as a predictor and its inputs, as an audit has them."""


class NetworkCase(Case):
    """A network of Keras, with embeddings and a history."""

    def __init__(
        self, shape: Shape, n_rows: int, repeats: int, network: keras.Model, n_features: int | None = None
    ) -> None:
        super().__init__(shape, n_rows, repeats, n_features)
        self.network = network
        self.numbers = [f"n{number}" for number in range(shape.n_numbers)]
        self.codes = [f"code{number}" for number in range(shape.n_codes)]
        self.channels = [f"channel{number}" for number in range(shape.n_channels)]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"num_input": self.table[self.numbers].to_numpy(np.float32)} if self.numbers else {}
        arrays |= {f"{code}_input": self.table[[code]].to_numpy(np.int32) for code in self.codes}
        return arrays if self.history is None else {**arrays, "temporal_input": self.history}

    @cached_property
    def places(self) -> dict[str, Place]:
        numbers = {name: ("num_input", (number,)) for number, name in enumerate(self.numbers)}
        codes = {code: (f"{code}_input", (0,)) for code in self.codes}
        channels = {name: ("temporal_input", (slice(None), number)) for number, name in enumerate(self.channels)}
        return {**numbers, **codes, **channels}

    def call(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.network.predict(inputs, batch_size=_BATCH_ROWS, verbose=0)[:, 0]

    def estimator(self) -> tuple[ByRows, np.ndarray]:
        return ByRows(self), np.repeat(np.arange(self.n_rows)[:, None], len(self.features), axis=1)

    def bound(self) -> tuple[Predictor, BoundInputs]:
        predictor = keras_predictor(self.network)
        channels = tuple(self.channels)
        temporal = {} if self.history is None else {"history": Series(channels, self.history, channel_axis=2)}
        static = self.table if len(self.table.columns) else None
        said = {"num_input": self.numbers} if self.numbers else {}
        return predictor, bind_inputs(predictor.inputs, dataset_from(static, temporal), said)


class ByRows(BaseEstimator):
    """A network for packages that take a table: each column says, for one feature, from which row its value comes."""

    def __init__(self, case: Case | None = None) -> None:
        self.case = case

    def fit(self, X: np.ndarray, y: np.ndarray) -> ByRows:  # noqa: N803
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        # one feature at most is disturbed: of three columns two hold the rows themselves
        own = np.where(X[:, 0] == X[:, 1], X[:, 0], X[:, 2])
        moved = {name: X[:, number] for number, name in enumerate(self.case.features) if (X[:, number] != own).any()}
        in_order = np.array_equal(own, np.arange(self.case.n_rows))
        return self.case.call(self.case.inputs(moved, None if in_order else own))


class ForestCase(Case):
    """A random forest in a folder as MLflow writes it, loaded through pyfunc."""

    def __init__(self, shape: Shape, n_rows: int, repeats: int, folder: Path, n_features: int | None = None) -> None:
        super().__init__(shape, n_rows, repeats, n_features)
        self.model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        said = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        self.specs = specs_from_signature(said, ModelReference(str(folder), str(folder)))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"columns": self.table.to_numpy()}

    @cached_property
    def places(self) -> dict[str, Place]:
        return {name: ("columns", (number,)) for number, name in enumerate(self.table.columns)}

    def call(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.model.predict(pd.DataFrame(inputs["columns"], columns=self.table.columns))

    def estimator(self) -> tuple[BaseEstimator, pd.DataFrame]:
        return self.model.get_raw_model(), self.table

    def bound(self) -> tuple[Predictor, BoundInputs]:
        predictor = TablePredictor(self.model, self.specs)
        return predictor, bind_inputs(predictor.inputs, dataset_from(self.table), {})


def load_case(shape: Shape, n_rows: int, repeats: int, model: Path, n_features: int | None = None) -> Case:
    """Load a model that `shapes.save_model` wrote, and make data for it."""
    if model.is_dir():
        return ForestCase(shape, n_rows, repeats, model, n_features)
    return NetworkCase(shape, n_rows, repeats, keras.saving.load_model(model), n_features)
