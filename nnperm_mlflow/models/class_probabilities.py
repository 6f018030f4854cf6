"""A classifier asked for probabilities, where MLflow serves the labels that it would decide for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import NoSuchFunctionError, name_list
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference

PREDICT_PROBA = "predict_proba"
"""The function of a classifier, by its name in scikit-learn; also what `analysis: {predict: ...}` says."""

_FLAVOURS = ("sklearn", "xgboost", "lightgbm", "catboost")
"""Flavours some models of which have this function."""


class ClassProbabilities:
    """What a classifier gives for the rows of a table: the probability of each class, under its name.

    One of several labels, any of which a row may bear, gives the probability of each as `label <number>`.

    Parameters
    ----------
    classifier : object
        With `predict_proba`, and with the classes as `classes_`.
    """

    def __init__(self, classifier: Any) -> None:  # noqa: ANN401 - of whatever library
        self._classifier = classifier
        self._has_labels: bool | None = None

    def predict(self, data: Any) -> pd.DataFrame | dict[str, Any]:  # noqa: ANN401 - whatever the classifier takes
        """Return a column for each class; of several outcomes at once, the probabilities of each by its position."""
        predicted = self._classifier.predict_proba(data)
        if isinstance(predicted, list):
            return {str(position): of_one for position, of_one in enumerate(predicted)}
        if self._has_labels is None:
            self._has_labels = self._decides_each(data[:1], predicted.shape[1])
        if self._has_labels:
            return pd.DataFrame(predicted, columns=[f"label {number}" for number in range(predicted.shape[1])])
        return pd.DataFrame(predicted, columns=[str(label) for label in self._classifier.classes_])

    def _decides_each(self, row: Any, n_probabilities: int) -> bool:  # noqa: ANN401 - whatever the classifier takes
        """Tell whether the classifier decides for each probability by itself: `classes_` is the same for both kinds."""
        return n_probabilities > 1 and np.shape(self._classifier.predict(row)) == (1, n_probabilities)


def has_classifiers(flavours: Mapping[str, Any]) -> bool:
    """Tell whether MLflow serves a model by a flavour whose classifiers can be asked for probabilities."""
    served = flavours.get("python_function")
    loader = served.get("loader_module") if isinstance(served, dict) else None
    return any(name in flavours and loader == f"mlflow.{name}" for name in _FLAVOURS)


def serves_labels(flavours: Mapping[str, Any]) -> bool:
    """Tell whether a model may be a classifier whose labels MLflow serves."""
    return has_classifiers(flavours) and flavours["python_function"].get("predict_fn", "predict") == "predict"


def function_of(files: ModelFiles) -> str | None:
    """Return which function of a model is audited: the one that was asked for, or that MLflow says it serves.

    A model of scikit-learn alone says it: what stands there of another is read by nobody.
    """
    served = files.mlmodel["flavors"].get("python_function")
    is_read = isinstance(served, dict) and served.get("loader_module") == "mlflow.sklearn"
    told = served.get("predict_fn") if is_read else None
    return files.asks_for or (None if told is None else str(told))


def refuse_other_flavour(files: ModelFiles, reference: ModelReference) -> None:
    """Refuse to ask a model for probabilities that is of no flavour with classifiers.

    Raises
    ------
    NoSuchFunctionError
    """
    if files.asks_for is not None and not has_classifiers(files.mlmodel["flavors"]):
        raise NoSuchFunctionError(
            f"analysis: {{predict: {files.asks_for}}} asks classifiers of {name_list(_FLAVOURS)} for probabilities, "
            f"and {reference} is of {name_list(files.mlmodel['flavors'])}, which is called as MLflow serves it. Leave "
            "the key out."
        )


def as_asked(estimator: Any, served: Any, files: ModelFiles, reference: ModelReference) -> Any:  # noqa: ANN401
    """Return what predicts rows: an estimator's probabilities where these are asked for, otherwise what is served.

    Parameters
    ----------
    estimator : object
        As its library has it.
    served : object
        With `predict`.
    files : ModelFiles
        What is asked for stands there.
    reference : ModelReference
        For messages.

    Raises
    ------
    NoSuchFunctionError
        If the estimator has none.
    """
    if files.asks_for is None:
        return served
    if not offers_probabilities(estimator):
        raise NoSuchFunctionError(
            f"analysis: {{predict: {files.asks_for}}}: {reference} is a {type(estimator).__name__}, which has no "
            f"{files.asks_for}. Leave the key out."
        )
    return ClassProbabilities(estimator)


def offers_probabilities(estimator: object) -> bool:
    """Tell whether an estimator can be asked for probabilities."""
    return hasattr(estimator, PREDICT_PROBA) and hasattr(estimator, "classes_")


def advice_for(estimator: object) -> str:
    """Return what to do where predictions are labels."""
    if offers_probabilities(estimator):
        return f"Ask for probabilities (analysis: {{predict: {PREDICT_PROBA}}})."
    return "Log a model that predicts probabilities."
