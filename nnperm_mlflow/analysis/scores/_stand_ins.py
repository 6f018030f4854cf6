"""Stand-ins for models that have been called already: a row of their data is the prediction that they shall make."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from nnperm_mlflow.analysis.engine.decisions import Decision


class Numbers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that predicts what it is given."""

    def predict(self, predictions: np.ndarray) -> np.ndarray:
        """Return the numbers, of shape (n_rows,) where there is one a row."""
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose classes are numbers from 0."""

    def __init__(self, n_classes: int, decision: Decision | None = None) -> None:
        self.n_classes = n_classes
        self.decision = decision
        self.classes_ = np.arange(n_classes)

    def predict(self, predictions: np.ndarray) -> np.ndarray:
        """Return the class of each row: by the threshold for one output that speaks for or against it, or its own."""
        if self.decision is None or len(self.decision.columns) > 1 or self.n_classes > 2:
            return self.own_classes(predictions)
        speaks_for = self.decision.columns[0] if predictions.shape[1] == 2 else 1
        return np.where(self.decision.decide(predictions) == 1, speaks_for, 1 - speaks_for)


class Probabilities(Classifier):
    """One whose outputs are the probabilities of classes; a single one, that of the second."""

    def predict_proba(self, predictions: np.ndarray) -> np.ndarray:
        """Return a probability for each class; they sum up to 1."""
        if predictions.shape[1] == 1:
            return np.hstack([1 - predictions, predictions])
        return predictions / predictions.sum(axis=1, keepdims=True)

    def evidence(self, predictions: np.ndarray) -> np.ndarray:
        """Return what speaks for the second of two classes."""
        return self.predict_proba(predictions)[:, 1]

    def own_classes(self, predictions: np.ndarray) -> np.ndarray:
        """Return the class of each row where no threshold says another one."""
        return self.predict_proba(predictions).argmax(axis=1)


class Ranks(Classifier):
    """One whose outputs grow with the probabilities of classes; a single one, with that of the second."""

    def decision_function(self, predictions: np.ndarray) -> np.ndarray:
        """Return what speaks for each class, or for the second of two."""
        if self.n_classes > 2:
            return predictions
        return predictions[:, -1] - (predictions[:, 0] if predictions.shape[1] == 2 else 0)

    def evidence(self, predictions: np.ndarray) -> np.ndarray:
        """Return what speaks for the second of two classes."""
        return self.decision_function(predictions)

    def own_classes(self, predictions: np.ndarray) -> np.ndarray:
        """Return the class of each row where no threshold says another one."""
        if predictions.shape[1] == 1:
            raise ValueError(
                "it needs classes, which follow from a probability, or from a threshold as the decision, and there is "
                "neither"
            )
        return predictions.argmax(axis=1)


StandIn = Numbers | Classifier
