"""Any other flavour, through MLflow's pyfunc."""

from __future__ import annotations

import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from nnperm_mlflow.basics.errors import ModelError, NoSuchFunctionError, name_list
from nnperm_mlflow.models.class_probabilities import advice_for, as_asked, has_classifiers
from nnperm_mlflow.models.formats import SKLEARN_KEYS, what_is_read
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_signature import output_names, refuse_fixed_rows, specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.table_predictor import TablePredictor

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
_HARMLESS_TYPES = {"numpy.dtype"}
"""Types that skops asks about and that run nothing. Trees are none: prediction follows their indices unchecked."""

_OF_TREES = ("sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._hist_gradient", "sklearn.tree.")
"""Modules of scikit-learn whose estimators lead each row through trees by itself."""

_SKOPS_SINCE = (0, 13)  # before, what a file tells of its types was not all of what it ran


def load_pyfunc(files: ModelFiles, reference: ModelReference, trust_model: bool) -> TablePredictor:
    """Load a model through pyfunc; without trust only what scikit-learn itself makes up and skops has stored.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Allow the model's own code and pickles.

    Returns
    -------
    TablePredictor

    Raises
    ------
    UntrustedModelError
        If loading would unpickle or import what came with the model, and it is not trusted.
    NoSuchFunctionError
        If it is asked for probabilities, and is no classifier.
    ModelError
        If the model has no pyfunc flavour or no signature, or cannot be loaded.
    """
    path, mlmodel = files.path, files.mlmodel
    conf = mlmodel["flavors"].get("python_function")
    if not isinstance(conf, dict):
        raise ModelError(
            f"{reference} has none of the flavours keras, tensorflow, pytorch, onnx, xgboost, lightgbm, catboost and "
            f"python_function, by which models are called, but {name_list(mlmodel['flavors'])}. Log it so that "
            "MLflow can serve it."
        )
    specs = specs_from_signature(mlmodel, reference)
    refuse_fixed_rows(mlmodel, reference)
    if not trust_model and not _holds_no_code(path, mlmodel):
        why = f"its flavour is loaded by '{conf.get('loader_module')}' from {what_is_read(path, mlmodel)}"
        raise refuse_untrusted(reference, why)
    try:
        model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
        advice, walks_trees = "Log a model that predicts numbers.", False
        if has_classifiers(mlmodel["flavors"]):
            estimator = model.get_raw_model()
            called, advice = as_asked(estimator, model, files, reference), advice_for(estimator)
            walks_trees = _walks_trees(estimator)
            model = model if called is model else PyFuncModel(model.metadata, called)  # which applies the signature
        names = output_names(mlmodel)
        return TablePredictor(model, specs, mlmodel["flavors"], names, advice=advice, walks_trees=walks_trees)
    except (ImportError, NoSuchFunctionError):
        raise
    except Exception as error:  # code of a trusted model may raise anything
        raise ModelError(
            f"{reference} cannot be loaded ({type(error).__name__}); its requirements.txt names the packages that "
            "it was logged with."
        ) from error


def _walks_trees(estimator: object) -> bool:
    """Tell whether an estimator is one of trees, that go through them in one thread and so in one order."""
    kind = type(estimator)
    return kind.__module__.startswith(_OF_TREES) and getattr(estimator, "n_jobs", None) in (None, 1)


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
