"""Measures audits that take as many rows as their precision needs: how often intervals hold, and what is saved.

    PYTHONPATH=. python benchmarks/rows.py coverage --audits 2000
    PYTHONPATH=. python benchmarks/rows.py verdicts --audits 2000
    PYTHONPATH=. python benchmarks/rows.py speed --rows 1000000 --precision 0.005

An interval at a stop by its width is told on the rows at which it became narrow enough. Whether it holds the truth as
often as one of a number of rows that was fixed is simulated with the looks of an audit, at widths that are reached now
at one look and now at another. Where checks decide when to stop, it is simulated how often a limit that lies at the
truth is kept, or missed, at some look. Speed is that of whole audits of the article's shape, reading included.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage import COLUMNS, Rates, moves_of, rates, sample_of, statistics_of, truth_of
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions
from nnperm_mlflow.analysis.perturbation.looks import batches_of_looks
from nnperm_mlflow.analysis.uncertainty.intervals import Sample, ends_of, ranks_of
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.verdict._estimates import Estimate

_MOST_BATCHES = 48
_PILOT_AUDITS = 20
VERDICTS = [
    ("normal", "mean", 1),
    ("exponential", "mean", 1),
    ("probability", "mean", 1),
    ("bounded, skewed", "mean", 1),
    ("zero-inflated", "mean", 1),
    ("flag of 2 %", "mean", 1),
    ("normal", "median", 1),
    ("exponential", "median", 1),
    ("exponential", "q95", 1),
    ("normal", "mean", 10),
    ("exponential", "mean", 10),
]
"""A column, a statistic, and of how many such columns a limit is asked for at once."""
_TRUTHS = {
    ("normal", "mean"): 2 / math.sqrt(math.pi),
    ("exponential", "mean"): 1.0,
    ("zero-inflated", "mean"): 2 * 0.1 * 0.9 + 0.1**2,
    ("flag of 2 %", "mean"): 2 * 0.02 * 0.98 * 0.9,
    ("probability", "mean"): 0.011434798143477289,
    ("bounded, skewed", "mean"): 0.12640354437229429,
    ("normal", "median"): math.sqrt(2) * 0.6744897501960817,
    ("exponential", "median"): math.log(2),
    ("exponential", "q95"): math.log(20),
}
"""Of |x - x'|; of the probability and of what is bounded by quadrature: a large sample errs by a fifth of an audit."""


def width_stop(name: str, stop_at: int, *, n_audits: int = 1_000, batch_rows: int = BATCH_ROWS) -> Rates:
    """Return how often the interval of a mean holds the truth where audits stop as soon as it is narrow enough.

    Parameters
    ----------
    name : str
        Of a column, see `coverage.COLUMNS`.
    stop_at : int
        Batches on which the interval is, on average, as wide as is asked for.
    n_audits : int
    batch_rows : int
        Rows of a batch.
    """
    pilot = [next(_looks(name, [5, seed], batch_rows, [stop_at])) for seed in range(_PILOT_AUDITS)]
    precision = float(np.mean([each.high - each.low for each in pilot]))
    numbers = list(batches_of_looks(_MOST_BATCHES))
    ends = [_stopped(_looks(name, [6, seed], batch_rows, numbers), precision) for seed in range(n_audits)]
    return rates(ends, truth_of(name, True))


def _stopped(looks: Iterator[Estimate], precision: float) -> tuple[float, float]:
    """Return the first interval that is narrow enough, or the last."""
    for told in looks:
        if told.high - told.low <= precision:
            break
    return told.low, told.high


@dataclass(frozen=True)
class Stops:
    """What came of audits that went on until a check was decided whose limits lie at the truth.

    Attributes
    ----------
    holds, fails : float
        Share of audits in which it was kept, or missed, at some look: wrongly, since chance alone can tell.
    held : float
        Share of audits in which the interval of the verdict holds the truth.
    n_audits : int
    """

    holds: float
    fails: float
    held: float
    n_audits: int

    def __str__(self) -> str:
        return f"holds {self.holds:6.2%}, fails {self.fails:6.2%}, interval held {self.held:7.2%} of {self.n_audits:,}"


def verdict_stop(
    name: str,
    statistic: str = "mean",
    *,
    n_batches: int = _MOST_BATCHES,
    n_numbers: int = 1,
    shared: bool = True,
    n_audits: int = 1_000,
    batch_rows: int = BATCH_ROWS,
) -> Stops:
    """Return how often audits that go on until a check is decided decide it wrongly.

    Parameters
    ----------
    name : str
        Of a column, see `coverage.COLUMNS`.
    statistic : {"mean", "median", "q95"}
        That the check looks at.
    n_batches : int
        Most batches, which say how many looks there may be.
    n_numbers : int
        Independent columns of that name that have to keep the limit.
    shared : bool
        Whether each look gets its share of the level.
    """
    numbers, truth = list(batches_of_looks(n_batches)), _TRUTHS[name, statistic]
    stages = len(numbers) if shared else 1
    states: Counter[str] = Counter()
    n_held = 0
    for seed in range(n_audits):
        columns = [_looks(name, [7, number, seed], batch_rows, numbers, statistic) for number in range(n_numbers)]
        for told in zip(*columns, strict=True):
            own = [each.of_family(stages, statistic) for each in told]
            among = [each.of_family(stages * n_numbers, statistic) for each in told]
            found = {each.against(truth, True, wide) for each, wide in zip(own, among, strict=True)}
            state = next(state for state in ("fails", "undecided", "holds") if state in found)
            if state != "undecided":
                break
        states[state] += 1
        n_held += own[0].low <= truth <= own[0].high
    return Stops(states["holds"] / n_audits, states["fails"] / n_audits, n_held / n_audits, n_audits)


def _looks(
    name: str, seed: list[int], batch_rows: int, numbers: list[int], statistic: str = "mean"
) -> Iterator[Estimate]:
    """Yield a statistic of the deviations on so many batches of one data set, look by look."""
    rng, moves, donors = np.random.default_rng(seed), np.empty(0), np.empty(0, dtype=np.int64)
    feature = f"x{seed[1:-1]}"
    for n_batches in numbers:
        for number in range(len(moves) // batch_rows, n_batches):
            column, other = COLUMNS[name][0](rng, batch_rows)
            block = ShuffleBlock(number, np.arange(batch_rows))
            given = cycle_positions(block, seed[-1], feature, 0, np.zeros(batch_rows, dtype=np.int64)).astype(np.int64)
            moves = np.append(moves, moves_of(name, column, other, column[given]))
            donors = np.append(donors, number * batch_rows + given)
        sample = sample_of(moves[np.newaxis], Exchange([donors]))
        yield _estimate(sample, statistics_of(sample, moves[np.newaxis]), statistic)


def _estimate(sample: Sample, found: dict[str, float], statistic: str) -> Estimate:
    """Return a statistic with its interval, as an audit tells it."""
    if statistic == "mean":
        return Estimate(found["mean"], *ends_of(sample, found)["mean"])
    ordered = np.sort(sample.deviations, axis=None)
    low, high = ranks_of(sample, found, ordered.size, 0)[statistic]
    return Estimate(found[statistic], float(ordered[low]), float(ordered[high]))


@dataclass(frozen=True)
class Timed:
    """What an audit took, from reading the files on.

    Attributes
    ----------
    seconds, processor_seconds : float
    n_rows : int
        Most rows of a perturbation.
    width : float
        Of the widest interval of a mean.
    """

    seconds: float
    processor_seconds: float
    n_rows: int
    width: float


def made(n_rows: int, folder: Path) -> dict[str, Any]:
    """Return the settings of an audit of the article's shape; its files are written where they are not there yet."""
    import keras  # noqa: PLC0415 - simulations need no network
    import mlflow  # noqa: PLC0415
    from large import SHAPE, make_files  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from shapes import feature_names  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        make_files(n_rows, folder)
        network = keras.saving.load_model(folder / "model.keras")
        some = {each.name: np.zeros((2, *each.shape[1:]), each.dtype) for each in network.inputs}
        signature = infer_signature(some, network(some, training=False).numpy())
        mlflow.tensorflow.save_model(network, folder / "model", signature=signature, pip_requirements=["keras"])
    names = feature_names(SHAPE)
    history = {"file": str(folder / "history.npy"), "channels": names[-SHAPE.n_channels :], "channel_axis": 2}
    return {
        "model": str(folder / "model"),
        "data": {"static": str(folder / "static.parquet"), "temporal": {"history": history}},
        "inputs": {"num_input": names[: SHAPE.n_numbers]},
    }


def time_audit(settings: dict[str, Any], **asked: object) -> Timed:
    """Return what a whole audit takes: reading, checking, predicting, describing, drawing and logging."""
    from nnperm_mlflow import audit  # noqa: PLC0415

    started, used = time.perf_counter(), time.process_time()
    told = audit({**settings, "analysis": {"rare_below": 0.0, **asked}}).summary
    seconds, used = time.perf_counter() - started, time.process_time() - used
    return Timed(seconds, used, int(told["rows"].max()), float((told["mean_high"] - told["mean_low"]).max()))


def time_audits(n_rows: int, precision: float, folder: Path, sizes: tuple[int, int] | None = None) -> dict[str, Timed]:
    """Return what it takes to audit as many rows as are needed, and all of them.

    Parameters
    ----------
    n_rows : int
    precision : float
    folder : Path
        For the files; those that are there already are used.
    sizes : (int, int), optional
        Tell what all rows take from what these two numbers of rows take, as growth is linear (`growth.py`), and audit
        not all of them.
    """
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    settings = made(n_rows, folder / str(n_rows))
    time_audit(made(4_096, folder / "4096"))  # what a process does once
    found = {"enough": time_audit(settings, rows="auto", precision=precision)}
    if sizes is None:
        return {**found, "all": time_audit(settings)}
    few, more = (time_audit(made(size, folder / str(size))) for size in sizes)
    times = (n_rows - sizes[0]) / (sizes[1] - sizes[0])
    seconds, used = (
        getattr(few, name) + times * (getattr(more, name) - getattr(few, name))
        for name in ("seconds", "processor_seconds")
    )
    return {**found, f"{sizes[0]:,}": few, f"{sizes[1]:,}": more, "all": Timed(seconds, used, n_rows, math.nan)}


def main() -> None:
    """Print a table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["coverage", "verdicts", "speed"])
    parser.add_argument("--audits", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--precision", type=float, default=0.005)
    parser.add_argument("--sizes", type=int, nargs=2, help="numbers of rows that tell what all would take")
    parser.add_argument("--folder", type=Path, help="for files that are kept and used again")
    asked = parser.parse_args()
    if asked.what == "coverage":
        for name in ("normal", "exponential", "probability", "zero-inflated", "flag of 2 %"):
            for stop_at in (4, 6, 9, 14, 21):
                told = width_stop(name, stop_at, n_audits=asked.audits)
                print(f"{name:>14} {stop_at:3d} batches {told}", flush=True)
        return
    if asked.what == "verdicts":
        for name, statistic, n_numbers in VERDICTS:
            for shared in (True, False) if n_numbers == 1 and statistic == "mean" else (True,):
                told = verdict_stop(name, statistic, n_numbers=n_numbers, shared=shared, n_audits=asked.audits)
                level = "shared" if shared else "whole "
                print(f"{name:>14} {statistic:>6} of {n_numbers:2d}, {level} level: {told}", flush=True)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        sizes = None if asked.sizes is None else (asked.sizes[0], asked.sizes[1])
        found = time_audits(asked.rows, asked.precision, asked.folder or Path(scratch), sizes)
    for way, told in found.items():
        print(
            f"{way:>7}: {told.seconds:8.1f} s, {told.processor_seconds:8.1f} s of processors, {told.n_rows:,} of "
            f"{asked.rows:,} rows, intervals up to {told.width:.4g} wide"
        )
    every, enough = found["all"], found["enough"]
    told_by = "" if asked.sizes is None else f" (all rows as {asked.sizes[0]:,} and {asked.sizes[1]:,} let expect)"
    print(
        f"{every.seconds / enough.seconds:.1f} times as fast, {every.processor_seconds / enough.processor_seconds:.1f} "
        f"times in processor time{told_by}"
    )


if __name__ == "__main__":
    main()
