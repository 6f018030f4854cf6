"""How often intervals hold the true number where values are exchanged within strata, in simulated audits.

Rows are drawn anew for each audit, each with its stratum, so that a stratum has more rows in one audit than in another.
Strata differ in how far their values spread. A row that is alone in its stratum keeps its value, in the truth as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import expit

from benchmarks.coverage import Rates, rates, sample_of, statistics_of
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions, other_positions
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.intervals import ends_of, ranks_of

SIZES = {2: 150, 3: 100, 5: 60, 12: 25, 20: 15, 50: 6, 150: 2, 500: 2}
"""Rows that a stratum has on average, and how many strata there are."""

MODELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "x": lambda column: column,
    "probability": lambda column: expit(2 * column - 3),
}
FLIPS_AT = {"x": 1.0, "probability": 0.3}

_POPULATION = 2_000_000


def scales(n_strata: int) -> np.ndarray:
    """Return the standard deviation of each stratum."""
    return 1 + 0.6 * np.linspace(-1, 1, n_strata)


def moved(model: str, column: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much predictions move, and where decisions flip."""
    before, after = MODELS[model](column), MODELS[model](given)
    return after - before, (after > FLIPS_AT[model]) != (before > FLIPS_AT[model])


@cache
def truths(model: str, size: int) -> dict[str, float]:
    """Return the statistics of all rows there might be in strata of such a size."""
    rng, n_strata = np.random.default_rng(0), SIZES[size]
    spread = scales(n_strata)[rng.integers(0, n_strata, _POPULATION)]
    column, given = spread * rng.normal(size=(2, _POPULATION))
    alone = rng.random(_POPULATION) < (1 - 1 / n_strata) ** (size * n_strata - 1)
    moves, flipped = moved(model, column, np.where(alone, column, given))
    return {
        "mean": float(np.abs(moves).mean()),
        "median": float(np.median(np.abs(moves))),
        "q95": float(np.quantile(np.abs(moves), 0.95)),
        "shift": 0.0,
        "flipped_share": float(flipped.mean()),
    }


def strata(model: str, size: int, *, repeats: int = 1, tests: bool = False, n_audits: int = 1_000) -> dict[str, Rates]:
    """Return how often the intervals of an audit within strata hold the truth; with `tests` as with p-values."""
    rng, true = np.random.default_rng([4, size, repeats]), truths(model, size)
    n_strata, draw = SIZES[size], other_positions if tests else cycle_positions
    block, found = ShuffleBlock(0, np.arange(size * n_strata)), {name: list[tuple[float, float]]() for name in true}
    for seed in range(n_audits):
        of_rows = rng.integers(0, n_strata, size * n_strata)
        column = scales(n_strata)[of_rows] * rng.normal(size=len(of_rows))
        donors = [draw(block, seed, "x", repeat, of_rows).astype(np.int64) for repeat in range(repeats)]
        moves, flipped = moved(model, column, np.stack([column[each] for each in donors]))
        sample = sample_of(moves, StratifiedExchange(donors, of_rows), flipped)
        said, ordered = statistics_of(sample, moves), np.sort(sample.deviations, axis=None)
        ranks = ranks_of(sample, said, moves.size, 0)
        ends = ends_of(sample, said) | {name: tuple(ordered[list(ranks[name])].tolist()) for name in ("median", "q95")}
        for name, each in found.items():
            each.append(ends[name])
    return {name: rates(each, true[name]) for name, each in found.items()}


def main() -> None:
    """Print a line for each model, size of strata, number of repeats and statistic."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=1_000, help="audits a cell")
    n_audits = parser.parse_args().audits
    for model in MODELS:
        for size in SIZES:
            for repeats, tests in ((1, False), (5, False), (5, True)):
                way = f"{repeats} repeat(s){', tested' if tests else ''}"
                for name, found in strata(model, size, repeats=repeats, tests=tests, n_audits=n_audits).items():
                    print(f"{model:12} {size:4} rows {way:20} {name:14}: {found}", flush=True)


if __name__ == "__main__":
    main()
