"""Measures what it costs that a model's own code runs in a process apart: audits with and without it, in turn.

    python benchmarks/isolation.py forest --rows 20000 --repeats 1 --pairs 5

Each audit is a program of its own, from its start to its end, as `nnperm audit --trust-model` is: the model's process
is started first of all. `forest` is scikit-learn's, of 100 trees on 20 numbers, stored by cloudpickle; `python` is a
class of its author that MLflow serves, of about the same cost, with arrays passing both ways for each call.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

HEAD = ("model", "rows", "repeats", "apart, s", "here, s", "s, apart / here", "CPU s, apart / here")
N_NUMBERS = 20
PROGRAM = """
import json, sys
asked = json.loads(sys.argv[1])
if asked["isolate"]:
    from nnperm_mlflow.models.isolation.process import start_ahead
    start_ahead()
import mlflow
from nnperm_mlflow import audit
mlflow.set_tracking_uri(asked["store"])
config = {"data": {"static": asked["data"]}, "analysis": {"repeats": asked["repeats"]}}
where = {"isolate": asked["isolate"], "work_dir": asked["work"]}
audit(config, model_uri="models:/m/1", trust_model=True, progress=False, **where)
"""


class OfItsAuthor(mlflow.pyfunc.PythonModel):
    """A model that no flavour knows."""

    def __init__(self, forest: RandomForestRegressor) -> None:
        self.forest = forest

    def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> np.ndarray:
        """Return predictions of shape (n_rows,)."""
        return np.tanh(self.forest.predict(model_input))


def main() -> None:
    """Measure pairs in turn, and print a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="forest", choices=("forest", "python"))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_site(Path(folder), asked.model, asked.rows)
        pairs: list[dict[bool, tuple[float, float]]] = []
        for number in range(asked.pairs):
            order = (True, False)[:: 1 if number % 2 else -1]
            pairs.append({isolate: run(Path(folder), isolate, asked.repeats) for isolate in order})
    apart, here = (median(pair[which][0] for pair in pairs) for which in (True, False))
    ratios = [_ratio([pair[True][of] / pair[False][of] for pair in pairs]) for of in (0, 1)]
    cells = (asked.model, f"{asked.rows:,}", str(asked.repeats), f"{apart:.2f}", f"{here:.2f}", *ratios)
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n| {' | '.join(cells)} |")


def make_site(folder: Path, kind: str, n_rows: int) -> None:
    """Write data, and a store in which a model is registered."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n_rows, N_NUMBERS)), columns=[f"n{number}" for number in range(N_NUMBERS)])
    table.to_parquet(folder / "rows.parquet")
    forest = RandomForestRegressor(100, max_depth=10, random_state=0, n_jobs=1)
    first = table[:2_000]
    forest.fit(first, first["n0"] * first["n1"] + first["n2"])
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'made.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("isolation", (folder / "artifacts").as_uri()))
    signature = mlflow.models.infer_signature(first, forest.predict(first))
    shared = {"name": "model", "registered_model_name": "m", "signature": signature}
    if kind == "forest":
        mlflow.sklearn.log_model(forest, serialization_format="cloudpickle", **shared)
    else:
        mlflow.pyfunc.log_model(python_model=OfItsAuthor(forest), **shared)


def run(folder: Path, isolate: bool, repeats: int) -> tuple[float, float]:
    """Audit once, on a store that holds nothing but the model; return seconds of the clock and of the processors."""
    store, work = folder / "store.db", folder / "work"
    shutil.copy(folder / "made.db", store)
    shutil.rmtree(work, ignore_errors=True)
    asked = {"isolate": isolate, "repeats": repeats, "store": f"sqlite:///{store}", "work": str(work)}
    told = json.dumps({**asked, "data": str(folder / "rows.parquet")})
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM, told], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ratio(ratios: list[float]) -> str:
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    main()
