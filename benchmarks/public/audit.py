"""Audits networks that nobody here designed, beside a plain loop of their own framework.

    pip install -e ".[cpu,torch,onnx]" -r benchmarks/public/requirements.txt      # into an environment of its own
    python -m benchmarks.public.audit [NAME ...] --rows 500

The plain loop calls the network itself, as a whole, once for each feature, with the very rows that the audit used. What
is told: whether it needed trust, how many deviations are the same to the last bit, the largest difference as a share of
the largest deviation, and the seconds of both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
import pandas as pd

import nnperm_mlflow
from benchmarks.public.networks import NETWORKS, Arrays, Public
from nnperm_mlflow.analysis.perturbation.donors import donor_positions, shuffle_blocks

HEAD = ("network", "trust", "reuse", "features", "identical", "largest difference", "audit, s", "loop, s")
SEED = 0


@dataclass(frozen=True)
class Audited:
    """What came of an audit: its deviation table, whether it needed trust, what it reused, and its seconds."""

    table: pd.DataFrame
    trusted: bool
    reuse: str
    seconds: float


def audited(made: Public, folder: Path) -> Audited:
    """Log and audit a network, without trust where that does."""
    model = made.log()
    trusted = False
    while True:
        begun = time.monotonic()
        try:
            result = nnperm_mlflow.audit(
                f"models:/{model.model_id}",
                config={"analysis": {"rare_below": 0.0, "seed": SEED, **made.config}},
                data=pd.DataFrame(made.rows) if made.is_table else made.rows,
                trust_model=trusted,
                output=folder / "audit",
            )
        except nnperm_mlflow.UntrustedModelError:
            if trusted:
                raise
            trusted = True
            continue
        seconds = time.monotonic() - begun
        run = mlflow.get_run(result.run_id)
        table = pd.read_parquet(folder / "audit" / "deviations.parquet")
        reuse = run.data.metrics.get("nnperm/reuse", 0.0)
        return Audited(table, trusted, f"{reuse:.0%}", seconds)


def features_of(table: pd.DataFrame) -> list[str]:
    """Return the features of a deviation table."""
    return [column for column in table if column not in ("row", "row_id", "repeat", "baseline")]


def by_hand(made: Public, features: list[str]) -> tuple[dict[str, np.ndarray], float]:
    """Shuffle each feature with the audit's own donors, call the whole network, and return deviations."""
    output = made.config.get("output", 0)
    n_rows = len(next(iter(made.rows.values())))
    (block,) = shuffle_blocks(n_rows, SEED)
    begun = time.monotonic()
    baseline = made.call(made.rows)[:, output]
    found = {}
    for feature in features:
        donors = block.rows[donor_positions(block, SEED, feature, 0)]
        rows = {name: array.copy() for name, array in made.rows.items()}
        name, index = place_of(feature, made.rows)
        rows[name][(slice(None), *index)] = made.rows[name][donors][(slice(None), *index)]
        found[feature] = np.abs(made.call(rows)[:, output].astype(np.float64) - baseline)
    return found, time.monotonic() - begun


def place_of(feature: str, rows: Arrays) -> tuple[str, tuple[Any, ...]]:
    """Return the input that a feature of unnamed columns or channels lies in, and where."""
    if feature in rows:
        return feature, ()
    name, _, number = feature.rpartition(" ")
    column = int(number) - 1
    name = name.removesuffix(" channel")
    return name, (column,) if rows[name].ndim == 2 else (slice(None), column)


def main() -> None:
    """Audit each network beside its plain loop, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="which networks; all without it")
    parser.add_argument("--rows", type=int, default=500)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for name in asked.names or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
            mlflow.set_experiment("public")
            made = NETWORKS[name](asked.rows)
            found = audited(made, Path(folder))
            expected, own_seconds = by_hand(made, features_of(found.table))
            print(told(name, found, expected, own_seconds), flush=True)


@dataclass(frozen=True)
class Agreement:
    """How far deviations are those of the plain loop: the share that is the same, and the largest difference."""

    identical: float
    largest: float


def agreement(table: pd.DataFrame, expected: dict[str, np.ndarray]) -> Agreement:
    """Hold a deviation table against deviations made by hand; the largest difference as a share of the largest."""
    ordered = table.sort_values("row")
    found = np.stack([ordered[feature].to_numpy(np.float64) for feature in expected], axis=1)
    wanted = np.stack([*expected.values()], axis=1)
    same = (found == wanted.astype(np.float32)).mean()
    return Agreement(float(same), float(np.abs(found - wanted).max() / wanted.max()))


def told(name: str, found: Audited, expected: dict[str, np.ndarray], own_seconds: float) -> str:
    """Return a line of the table."""
    agreed = agreement(found.table, expected)
    numbers = (f"{agreed.identical:.2%}", f"{agreed.largest:.1e}", f"{found.seconds:.1f}", f"{own_seconds:.1f}")
    cells = (name, "needed" if found.trusted else "none", found.reuse, str(len(expected)), *numbers)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
