"""How often intervals hold the true number, in simulated audits whose truth is known.

Rows are drawn anew for each audit, their donors are those that an audit draws, and the intervals those that it tells. A
limit that lies at the truth is passed wrongly where the interval ends below it: nominally in 2.5 % of all audits.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit

from nnperm_mlflow.analysis.difference.influences import find_influences, paired_errors
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.uncertainty.intervals import Sample, ends_of, ranks_of
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.verdict._estimates import Estimate

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
Model = Callable[[np.ndarray, np.ndarray], np.ndarray]

_POPULATION = 2_000_000
_CLIENTS, _MONTHS, _ALIKE = 100, 12, 0.8  # clusters, their rows, and the correlation within


def _numbers(rng: np.random.Generator, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=n_rows), rng.normal(size=n_rows)


def _of(column: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    return lambda rng, n_rows: (column(rng, n_rows), np.zeros(n_rows))


def _itself(column: np.ndarray, _: np.ndarray) -> np.ndarray:
    return column


COLUMNS: dict[str, tuple[Draw, Model]] = {
    "normal": (_numbers, _itself),
    "half": (_of(lambda rng, n: (rng.random(n) < 0.5) * 1.0), _itself),
    "exponential": (_of(lambda rng, n: rng.exponential(size=n)), _itself),
    "probability": (_numbers, lambda column, other: expit(2 * column + other - 7.2)),
    "zero-inflated": (_of(lambda rng, n: (rng.random(n) < 0.1) * rng.exponential(size=n)), _itself),
    "flag of 2 %": (_of(lambda rng, n: (rng.random(n) < 0.02) * 0.9), _itself),
    "bounded, skewed": (_of(lambda rng, n: rng.beta(0.3, 3.0, n)), _itself),
    "log-normal": (_of(lambda rng, n: np.exp(2 * rng.normal(size=n))), _itself),
    "t of 2 degrees": (_of(lambda rng, n: rng.standard_t(2, size=n)), _itself),
}
"""A column, another one, and the model. The probability moves by about 1 % on average."""

BOUNDED = ("normal", "half", "exponential", "probability", "zero-inflated", "flag of 2 %")
HEAVY = ("log-normal", "t of 2 degrees")
_KNOWN = {  # means that a large sample finds badly
    ("log-normal", True): 2 * math.exp(2) * math.erf(1),
    ("log-normal", False): math.exp(2),
    ("t of 2 degrees", True): math.pi / math.sqrt(2),
    ("t of 2 degrees", False): math.sqrt(2),
}


@dataclass(frozen=True)
class Rates:
    """What came of simulated audits.

    Attributes
    ----------
    below, above : float
        Share of audits whose interval ends below the truth (a `max` there is passed wrongly), or begins above it.
    n_audits : int
    """

    below: float
    above: float
    n_audits: int

    @property
    def held(self) -> float:
        """Share of audits whose interval holds the truth."""
        return 1 - self.below - self.above

    def __str__(self) -> str:
        error = math.sqrt(self.held * (1 - self.held) / self.n_audits)
        return f"{self.below:7.2%} below {self.above:7.2%} above {self.held:8.2%} held +- {error:.2%}"


def rates(ends: list[tuple[float, float]], truth: float) -> Rates:
    """Return how often intervals miss a truth; one without an end misses nothing, since no check passes on it."""
    low, high = np.array(ends).T
    return Rates(float(np.mean(high < truth)), float(np.mean(low > truth)), len(ends))


def moves_of(name: str, column: np.ndarray, other: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return by how much predictions move where rows are given other values."""
    model = COLUMNS[name][1]
    return model(given, other) - model(column, other)


@cache
def truth_of(name: str, shuffled: bool) -> float:
    """Return the mean deviation of all rows there might be, set to 0 where they are not shuffled."""
    if (name, shuffled) in _KNOWN:
        return _KNOWN[name, shuffled]
    rng = np.random.default_rng(0)
    column, other = COLUMNS[name][0](rng, _POPULATION)
    given = rng.permutation(column) if shuffled else np.zeros_like(column)
    return float(np.abs(moves_of(name, column, other, given)).mean())


def sample_of(moves: np.ndarray, exchange: Exchange, flipped: np.ndarray | None = None) -> Sample:
    """Return what an audit knows of moves, of shape (n_repeats, n_rows)."""
    none = np.zeros(moves.shape, dtype=bool)
    flips = none if flipped is None else flipped
    return Sample(np.abs(moves), moves != 0, moves < 0, flips, exchange, moves.shape[1], span=1.0)


def statistics_of(sample: Sample, moves: np.ndarray) -> dict[str, float]:
    """Return what an audit says of them."""
    return {
        "median": float(np.median(sample.deviations)),
        "q95": float(np.quantile(sample.deviations, 0.95)),
        "changed_median": math.nan,
        "mean": float(sample.deviations.mean()),
        "shift": float(moves.mean()),
        "flipped_share": float(sample.flipped.mean()),
    }


def means(name: str, n_rows: int, *, shuffled: bool = True, repeats: int = 1, n_audits: int = 1_000) -> Rates:
    """Return how often the interval of a mean deviation holds the truth."""
    rng, block, ends = np.random.default_rng([1, n_rows, repeats]), ShuffleBlock(0, np.arange(n_rows)), []
    for seed in range(n_audits):
        column, other = COLUMNS[name][0](rng, n_rows)
        donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)] if shuffled else None
        given = np.zeros((1, n_rows)) if donors is None else np.stack([column[each] for each in donors])
        moves = moves_of(name, column, other, given)
        sample = sample_of(moves, Exchange(donors))
        ends.append(ends_of(sample, statistics_of(sample, moves))["mean"])
    return rates(ends, truth_of(name, shuffled))


def clients(rng: np.random.Generator, n_clients: int = _CLIENTS) -> tuple[np.ndarray, np.ndarray]:
    """Return a column that is alike within clients, normal with variance 1, and each row's client."""
    of_rows = np.repeat(np.arange(n_clients), _MONTHS)
    noise = rng.normal(size=len(of_rows))
    return math.sqrt(_ALIKE) * rng.normal(size=n_clients)[of_rows] + math.sqrt(1 - _ALIKE) * noise, of_rows


CLUSTER_TRUTHS = {
    "mean": 2 / math.sqrt(math.pi),
    "median": math.sqrt(2) * 0.6744897501960817,
    "shift": 0.0,
    "flipped_share": 2 * 0.15865525393145707 * (1 - 0.15865525393145707),
}
"""Of |x - x'|, x and x' standard normal; decisions flip at 1."""


def clusters(
    *, shuffled: bool = True, repeats: int = 1, n_audits: int = 1_000, known: bool = True, n_clients: int = _CLIENTS
) -> dict[str, Rates]:
    """Return how often the intervals of rows of 100 clients hold the truth, told of the clients or not."""
    rng = np.random.default_rng([2, n_clients, repeats])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CLUSTER_TRUTHS}
    for seed in range(n_audits):
        column, of_rows = clients(rng, n_clients)
        block = ShuffleBlock(0, np.arange(len(column)))
        donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)] if shuffled else None
        given = np.zeros((1, len(column))) if donors is None else np.stack([column[each] for each in donors])
        moves = given - column
        sample = sample_of(moves, Exchange(donors, of_rows if known else None), (given > 1) != (column > 1))
        said = statistics_of(sample, moves)
        ends = ends_of(sample, said)
        low, high = ranks_of(sample, said, moves.size, 0)["median"]
        ordered = np.sort(sample.deviations, axis=None)
        ends["median"] = float(ordered[low]), float(ordered[high])
        for name, each in found.items():
            each.append(ends[name])
    truths = CLUSTER_TRUTHS if shuffled else _SET_TRUTHS
    return {name: rates(each, truths[name]) for name, each in found.items()}


_SET_TRUTHS = {
    "mean": math.sqrt(2 / math.pi),
    "median": 0.6744897501960817,
    "shift": 0.0,
    "flipped_share": 0.15865525393145707,
}


def differences(name: str, n_rows: int, *, grouped: bool = False, repeats: int = 1, n_audits: int = 1_000) -> Rates:
    """Return how often the interval of the difference of means holds the truth, of two versions on the same rows.

    The second version is steeper by a half; grouped, the rows are those of 100 clients.
    """
    rng, ends = np.random.default_rng([3, n_rows, repeats]), []
    for seed in range(n_audits):
        column, groups = clients(rng) if grouped else (COLUMNS[name][0](rng, n_rows)[0], None)
        block = ShuffleBlock(0, np.arange(len(column)))
        donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)]
        exchange = Exchange(donors, groups)
        moves = np.stack([column[each] for each in donors]) - column
        both = [find_influences(np.abs(times * moves), 0.0, (0.0, 0.0), exchange, len(column)) for times in (1.0, 1.5)]
        errors, value = paired_errors(*both)["mean"], 0.5 * float(np.abs(moves).mean())
        ends.append((value - errors.below, value + errors.above))
    return rates(ends, 0.5 * (CLUSTER_TRUTHS["mean"] if grouped else truth_of(name, shuffled=True)))


def looks(
    name: str, n_rows: int, stages: Sequence[int], *, shared: bool = True, n_audits: int = 1_000
) -> dict[str, float]:
    """Return how often a limit that lies at the truth is kept, and missed, in audits in stages.

    Each stage goes on with the shuffles of the one before, and is made only where that one was undecided.

    Parameters
    ----------
    stages : sequence of int
        Shuffles of each stage.
    shared : bool
        Whether each look gets its share of the level, as in a trial.
    """
    rng, block, truth = np.random.default_rng([4, n_rows]), ShuffleBlock(0, np.arange(n_rows)), truth_of(name, True)
    ends: Counter[str] = Counter()
    for seed in range(n_audits):
        column, other = COLUMNS[name][0](rng, n_rows)
        for repeats in stages:
            donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)]
            moves = moves_of(name, column, other, np.stack([column[each] for each in donors]))
            sample = sample_of(moves, Exchange(donors))
            said = statistics_of(sample, moves)
            number = Estimate(said["mean"], *ends_of(sample, said)["mean"])
            state = number.of_family(len(stages) if shared else 1, "mean").against(truth, at_most=True)
            if state != "undecided":
                break
        ends[state] += 1
    return {state: ends[state] / n_audits for state in ("holds", "fails", "undecided")}


def main() -> None:
    """Print the table of docs/method.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=1_000, help="audits a cell")
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--only", choices=["means", "clusters", "differences", "looks"], nargs="+")
    asked = parser.parse_args()
    wanted = asked.only or ["means", "clusters", "differences"]
    for name in BOUNDED if "looks" in wanted else ():
        for shared in (False, True):
            found = looks(name, asked.rows[0], (1, 5), shared=shared, n_audits=asked.audits)
            told = ", ".join(f"{state} {share:.2%}" for state, share in found.items())
            print(f"looks {name:15} at 1 and 5 repeats, {'shared' if shared else 'whole '} level: {told}", flush=True)
    for shuffled, repeats in ((True, 1), (True, 3), (False, 1)) if "means" in wanted else ():
        way = f"shuffled, {repeats} repeat(s)" if shuffled else "set"
        for name in COLUMNS:
            for n_rows in asked.rows:
                found = means(name, n_rows, shuffled=shuffled, repeats=repeats, n_audits=asked.audits)
                print(f"mean {name:15} {way:21} {n_rows:6}: {found}", flush=True)
    for shuffled, repeats in ((True, 1), (True, 3), (False, 1)) if "clusters" in wanted else ():
        way = f"shuffled, {repeats} repeat(s)" if shuffled else "set"
        for statistic, found in clusters(shuffled=shuffled, repeats=repeats, n_audits=asked.audits).items():
            print(f"clusters {statistic:15} {way:21}: {found}", flush=True)
    for name in [*COLUMNS] if "differences" in wanted else []:
        if name == "probability":  # which is no column, but a model of two
            continue
        print(f"difference {name:15}: {differences(name, 500, n_audits=asked.audits)}", flush=True)
    if "differences" in wanted:
        print(f"difference of clusters: {differences('normal', 0, grouped=True, n_audits=asked.audits)}")


if __name__ == "__main__":
    main()
