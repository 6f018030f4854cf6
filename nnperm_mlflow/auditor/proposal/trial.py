"""What is assumed is tried out where the outcome is known: another order of columns gives other predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pandas as pd

from nnperm_mlflow.auditor.proposal.draft import Assumption, Finding, Reading, Trial
from nnperm_mlflow.auditor.proposal.yardstick import Yardstick, is_better
from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Dataset, Series
from nnperm_mlflow.models.predictor import Predictor

_MOST_ROWS = 8_192
_CALL_ROWS = 1_024
_ALL_ORDERS, _ALL_PAIRS = 3, 6  # things of which every order, or each exchange of two, is tried
_MOST_COMBINED = 48  # orders of several things at once
_MOST_CHANGES = 8


class _Fits:
    """How well readings fit the outcome, each found out once."""

    def __init__(self, predictor: Predictor, sample: Dataset, yardstick: Yardstick) -> None:
        self._predictor, self._sample, self._yardstick = predictor, sample, yardstick
        self._known: dict[str, np.ndarray] = {}

    def of(self, reading: Reading) -> np.ndarray:
        """Return the fit on each part of the rows; NaN where the model does not predict them so."""
        key = repr((dict(reading.inputs), [(name, dict(one.columns)) for name, one in reading.temporal.items()]))
        if key not in self._known:
            try:
                self._known[key] = self._yardstick.measure(predict(self._predictor, self._sample, reading))
            except AuditError:
                self._known[key] = np.full(1, np.nan)
        return self._known[key]


def try_out(
    predictor: Predictor, dataset: Dataset, reading: Reading, labels: np.ndarray, assumptions: Sequence[Assumption]
) -> Trial | None:
    """Try other orders than those assumed, and keep which fits the outcome best beyond chance.

    Parameters
    ----------
    predictor : Predictor
    dataset : Dataset
        Its own temporal data do not matter.
    reading : Reading
        As assumed.
    labels : ndarray of shape (n_rows,)
        The observed outcomes.
    assumptions : sequence of Assumption

    Returns
    -------
    Trial or None
        Of the rows that have both an outcome and a prediction; None where these cannot be compared.
    """
    rows = np.unique(np.linspace(0, dataset.n_rows - 1, min(dataset.n_rows, _MOST_ROWS)).astype(np.int64))
    sample = _sample(dataset, reading, rows)
    predicted = predict(predictor, sample, replace(reading, temporal=sample.temporal))
    rows = rows[np.isfinite(predicted).all(axis=1) & ~pd.isna(labels[rows])]
    sample = _sample(dataset, reading, rows)
    of_sample = replace(reading, temporal=sample.temporal)
    yardstick = Yardstick.of(labels[rows], predicted.shape[1])
    if yardstick is None:
        return None
    fits = _Fits(predictor, sample, yardstick)
    best = _best(of_sample, assumptions, fits)
    fit = fits.of(best)
    if not np.isfinite(fit).all():
        return None
    findings = tuple(_finding(of_sample, best, assumption, fits) for assumption in assumptions)
    temporal = {name: _with_columns(series, best.temporal[name]) for name, series in reading.temporal.items()}
    tells_nothing = not is_better(fit, np.full_like(fit, yardstick.worst))
    return Trial(replace(best, temporal=temporal), yardstick, len(rows), float(fit.mean()), tells_nothing, findings)


def predict(predictor: Predictor, dataset: Dataset, reading: Reading) -> np.ndarray:
    """Return predictions of shape (n_rows, n_outputs).

    Raises
    ------
    AuditError
        If the data are not what the inputs take, or the model fails on them.
    """
    specs = predictor.inputs
    inputs = bind_inputs(specs, replace(dataset, temporal=dict(reading.temporal)), reading.inputs)
    starts = range(0, dataset.n_rows, _CALL_ROWS)
    parts = [np.arange(start, min(start + _CALL_ROWS, dataset.n_rows)) for start in starts]
    return np.concatenate([predictor.begin([inputs.read(rows)])[0].baseline for rows in parts])


def _best(reading: Reading, assumptions: Sequence[Assumption], fits: _Fits) -> Reading:
    """Take another order that fits better, the best of all at once where they are few, then one after the other."""
    others = _combined(reading, assumptions)
    for _ in range(_MOST_CHANGES):
        better = [other for other in others if is_better(fits.of(other), fits.of(reading))]
        if not better:
            break
        reading = max(better, key=lambda other: float(fits.of(other).mean()))
        others = [other for assumption in assumptions for other in alternatives(reading, assumption)]
    return reading


def _combined(reading: Reading, assumptions: Sequence[Assumption]) -> list[Reading]:
    """Return other orders of one thing, and of several at once as long as these are few."""
    found = [reading]
    for assumption in assumptions:
        base = found if len(found) * (1 + len(list(alternatives(reading, assumption)))) <= _MOST_COMBINED else [reading]
        found = [*found, *(other for one in base for other in alternatives(one, assumption))]
    return found[1:]


def _finding(assumed: Reading, best: Reading, assumption: Assumption, fits: _Fits) -> Finding:
    fit = fits.of(best)
    others = [fits.of(other) for other in alternatives(best, assumption)]
    finite = [float(other.mean()) for other in others if np.isfinite(other).all()]
    is_told = bool(others) and all(is_better(fit, other) or not np.isfinite(other).all() for other in others)
    is_changed = order_of(assumed, assumption) != order_of(best, assumption)
    return Finding(assumption, is_told, is_changed, float(fit.mean()), max(finite, default=None))


def order_of(reading: Reading, assumption: Assumption) -> list[str]:
    """Return in which order a reading takes what an assumption is of: columns, or channels."""
    if assumption.kind == "numbers":
        return list(reading.inputs[assumption.of])
    series = reading.temporal[assumption.of]
    return list(series.channels if assumption.kind == "channels" else series.columns[sorted(series.channels)[0]])


def alternatives(reading: Reading, assumption: Assumption) -> Iterator[Reading]:
    """Yield the other orders of what an assumption is of; none where there are too many to try."""
    if assumption.kind == "numbers":
        names = list(reading.inputs[assumption.of])
        for order in _other_orders(len(names)):
            yield replace(reading, inputs={**reading.inputs, assumption.of: [names[place] for place in order]})
        return
    series = reading.temporal[assumption.of]
    if assumption.kind == "steps":
        turned = {channel: tuple(steps[::-1]) for channel, steps in series.columns.items()}
        yield _with_series(reading, assumption.of, replace(series, columns=turned))
        return
    for order in _other_orders(len(series.channels)):
        channels = tuple(series.channels[place] for place in order)
        columns = {channel: series.columns[channel] for channel in channels}
        yield _with_series(reading, assumption.of, replace(series, channels=channels, columns=columns))


def _with_series(reading: Reading, name: str, series: Series) -> Reading:
    return replace(reading, temporal={**reading.temporal, name: series})


def _with_columns(series: Series, other: Series) -> Series:
    """Return temporal data with another order of columns; arrays stay as they are."""
    return series if series.array is not None else replace(series, channels=other.channels, columns=other.columns)


def _other_orders(count: int) -> Iterator[Sequence[int]]:
    """Yield orders of so many things: all of a few, each exchange of two of more, none of many."""
    own = tuple(range(count))
    if count <= _ALL_ORDERS:
        yield from (order for order in permutations(own) if order != own)
    elif count <= _ALL_PAIRS:
        for first, second in combinations(own, 2):
            order = list(own)
            order[first], order[second] = second, first
            yield order


def _sample(dataset: Dataset, reading: Reading, rows: np.ndarray) -> Dataset:
    """Return some rows in memory, with the temporal data of a reading."""
    series = {
        name: one if one.array is None else replace(one, array=np.asarray(one.array[rows]))
        for name, one in reading.temporal.items()
    }
    return Dataset(
        columns={name: values[rows] for name, values in dataset.columns.items()},
        temporal=series,
        n_rows=len(rows),
        written={name: values[rows] for name, values in dataset.written.items()},
    )
