"""How far conditional shuffles lie from what they stand for, in simulated audits whose truth is known.

Ten Gaussian features, each two with the same correlation; what is shuffled is a number, a code that is cut from one, a
series around one, or a group of two. Two truths are compared with: the mean deviation where donors come from the true
conditional distribution, and that of all rows there might be within the subgroups that an audit learned, which is what
its interval is of.

    python -m benchmarks.conditional_coverage --audits 300 --rows 1000 5000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.coverage import Rates, sample_of, statistics_of
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions
from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.analysis.perturbation.subgroups.subgroups import LearnedSubgroups
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.intervals import ends_of
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.inputs.specs import InputSpec

KINDS, MODELS, CORRELATIONS = ("number", "code", "channel", "group"), ("sum", "product"), (0.0, 0.5, 0.9, 0.95)

_FEATURES, _STEPS, _NOISE = 10, 6, 0.5
_POPULATION, _BLOCK = 200_000, 50_000


@dataclass(frozen=True)
class Rows:
    """Rows of a simulated data set.

    Attributes
    ----------
    numbers : ndarray of shape (n_rows, n_numbers)
        Features that are as they are.
    target : ndarray of shape (n_rows, ...)
        What is shuffled.
    """

    numbers: np.ndarray
    target: np.ndarray


def latent(rng: np.random.Generator, n_rows: int, correlation: float) -> np.ndarray:
    """Return Gaussian numbers of shape (n_rows, 10), each two with that correlation."""
    common, own = rng.normal(size=(n_rows, 1)), rng.normal(size=(n_rows, _FEATURES))
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own


def observed(kind: str, numbers: np.ndarray, rng: np.random.Generator) -> Rows:
    """Return what is seen of such numbers; the last one, or two, make what is shuffled."""
    if kind == "group":
        return Rows(numbers[:, :-2], numbers[:, -2:])
    last = numbers[:, -1]
    target = {
        "number": last,
        "code": np.digitize(last, (-1, 0, 1)),
        "channel": last[:, None] + _NOISE * rng.normal(size=(len(last), _STEPS)),
    }
    return Rows(numbers[:, :-1], target[kind])


def redrawn(kind: str, numbers: np.ndarray, correlation: float, rng: np.random.Generator) -> Rows:
    """Return the same rows with what is shuffled drawn anew from its true distribution given the others."""
    n_drawn = 2 if kind == "group" else 1
    covariance = np.full((_FEATURES, _FEATURES), correlation) + (1 - correlation) * np.eye(_FEATURES)
    known, drawn = slice(0, _FEATURES - n_drawn), slice(_FEATURES - n_drawn, None)
    weights = np.linalg.solve(covariance[known, known], covariance[known, drawn])
    left = covariance[drawn, drawn] - covariance[drawn, known] @ weights
    new = numbers[:, known] @ weights + rng.normal(size=(len(numbers), n_drawn)) @ np.linalg.cholesky(left).T
    return observed(kind, np.c_[numbers[:, known], new], rng)


def predicted(kind: str, model: str, rows: Rows, target: np.ndarray) -> np.ndarray:
    """Return what a model predicts of rows that hold another target."""
    value = {"channel": lambda: target.mean(axis=1), "group": lambda: target[:, 0] + target[:, 1]}.get(
        kind, lambda: target.astype(np.float64)
    )()
    others = rows.numbers.sum(axis=1)
    return value + others if model == "sum" else value * rows.numbers[:, 0] + others


@cache
def true_values(kind: str, correlation: float) -> dict[str, float]:
    """Return for each model the mean deviation where donors come from the true conditional distribution."""
    rng = np.random.default_rng(1)
    numbers = latent(rng, 2 * _POPULATION, correlation)
    rows, others = observed(kind, numbers, rng), redrawn(kind, numbers, correlation, rng)
    moves = {model: [predicted(kind, model, rows, each.target) for each in (others, rows)] for model in MODELS}
    return {model: float(np.abs(after - before).mean()) for model, (after, before) in moves.items()}


def bound(kind: str, rows: Rows) -> tuple[BoundInputs, Feature]:
    """Bind rows to a model's inputs; and the feature that is shuffled."""
    table = pd.DataFrame(rows.numbers, columns=[f"x{place}" for place in range(rows.numbers.shape[1])])
    series, said, names = {}, {}, [*table]
    specs = []
    if kind in ("number", "group"):
        for place, column in enumerate(rows.target.reshape(len(table), -1).T):
            table[f"target{place}"] = column
            names.append(f"target{place}")
    elif kind == "code":
        table["code"], said["code"] = rows.target, "code"
        specs.append(InputSpec("code", (1,), np.dtype("int64")))
    else:
        series["history"] = Series(("channel",), rows.target[:, :, None], channel_axis=2, model_channel_axis=2)
        specs.append(InputSpec("temporal_input", (_STEPS, 1), np.dtype("float64")))
    specs.append(InputSpec("numbers", (len(names),), np.dtype("float64")))
    inputs = bind_inputs(specs, dataset_from(table, series), {**said, "numbers": names})
    if kind == "group":
        members = ("target0", "target1")
        slots = tuple(slot for name in members for slot in inputs.features[name].slots)
        return inputs, Feature("target", slots, "group", members)
    return inputs, inputs.features[{"number": "target0"}.get(kind, kind)]


@dataclass(frozen=True)
class Found:
    """What came of simulated audits of one kind.

    Attributes
    ----------
    rates : Rates
        How often the interval of the mean misses the value within the learned subgroups.
    distance : float
        By how much that lies off the true conditional value, as a share of it, on average.
    subgroups : float
        How many were learned, on average.
    """

    rates: Rates
    distance: float
    subgroups: float


def simulate(
    kind: str, correlation: float, *, n_rows: int, n_audits: int, models: Sequence[str] = MODELS
) -> dict[str, Found]:
    """Return for each model what came of simulated audits, which are of the same rows, subgroups and donors for all."""
    rng, learned = np.random.default_rng([7, n_rows]), list[int]()
    within: dict[str, list[float]] = {model: [] for model in models}
    below, above = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for seed in range(n_audits):
        rows = observed(kind, latent(rng, n_rows, correlation), rng)
        inputs, feature = bound(kind, rows)
        subgroups = SubgroupLearner(inputs, seed, None).learn(feature, inputs.features)
        learned.append(subgroups.n_subgroups)
        exchange = exchanged_within(subgroups, kind, rows, seed)
        fresh = observed(kind, latent(rng, _POPULATION, correlation), rng)
        of_fresh = exchanged_within(subgroups, kind, fresh, seed)
        for model in models:
            moves = moves_by(exchange, kind, model, rows)
            sample = sample_of(moves[None], exchange)
            low, high = ends_of(sample, statistics_of(sample, moves[None]))["mean"]
            truth = float(np.abs(moves_by(of_fresh, kind, model, fresh)).mean())
            within[model].append(truth)
            below[model], above[model] = below[model] + (high < truth), above[model] + (low > truth)
    return {
        model: Found(
            Rates(below[model] / n_audits, above[model] / n_audits, n_audits),
            float(np.mean(within[model])) / true_values(kind, correlation)[model] - 1,
            float(np.mean(learned)),
        )
        for model in models
    }


def exchanged_within(subgroups: LearnedSubgroups, kind: str, rows: Rows, seed: int) -> StratifiedExchange:
    """Return who gives to whom where donors come from subgroups, block by block."""
    inputs, _ = bound(kind, rows)
    of_rows, donors = list[np.ndarray](), list[np.ndarray]()
    for number, start in enumerate(range(0, inputs.n_rows, _BLOCK)):
        positions = np.arange(start, min(start + _BLOCK, inputs.n_rows))
        of_rows.append(subgroups.of(ColumnReader(inputs.sources, positions), positions))
        donors.append(positions[cycle_positions(ShuffleBlock(number, positions), seed, "x", 0, of_rows[-1])])
    return StratifiedExchange([np.concatenate(donors)], np.concatenate(of_rows))


def moves_by(exchange: StratifiedExchange, kind: str, model: str, rows: Rows) -> np.ndarray:
    """Return by how much predictions move once each row holds the target of its donor."""
    (donors,) = exchange.donors
    return predicted(kind, model, rows, rows.target[donors]) - predicted(kind, model, rows, rows.target)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=100)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--correlations", type=float, nargs="+", default=CORRELATIONS)
    asked = parser.parse_args()
    print("| rows | feature | model | correlation | off the true value | held | subgroups |\n|" + " --- |" * 7)
    for n_rows in asked.rows:
        for kind in asked.kinds:
            for correlation in asked.correlations:
                for model, found in simulate(kind, correlation, n_rows=n_rows, n_audits=asked.audits).items():
                    print(
                        f"| {n_rows:,} | {kind} | {model} | {correlation:g} | {found.distance:+.1%} | "
                        f"{found.rates.held:.1%} | {found.subgroups:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
