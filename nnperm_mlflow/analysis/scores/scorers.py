"""scikit-learn's scorers, applied to predictions that exist.

A scorer meets a model that has been called already through a stand-in (see `stand_ins`).
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from sklearn.metrics import get_scorer, get_scorer_names

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.scores._score_influences import ScoreInfluence, influence_of
from nnperm_mlflow.analysis.scores._stand_ins import Numbers, Probabilities, Ranks, StandIn
from nnperm_mlflow.basics.errors import ConfigError, DataError, did_you_mean, name_list

logger = logging.getLogger(__name__)

_VALUES = re.compile(r"[\[({\d\":=]|(?<!\w)'|\b(?:nan|inf)\b")
"""Where the message of an error may begin to tell values."""


Score = Callable[[np.ndarray, np.ndarray], float]
"""Of predictions, shape (n_rows, n_outputs), and their labels."""


class Scores:
    """Scorers, each with the labels in the form that it takes.

    Parameters
    ----------
    scorers : dict of str to (callable, ndarray of shape (n_rows, ...))
        For each name a function of predictions, as float64, and labels; and the labels of all rows.
    stand_ins : dict of str to StandIn, optional
        What makes of predictions what scikit-learn's scorer of that name takes.
    """

    def __init__(
        self, scorers: dict[str, tuple[Score, np.ndarray]], stand_ins: dict[str, StandIn] | None = None
    ) -> None:
        self._scorers = scorers
        self._stand_ins = stand_ins or {}
        self._told: set[str] = set()

    def take(self, rows: np.ndarray) -> Scores:
        """Return the scorers with the labels of some rows."""
        return Scores({name: (score, labels[rows]) for name, (score, labels) in self._scorers.items()}, self._stand_ins)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scorers, as asked for."""
        return tuple(self._scorers)

    def of(self, predictions: np.ndarray) -> dict[str, float]:
        """Return every scorer's value; greater is better.

        Parameters
        ----------
        predictions : ndarray of shape (n_rows, n_outputs)
            In the order of the labels. Not modified; rows that are not finite are left out.

        Raises
        ------
        ConfigError
            If a scorer cannot work with these predictions.
        """
        rows = np.flatnonzero(np.isfinite(predictions).all(axis=1))
        return {name: self.score(name, predictions, rows) for name in self._scorers}

    def score(self, name: str, predictions: np.ndarray, rows: np.ndarray) -> float:
        """Return one scorer's value for some rows; raises as `of` does."""
        score, labels = self._scorers[name]
        value = _try(name, score, predictions[rows].astype(np.float64), labels[rows])
        if math.isnan(value):
            raise ConfigError(f"analysis: scores: '{name}' is not defined for these predictions. Choose another one.")
        return value

    def influence(self, name: str, predictions: np.ndarray, rows: np.ndarray) -> ScoreInfluence | None:
        """Return what each of some rows adds to the error of a score; None where that is not known in closed form."""
        if name not in self._stand_ins:
            return None
        return influence_of(name, self._stand_ins[name], predictions[rows].astype(np.float64), self.labels(name, rows))

    def stand_in(self, name: str) -> StandIn | None:
        """Return what makes of predictions what a scorer takes; None where a scorer takes them as they are."""
        return self._stand_ins.get(name)

    def labels(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the labels of some rows in the form that a scorer takes."""
        return self._scorers[name][1][rows]

    def drop(self, name: str, baseline: np.ndarray, perturbed: np.ndarray, rows: np.ndarray) -> float:
        """Return baseline less perturbed score of the same rows; raises as `of` does."""
        return self.score(name, baseline, rows) - self.score(name, perturbed, rows)

    def tell_without_error(self, name: str) -> None:
        """Log, once for each scorer, that there is no standard error."""
        if name not in self._told:
            logger.warning("'%s' has no standard error where it cannot be computed without some of the rows", name)
        self._told.add(name)


def choose_scorers(
    names: Sequence[str],
    labels: np.ndarray,
    n_outputs: int,
    are_probabilities: bool,
    output_names: Sequence[str] = (),
    *,
    decision: Decision | None = None,
) -> Scores:
    """Find scikit-learn's scorers and try them on the labels.

    A scorer of regressions takes the outputs as they are: the mean squared error of a probability is its Brier score.
    Any other scorer takes classes. One output speaks for the second of two labels in ascending order: as a probability
    above 0.5, otherwise by the order in which it puts the rows alone. Of several outputs the largest decides. A
    configured threshold goes before both, for one output or one of two. Outputs belong to the labels of their names, or
    to the labels 0, 1, ... by position, or else to as many labels in ascending order.

    Parameters
    ----------
    names : sequence of str
        As `sklearn.metrics.get_scorer_names` lists them.
    labels : ndarray of shape (n_rows,) or, of a regression, (n_rows, n_outputs)
        Not modified.
    n_outputs : int
        Outputs of the model.
    are_probabilities : bool
        Whether they are probabilities of classes; several are divided by their sum in each row.
    output_names : sequence of str
        Names of the outputs, as far as known.
    decision : Decision, optional
        What the configuration says that classes follow from.

    Returns
    -------
    Scores

    Raises
    ------
    DataError
        If labels are missing.
    ConfigError
        If there is no such scorer, or it cannot work with these labels and outputs.
    """
    for name in names:
        if name not in get_scorer_names():
            hint = did_you_mean(name, get_scorer_names()) or f" There are {name_list(get_scorer_names())}."
            raise ConfigError(f"analysis: scores: '{name}' is not a scorer of scikit-learn.{hint}")
    _check_none_missing(labels)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    scorers: dict[str, tuple[Score, np.ndarray]] = {}
    stand_ins: dict[str, StandIn] = {}
    for name in names:
        scorer = get_scorer(name)
        if _is_of_regressions(scorer):
            known, stand_in = _as_numbers(name, labels, n_outputs), Numbers()
            example = np.full((len(known), n_outputs), known.mean())
        else:
            known, n_classes = _as_classes(name, labels, n_outputs, output_names)
            stand_in = (Probabilities if are_probabilities else Ranks)(n_classes, decision)
            example = np.full((len(known), n_outputs), 1 / n_classes)
        scorers[name], stand_ins[name] = (partial(scorer, stand_in), known), stand_in
        _try(name, scorers[name][0], example, known)
    return Scores(scorers, stand_ins)


def _check_none_missing(labels: np.ndarray) -> None:
    infinite = np.isinf(labels) if labels.dtype.kind == "f" else np.zeros(labels.shape, dtype=bool)
    missing = (pd.isna(labels) | infinite).reshape(len(labels), -1).any(axis=1)
    if missing.any():
        raise DataError(
            f"the label is missing or infinite in {np.count_nonzero(missing)} of {len(labels)} rows (first: row "
            f"{missing.argmax()}), and scores need one for every row. Leave such rows out of the data, or take "
            "'scores' out of the configuration."
        )


def _is_of_regressions(scorer: Callable[..., float]) -> bool:
    """Tell whether a scorer compares numbers, by trying it on some: scikit-learn does not say it otherwise.

    Scorers of clusterings take them too, but with a warning.
    """
    numbers = np.array([0.5, 1.5, 2.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            scorer(Numbers(), numbers[:, None], numbers)
        except (ValueError, TypeError, AttributeError, UserWarning):
            return False
    return True


def _as_numbers(name: str, labels: np.ndarray, n_outputs: int) -> np.ndarray:
    n_columns = labels.size // len(labels)
    if n_columns != n_outputs:
        raise ConfigError(
            f"analysis: scores: '{name}' compares each output with a label of its own, but the model has {n_outputs} "
            f"outputs and each row {n_columns} label(s). Choose a scorer of classes, such as 'accuracy'."
        )
    try:
        return labels.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"analysis: scores: '{name}' compares numbers, which the labels are not. Choose a scorer of classes, such "
            "as 'accuracy', 'neg_log_loss' or 'roc_auc'."
        ) from error


def _as_classes(name: str, labels: np.ndarray, n_outputs: int, names: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the number of each row's class, from 0 in the order of the outputs, and how many classes there are.

    With numbers for labels "f1" and its like know the positive class, whatever it is called.
    """
    if labels.ndim > 1:
        raise ConfigError(f"analysis: scores: '{name}' takes one label for each row, but there are {labels.shape[1]}.")
    codes, found = pd.factorize(labels, sort=True)
    n_classes = max(2, n_outputs)
    if len(found) == 1:
        raise ConfigError(f"analysis: scores: '{name}' tells classes apart, and all rows have the same label.")
    called = [label if isinstance(label, str) else str(label).removesuffix(".0") for label in found]
    for outputs in (list(names), [str(position) for position in range(n_outputs)]):
        if n_outputs > 1 and set(called) <= set(outputs):
            return np.array([outputs.index(label) for label in called])[codes], n_classes
    if len(found) != n_classes:
        raise ConfigError(
            f"analysis: scores: '{name}' tells classes apart: {n_outputs} output(s) of a model stand for {n_classes} "
            f"classes, but there are {len(found):,} different labels. For a regression choose a scorer such as 'r2'."
        )
    return codes, n_classes


def _try(name: str, score: Score, predictions: np.ndarray, labels: np.ndarray) -> float:
    """Call a scorer; what it warns of, its value tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return float(score(predictions, labels))
        except (AttributeError, ValueError, TypeError) as error:
            raise ConfigError(
                f"analysis: scores: '{name}' cannot score this model: {_reason(error)}. Choose another one."
            ) from error


def _reason(error: Exception) -> str:
    """Return what scikit-learn says, up to where it may begin to name labels and predictions: they are numbers here."""
    if isinstance(error, AttributeError):  # it says so of methods that an estimator lacks
        return "it needs probabilities of classes, which the model's outputs are not"
    words, *values = _VALUES.split(str(error).partition("\n")[0], maxsplit=1)
    return f"{words.strip(' .,-') or type(error).__name__}{' [...]' if values else ''}"
