"""A function of a table: a DataFrame in, numbers out, in whatever form a library gives them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import LabelsError, PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models._call_sizes import rows_per_call
from nnperm_mlflow.models._table_failures import explain_failure
from nnperm_mlflow.models._table_outputs import joined, named_columns, places_to_follow
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.output_numbers import are_classes, as_columns
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.stacking import AlwaysExact

logger = logging.getLogger(__name__)

_MOST_ROWS = 16_384  # of a call; what more rows save is less than what it takes to try out that they change no bit
_MOST_ROWS_OF_TREES = 65_536
_MOST_ROWS_OF_NETWORKS = 4_096  # more fit into no cache, and take longer a row
_NETWORKS = {"pytorch", "transformers", "sentence_transformers", "onnx"}
"""Flavours of networks."""


class Predicting(Protocol):
    """What predicts rows of a table."""

    def predict(self, data: Any) -> Any:  # noqa: ANN401 - whatever MLflow lets a model take and return
        """Return predictions for a DataFrame, an array or arrays by name."""


class TablePredictor(WholeModelPredictor):
    """A model that is fed with columns of a DataFrame, or with named arrays where its signature says so.

    Parameters
    ----------
    model : object
        With a method `predict`, as mlflow.pyfunc.PyFuncModel has it.
    inputs : sequence of InputSpec
    flavours : collection of str
        Of MLflow, in which it was logged.
    output_names : sequence of str
        As its signature has them, for outputs that it gives without names.
    advice : str
        What to do where it predicts labels.
    walks_trees : bool
        Whether each row is led through trees by itself, so that how many are beside it changes no bit.
    """

    def __init__(
        self,
        model: Predicting,
        inputs: Sequence[InputSpec],
        flavours: Collection[str] = (),
        output_names: Sequence[str] = (),
        *,
        advice: str = "Log a model that predicts numbers.",
        walks_trees: bool = False,
    ) -> None:
        most_rows = _MOST_ROWS_OF_NETWORKS if _NETWORKS & set(flavours) else _MOST_ROWS
        super().__init__(inputs, OutputSpec(), _MOST_ROWS_OF_TREES if walks_trees else most_rows)
        self._walks_trees = walks_trees
        self._model = model
        self._flavours = tuple(flavours)
        self._output_names = tuple(output_names)
        self._advice = advice
        self._places: tuple[int, ...] | None = None

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        predicted, n_rows = self._predict(inputs), len(next(iter(inputs.values())))
        columns = named_columns(predicted, n_rows)
        try:
            return as_columns(predicted, n_rows) if columns is None else joined(columns, self._places, n_rows)
        except LabelsError as error:
            raise LabelsError(f"{error} {self._advice}") from None

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Stack several changes in one DataFrame from now on, unless some rows show that rows mix."""
        columns = named_columns(self._predict(probe), len(next(iter(probe.values()))))
        if columns is not None:
            self._places = places_to_follow(columns)
            self.outputs = OutputSpec(tuple(columns[place][0] for place in self._places))
        predicted = self.call(probe)
        if columns is None and predicted.shape[1] == len(self._output_names):
            self.outputs = OutputSpec(self._output_names)
        if np.array_equal(predicted, np.rint(predicted)):
            logger.warning(
                "all predictions are whole numbers: if they number classes, the distance between them means nothing. "
                "%s",
                self._advice,
            )
        if are_classes(predicted):
            self.outputs = self.outputs.as_classes()
        if self._walks_trees and self._repeats_exactly(probe, predicted):
            self.exactness = AlwaysExact
        return super().fitted(probe, exact)

    def _repeats_exactly(self, probe: Arrays, predicted: np.ndarray) -> bool:
        """Tell whether some rows have the same bits among copies of themselves."""
        twice = self.call({name: np.concatenate([array, array]) for name, array in probe.items()})
        return np.array_equal(twice, np.concatenate([predicted, predicted]), equal_nan=True)

    def rows_to_stack(self, probe: Arrays) -> int:
        """Return how many rows a call needs so that what it costs by itself is small."""
        return rows_per_call(self.call, probe, self._most_rows)

    def _predict(self, inputs: Arrays) -> Any:  # noqa: ANN401 - whatever pyfunc lets a model return
        try:
            return _written_out(self._model.predict(self._as_taken(inputs)))
        except Exception as error:  # foreign code may raise anything, and its words may hold data
            why = explain_failure(error, self.inputs, self._flavours)
            raise PredictionError(f"the model failed ({type(error).__name__}). {why}") from error

    def _as_taken(self, inputs: Arrays) -> pd.DataFrame | dict[str, np.ndarray] | np.ndarray:
        if self.inputs[0].is_column:
            given = [spec for spec in self.inputs if spec.name in inputs]
            return pd.DataFrame({spec.name: _as_cells(inputs[spec.name], spec) for spec in given})
        arrays = {spec.name: inputs[spec.name].copy() for spec in self.inputs}  # foreign code may edit what it gets
        return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _as_cells(array: np.ndarray, spec: InputSpec) -> np.ndarray | pd.Series:
    """Return an input of shape (n_rows, ...) as a column of a DataFrame, whose cells may be arrays."""
    if not spec.shape:
        return array
    return pd.Series(array.tolist() if spec.dtype.kind == "O" else list(array), dtype=object)


def _written_out(predicted: Any) -> Any:  # noqa: ANN401 - whatever pyfunc lets a model return
    """Return a list of numbers, or of lists of them, as the array that it spells; a list of arrays holds heads."""
    spells = isinstance(predicted, list) and all(
        isinstance(row, list) or (np.ndim(row) == 0 and not isinstance(row, Mapping)) for row in predicted
    )
    return np.asarray(predicted) if spells else predicted
