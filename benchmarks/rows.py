"""Measures audits that take as many rows as their precision needs: how often intervals hold, and what is saved.

    PYTHONPATH=. python benchmarks/rows.py coverage --audits 2000
    PYTHONPATH=. python benchmarks/rows.py speed --rows 1000000 --precision 0.005

An interval at a stop by its width is told on the rows at which it became narrow enough. Whether it holds the truth as
often as one of a number of rows that was fixed is simulated with the looks of an audit, at widths that are reached now
at one look and now at another. Speed is that of whole audits of the article's shape, reading included.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage import COLUMNS, Rates, moves_of, rates, sample_of, statistics_of, truth_of
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions
from nnperm_mlflow.analysis.uncertainty.intervals import ends_of
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.auditor.sampling import batches_of_looks

_MOST_BATCHES = 48
_PILOT_AUDITS = 20


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
    precision = float(np.mean([high - low for low, high in pilot]))
    numbers = list(batches_of_looks(_MOST_BATCHES))
    ends = [_stopped(_looks(name, [6, seed], batch_rows, numbers), precision) for seed in range(n_audits)]
    return rates(ends, truth_of(name, True))


def _stopped(looks: Iterator[tuple[float, float]], precision: float) -> tuple[float, float]:
    """Return the first interval that is narrow enough, or the last."""
    for low, high in looks:
        if high - low <= precision:
            break
    return low, high


def _looks(name: str, seed: list[int], batch_rows: int, numbers: list[int]) -> Iterator[tuple[float, float]]:
    """Yield the interval of the mean deviation on so many batches of one data set, look by look."""
    rng, moves, donors = np.random.default_rng(seed), np.empty(0), np.empty(0, dtype=np.int64)
    for n_batches in numbers:
        for number in range(len(moves) // batch_rows, n_batches):
            column, other = COLUMNS[name][0](rng, batch_rows)
            block = ShuffleBlock(number, np.arange(batch_rows))
            given = cycle_positions(block, seed[-1], "x", 0, np.zeros(batch_rows, dtype=np.int64)).astype(np.int64)
            moves = np.append(moves, moves_of(name, column, other, column[given]))
            donors = np.append(donors, number * batch_rows + given)
        sample = sample_of(moves[np.newaxis], Exchange([donors]))
        yield ends_of(sample, statistics_of(sample, moves[np.newaxis]))["mean"]


def time_audits(n_rows: int, precision: float, folder: Path) -> dict[str, tuple[float, int, float]]:
    """Return for an audit of all rows and one of as many as are needed: seconds, rows, and the widest interval."""
    import keras  # noqa: PLC0415 - simulations need no network
    import mlflow  # noqa: PLC0415
    from large import SHAPE, make_files  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from shapes import feature_names  # noqa: PLC0415

    from nnperm_mlflow import audit  # noqa: PLC0415

    make_files(n_rows, folder)
    network = keras.saving.load_model(folder / "model.keras")
    some = {each.name: np.zeros((2, *each.shape[1:]), each.dtype) for each in network.inputs}
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    signature = infer_signature(some, network(some, training=False).numpy())
    mlflow.tensorflow.save_model(network, folder / "model", signature=signature, pip_requirements=["keras"])
    names, found = feature_names(SHAPE), {}
    history = {"file": str(folder / "history.npy"), "channels": names[-SHAPE.n_channels :], "channel_axis": 2}
    settings: dict[str, Any] = {
        "data": {"static": str(folder / "static.parquet"), "temporal": {"history": history}},
        "inputs": {"num_input": names[: SHAPE.n_numbers]},
    }
    ways: dict[str, dict[str, object]] = {"enough": {"rows": "auto", "precision": precision}, "all": {}}
    for way, asked in ways.items():
        started = time.perf_counter()
        told = audit({**settings, "analysis": {"rare_below": 0.0, **asked}}, model_uri=str(folder / "model"))
        seconds, widths = time.perf_counter() - started, told.summary["mean_high"] - told.summary["mean_low"]
        found[way] = seconds, int(told.summary["rows"].max()), float(widths.max())
    return found


def main() -> None:
    """Print a table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["coverage", "speed"])
    parser.add_argument("--audits", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--precision", type=float, default=0.005)
    asked = parser.parse_args()
    if asked.what == "coverage":
        for name in ("normal", "exponential", "probability", "zero-inflated", "flag of 2 %"):
            for stop_at in (4, 6, 9, 14, 21):
                told = width_stop(name, stop_at, n_audits=asked.audits)
                print(f"{name:>14} {stop_at:3d} batches {told}", flush=True)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        found = time_audits(asked.rows, asked.precision, Path(folder))
    for way, (seconds, n_rows, width) in found.items():
        print(f"{way:>7}: {seconds:8.1f} s, {n_rows:,} of {asked.rows:,} rows, intervals up to {width:.4g} wide")
    times = found["all"][0] / found["enough"][0] if found["enough"][0] else math.nan
    print(f"{times:.1f} times as fast")


if __name__ == "__main__":
    main()
