"""What the prediction of one row rests on: how it moves once the row holds others' values, feature by feature."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.missing import count_missing, count_missing_once
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle, held_by_others
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.basics.errors import ConfigError, DataError, NonFinitePredictionError
from nnperm_mlflow.inputs.slots import Change, Feature, read_slot

REASON_COLUMNS = ("place", "feature", "kind", "effect", "low", "high", "size", "turned", "donors")

_KINDS = ("number", "category", "series")


@dataclass(frozen=True)
class Reasons:
    """What the prediction of one row rests on.

    Attributes
    ----------
    prediction : float
        Of the row.
    others : float
        Mean prediction of the donors as they are.
    features : DataFrame
        A row for each feature with the columns `REASON_COLUMNS`, what raises the prediction most first: `effect` is the
        mean over the donors of f(x) - f(x'), x' being the row with the donor's value of the feature, between `low` and
        `high` with 95 % confidence as far as other donors are like these; `size` is the mean of |f(x) - f(x')|;
        `turned` the share of donors with whose value the decision is another one, NaN where nothing is decided;
        `donors` counts those that had a prediction. Neighbours whose intervals overlap have the same `place`, as "2-3".
    parts : DataFrame or None
        The same of windows and groups, where these were asked for, with places among themselves.
    """

    prediction: float
    others: float
    features: pd.DataFrame
    parts: pd.DataFrame | None = None


def features_to_explain(job: Job) -> list[Feature]:
    """Return the features that reasons are given by: the columns and channels that the job shuffles, each as a whole.

    Raises
    ------
    ConfigError
        If a distance between several outputs is followed, which has no direction, or there is no such feature.
    """
    if job.measure.distance is not None:
        raise ConfigError(
            f"the audit follows the distance '{job.measure.distance}' of several outputs, which goes neither up nor "
            "down: reasons need one output. Audit the version with 'analysis: output' naming it."
        )
    shuffled = [each.feature for each in job.perturbations if each.way == Shuffle.way]
    if not (features := [feature for feature in shuffled if feature.kind in _KINDS]):
        raise ConfigError("the audit disturbs nothing but windows and groups: there is no feature to give reasons by.")
    return features


def parts_to_explain(job: Job, kinds: Collection[Literal["window", "group"]]) -> list[Feature]:
    """Return the windows, or groups, that the job shuffles, each with one donor for all of its values.

    Raises
    ------
    ConfigError
        If there are none of a kind.
    """
    shuffled = [each.feature for each in job.perturbations if each.way == Shuffle.way]
    found = [feature for feature in shuffled if feature.kind in kinds]
    for kind in sorted(kinds):
        if not any(feature.kind == kind for feature in found):
            raise ConfigError(
                f"the audit has no {kind}s to give reasons by. Leave them out, or audit the version with 'analysis: "
                f"{kind}s'."
            )
    return found


def find_reasons(job: Job, row: int, donors: np.ndarray, others: float, parts: Sequence[Feature] = ()) -> Reasons:
    """Tell what the prediction of one row rests on, beside some others.

    For an additive model the effects are the interventional Shapley values of these donors, exactly: what each feature
    adds, less what it adds to the donors on average. Where features interact they add up to another sum.

    Parameters
    ----------
    job : Job
    row : int
        Position in the data.
    donors : ndarray of shape (n_donors,), int64
        Positions in the data.
    others : float
        Mean prediction of the donors as they are.
    parts : sequence of Feature
        Windows and groups that are told of beside features, see `parts_to_explain`.

    Raises
    ------
    ConfigError
        As `features_to_explain`.
    DataError
        If the row lacks something without which the model gives no prediction.
    NonFinitePredictionError
        If the model predicts no number for it.

    References
    ----------
    Robnik-Sikonja and Kononenko, "Explaining Classifications for Individual Instances", IEEE Transactions on Knowledge
    and Data Engineering 20, 2008; Janzing, Minorics and Bloebaum, "Feature Relevance Quantification in Explainable AI:
    A Causal Problem", AISTATS 2020.
    """
    features = features_to_explain(job)
    prediction = _own_prediction(job, row)
    step = choose_block_rows(job, "auto")
    chunks = [donors[start : start + step] for start in range(0, len(donors), step)]
    both = [*features, *parts]
    found = [_moves(job, row, chunk, both) for chunk in chunks]
    moves, turned = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
    clusters = None if job.clusters is None else np.unique(job.clusters[donors], return_inverse=True)[1]
    each = zip(both, moves, turned, strict=True)
    told = [_told(feature, of_it, turns, clusters) for feature, of_it, turns in each]
    if job.decision is None:
        told = [{**of_it, "turned": math.nan} for of_it in told]
    of_features, of_parts = told[: len(features)], told[len(features) :]
    return Reasons(prediction, others, _in_order(of_features), _in_order(of_parts) if of_parts else None)


def _in_order(told: list[dict[str, object]]) -> pd.DataFrame:
    """Return what is told of features, what raises the prediction most first, with their places."""
    table = pd.DataFrame(told).sort_values("effect", ascending=False, kind="stable").reset_index(drop=True)
    table.insert(0, "place", places(table["low"].to_numpy(), table["high"].to_numpy()))
    return table[list(REASON_COLUMNS)]


def places(low: np.ndarray, high: np.ndarray) -> list[str]:
    """Return the places of numbers in descending order; neighbours whose intervals overlap share theirs.

    >>> places(np.array([0.5, 0.1, 0.0]), np.array([0.6, 0.2, 0.15]))
    ['1', '2-3', '2-3']
    """
    apart = low[:-1] > high[1:]  # which what is not known is not
    first = np.concatenate([[True], apart]) if len(low) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(low))
    both = zip(starts.tolist(), ends.tolist(), strict=True)
    told = [f"{start + 1}" if end == start + 1 else f"{start + 1}-{end}" for start, end in both]
    return [told[group] for group in np.cumsum(first) - 1]


def _own_prediction(job: Job, row: int) -> float:
    """Return the prediction of a row, or say why there is none."""
    inputs = job.inputs.read(np.array([row]))
    if count_missing(inputs, job.void_inputs)[0]:
        raise DataError("the row lacks something that the model cannot do without: it has no prediction to explain.")
    found = float(job.measure.pick(job.predictor.begin([inputs])[0].baseline)[0, 0])
    if not math.isfinite(found):
        raise NonFinitePredictionError(f"{job.model} gives no number for the row: there is no prediction to explain.")
    return found


def _moves(job: Job, row: int, donors: np.ndarray, features: list[Feature]) -> tuple[np.ndarray, np.ndarray]:
    """Return f(x) - f(x') for each feature and donor, NaN where there is none, and whether the decision is another."""
    inputs = job.inputs.read(np.full(len(donors), row))
    block = job.predictor.begin([inputs])[0]
    before = job.measure.pick(block.baseline)[:, 0].astype(np.float64)
    missing = count_missing(inputs, job.void_inputs)
    complete, moved = np.ones((2, len(features), len(donors)), dtype=bool)

    def changes() -> Iterator[Change]:
        for number, feature in enumerate(features):
            values = tuple(read_slot(job.inputs.sources, slot, donors) for slot in feature.slots)
            change, moved[number] = held_by_others(feature, values, inputs)
            if job.void_inputs:
                complete[number] = count_missing_once(missing, change, inputs, job.void_inputs) == 0
            yield change

    found, turned = np.empty((len(features), len(donors))), np.zeros((len(features), len(donors)), dtype=bool)
    for number, predicted in enumerate(block.predict(changes())):
        after = job.measure.pick(predicted)[:, 0].astype(np.float64)
        known = np.isfinite(after) & complete[number]
        if not (known.all() or job.skips_missing):
            raise NonFinitePredictionError(
                f"{job.model} gave no number for {np.count_nonzero(~known)} of {len(known)} donors of "
                f"'{features[number].name}'. An audit with 'analysis: {{missing: skip}}' leaves such rows out."
            )
        found[number] = np.where(known, np.where(moved[number], before - after, 0.0), np.nan)
        if job.decision is not None:
            differs = job.decision.decide(predicted) != job.decision.decide(block.baseline)
            turned[number] = known & moved[number] & differs
    return found, turned


def _told(feature: Feature, moves: np.ndarray, turned: np.ndarray, clusters: np.ndarray | None) -> dict[str, object]:
    known = np.isfinite(moves)
    n_known = int(np.count_nonzero(known))
    told: dict[str, object] = {"feature": feature.name, "kind": feature.kind, "donors": n_known}
    if not n_known:
        return {**told, **dict.fromkeys(("effect", "low", "high", "size", "turned"), math.nan)}
    effect = math.fsum(moves[known]) / n_known
    dependence = Exchange(None, clusters)
    n_units = dependence.count_units(known[None])
    below = above = math.nan
    if n_units >= FEWEST_ROWS:
        below, above = reaches(dependence.moments(np.where(known, moves, 0.0)[None], known[None]), n_units)
    size = math.fsum(np.abs(moves[known])) / n_known
    share = np.count_nonzero(turned) / n_known
    return {**told, "effect": effect, "low": effect - below, "high": effect + above, "size": size, "turned": share}
