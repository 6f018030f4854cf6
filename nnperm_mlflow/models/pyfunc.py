"""Any other flavour, through MLflow's pyfunc: a DataFrame in, numbers out."""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import ModelError, PredictionError, name_list
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models._pyfunc_failures import explain_failure
from nnperm_mlflow.models._pyfunc_outputs import joined, named_columns, places_to_follow
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.formats import SKLEARN_KEYS, what_is_read
from nnperm_mlflow.models.model_files import refuse_untrusted
from nnperm_mlflow.models.model_signature import output_names, refuse_fixed_rows, specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.output_numbers import are_classes, as_columns
from nnperm_mlflow.models.predictor import Predictor

logger = logging.getLogger(__name__)

_UNREADABLE = (
    MlflowException,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    RecursionError,
    pickle.UnpicklingError,
)
_MOST_ROWS = 65_536  # of a DataFrame; a call of pyfunc costs milliseconds
_HARMLESS_TYPES = {"numpy.dtype"}
"""Types that skops asks about and that run nothing. Trees are none: prediction follows their indices unchecked."""

_SKOPS_SINCE = (0, 13)  # before, what a file tells of its types was not all of what it ran


class PyfuncPredictor(WholeModelPredictor):
    """A pyfunc model that is fed with columns of a DataFrame, or with named arrays where its signature says so.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    inputs : sequence of InputSpec
    flavours : collection of str
        Of MLflow, in which it was logged.
    output_names : sequence of str
        As its signature has them, for outputs that it gives without names.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - MLflow is not typed
        inputs: Sequence[InputSpec],
        flavours: Collection[str] = (),
        output_names: Sequence[str] = (),
    ) -> None:
        super().__init__(inputs, OutputSpec(), _MOST_ROWS)
        self._model = model
        self._flavours = tuple(flavours)
        self._output_names = tuple(output_names)
        self._places: tuple[int, ...] | None = None

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        predicted, n_rows = self._predict(inputs), len(next(iter(inputs.values())))
        columns = named_columns(predicted, n_rows)
        return as_columns(predicted, n_rows) if columns is None else joined(columns, self._places, n_rows)

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
                "all predictions are whole numbers: if they number classes, the distance between them means nothing; "
                "log the model so that it predicts probabilities (for scikit-learn: pyfunc_predict_fn='predict_proba')"
            )
        if are_classes(predicted):
            self.outputs = self.outputs.as_classes()
        return super().fitted(probe, exact)

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


def load_pyfunc(path: Path, mlmodel: dict[str, Any], reference: ModelReference, trust_model: bool) -> PyfuncPredictor:
    """Load a model through pyfunc; without trust only what scikit-learn itself makes up and skops has stored.

    Parameters
    ----------
    path : Path
        Directory with the MLmodel file.
    mlmodel : dict
        What that file says.
    reference : ModelReference
    trust_model : bool
        Allow the model's own code and pickles.

    Returns
    -------
    PyfuncPredictor

    Raises
    ------
    UntrustedModelError
        If loading would unpickle or import what came with the model, and it is not trusted.
    ModelError
        If the model has no pyfunc flavour or no signature, or cannot be loaded.
    """
    conf = mlmodel["flavors"].get("python_function")
    if not isinstance(conf, dict):
        raise ModelError(
            f"{reference} has none of the flavours keras, tensorflow and python_function, by which models are called, "
            f"but {name_list(mlmodel['flavors'])}. Log it so that MLflow can serve it."
        )
    specs = specs_from_signature(mlmodel, reference)
    refuse_fixed_rows(mlmodel, reference)
    if not trust_model and not _holds_no_code(path, mlmodel):
        why = f"its flavour is loaded by '{conf.get('loader_module')}' from {what_is_read(path, mlmodel)}"
        raise refuse_untrusted(reference, why)
    try:
        model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
        return PyfuncPredictor(model, specs, mlmodel["flavors"], output_names(mlmodel))
    except ImportError:
        raise
    except Exception as error:  # code of a trusted model may raise anything
        raise ModelError(
            f"{reference} cannot be loaded ({type(error).__name__}); its requirements.txt names the packages that "
            "it was logged with."
        ) from error


def _holds_no_code(path: Path, mlmodel: dict[str, Any]) -> bool:
    """Tell whether a model is a scikit-learn one in skops format, made of nothing but types that skops trusts."""
    flavours = mlmodel["flavors"]
    sklearn, pyfunc = flavours.get("sklearn"), flavours["python_function"]
    if not isinstance(sklearn, dict) or sklearn.get("serialization_format") != "skops":
        return False
    told = {key for key, value in pyfunc.items() if value is not None}
    if pyfunc.get("loader_module") != "mlflow.sklearn" or not told <= SKLEARN_KEYS or sklearn.get("code"):
        return False
    stored = path / str(sklearn.get("pickled_model"))
    if not stored.is_file() or str(pyfunc.get("model_path")) != str(sklearn.get("pickled_model")):
        return False
    import skops.io  # noqa: PLC0415 - an optional package of MLflow's

    if tuple(map(int, skops.__version__.split(".")[:2])) < _SKOPS_SINCE:
        return False
    try:
        unknown = set(skops.io.get_untrusted_types(file=stored)) - _HARMLESS_TYPES
    except (*_UNREADABLE, ImportError, KeyError, zipfile.BadZipFile):
        return False
    if unknown:
        logger.info("types that skops does not know as safe: %s", ", ".join(sorted(unknown)))
    return not unknown
