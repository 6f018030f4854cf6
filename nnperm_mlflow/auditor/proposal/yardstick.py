"""How well predictions fit the outcome: a number for each of ten parts of the rows, by which readings are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

_PARTS = 10
_FEWEST = 2  # rows of each outcome in each part
_CERTAIN = 4.0  # standard errors by which one reading must fit better: by chance 3 in 1,000, with 10 parts
_MOST_CLASSES = 50


@dataclass(frozen=True)
class Yardstick:
    """The outcomes of some rows, and what they are compared with predictions by.

    Attributes
    ----------
    name : {"AUC", "accuracy", "rank correlation"}
    outcomes : ndarray of shape (n_rows,)
        Of classes their position, in the order of their values.
    """

    name: Literal["AUC", "accuracy", "rank correlation"]
    outcomes: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, n_outputs: int) -> Yardstick | None:
        """Return what fits the labels and the number of outputs; None where nothing does.

        Parameters
        ----------
        labels : ndarray of shape (n_rows,)
            None of which is missing.
        n_outputs : int
        """
        if not len(labels):
            return None
        values, positions = np.unique(labels.astype(str) if labels.dtype.kind == "O" else labels, return_inverse=True)
        if len(values) == 2 and n_outputs <= 2:
            rarest = min(np.bincount(positions[part], minlength=2).min() for part in _parts(len(labels)))
            return cls("AUC", positions) if rarest >= _FEWEST else None
        if 2 < len(values) == n_outputs <= _MOST_CLASSES:
            return cls("accuracy", positions)
        if len(values) > 2 and n_outputs == 1 and labels.dtype.kind in "iuf" and len(labels) >= _PARTS * 5:
            return cls("rank correlation", labels.astype(np.float64))
        return None

    @property
    def worst(self) -> float:
        """What predictions come to that tell nothing."""
        if self.name == "accuracy":
            return float(np.bincount(self.outcomes).max() / len(self.outcomes))
        return 0.5 if self.name == "AUC" else 0.0

    def measure(self, predictions: np.ndarray) -> np.ndarray:
        """Return the fit on each part of the rows, of shape (n_parts,); NaN where a prediction is not finite.

        An order of predictions that runs against the outcomes is as good as one that runs with them: what a model calls
        1 may be the good outcome.

        Parameters
        ----------
        predictions : ndarray of shape (n_rows, n_outputs)
        """
        if not np.isfinite(predictions).all():
            return np.full(_PARTS, np.nan)
        parts = _parts(len(predictions))
        if self.name == "accuracy":
            right = predictions.argmax(axis=1) == self.outcomes
            return np.array([right[part].mean() for part in parts])
        followed = predictions[:, -1]
        if self.name == "AUC":
            against = np.array([roc_auc_score(self.outcomes[part], followed[part]) - 0.5 for part in parts])
        else:
            against = np.array([_rank_correlation(self.outcomes[part], followed[part]) for part in parts])
        return self.worst + against * (1 if against.mean() >= 0 else -1)


def _parts(n_rows: int) -> list[np.ndarray]:
    """Return the rows in as many parts, dealt by chance but always alike."""
    return np.array_split(np.random.default_rng(0).permutation(n_rows), _PARTS)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    if (one == one[0]).all() or (other == other[0]).all():
        return 0.0
    return float(spearmanr(one, other).statistic)


def is_better(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether one reading fits better than another beyond chance, part by part.

    Parameters
    ----------
    one, other : ndarray of shape (n_parts,)
    """
    apart = one - other
    if not np.isfinite(apart).all() or apart.mean() <= 0:
        return False
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    return bool(apart.mean() > _CERTAIN * error)
