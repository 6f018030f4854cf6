"""One contender on one shape, in a process of its own: prints the seconds it took and the memory it reached.

python benchmarks/contenders.py NAME SHAPE N_ROWS REPEATS MODEL OUTPUT_FILE [N_FEATURES]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd
import tensorflow as tf
from case import Case, load_case
from memory import peak_mib
from packages import MODULES, alibi, captum, eli5, sklearn
from shapes import SHAPES
from unlogged_audit import SEED, audit, donors_of

from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.inputs.slots import Change, in_all_rows
from nnperm_mlflow.models.branches._branch_block import BranchBlock, Route
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor

_FLOOR_ROWS = (1_024, 2_048, 4_096, 8_192, 16_384)

Contender = Callable[[Case, Path], Callable[[], np.ndarray] | float]
"""Is given a folder to write to; returns what reads its deviations or importances, or the seconds that it found."""


def ours(case: Case, folder: Path, exact: bool = True) -> Callable[[], np.ndarray]:
    """Do what an audit does without MLflow: fitting, tracing, the loop, the table on disk, the summary.

    Parameters
    ----------
    case : Case
    folder : Path
        Where the table is written.
    exact : bool
        Whether all is to be the model's own to the last bit.

    Returns
    -------
    callable
        Reads the table back, for the comparison of deviations; no part of an audit.
    """
    predictor, inputs = case.bound()
    settings = AnalysisConfig(rare_below=0.0, exclude=case.excluded, repeats=case.repeats, seed=SEED, exact=exact)
    path = audit(predictor, inputs, settings, folder)

    def found() -> np.ndarray:
        return pd.read_parquet(path).sort_values(["repeat", "row"])[case.features].to_numpy()

    return found


def article(case: Case, folder: Path) -> Callable[[], np.ndarray]:
    """Do as the article's script does: `predict` and a CSV file for each feature, then all of them read again.

    Donors are ours, so that deviations can be held against each other.
    """
    found = []
    for repeat in range(case.repeats):
        names = {}
        for feature in [None, *case.features]:
            rows_of = {} if feature is None else {feature: donors_of(feature, case.n_rows, repeat)}
            predicted = case.call(case.inputs(rows_of))
            names[feature] = folder / f"inference_{feature}_perturbated.csv"
            pd.DataFrame({"inference": predicted}).to_csv(names[feature], index=False)
        read = {feature: pd.read_csv(path, dtype=predicted.dtype)["inference"] for feature, path in names.items()}
        found.append(np.stack([(read[None] - read[feature]).abs() for feature in case.features], axis=1))
    return lambda: np.concatenate(found)


def floor(case: Case, folder: Path) -> float:
    """Time the bare calls of an audit at their best batch sizes, and nothing else; return seconds.

    What is called are the compiled pieces of the network, with tensors made before, one call after the other: once all
    of them, and for each feature the own steps of its inputs, where its values are not whole rows of them, and the
    joint steps.
    """
    predictor, inputs = case.bound()
    fitted = predictor.fitted(inputs.read(probe_rows(case.n_rows)))
    if not isinstance(fitted, BranchPredictor):
        raise SystemExit("the network is not run by branches")
    best: dict[object, float] = {}
    routes = []
    for n_rows in sorted({min(size, case.n_rows) for size in _FLOOR_ROWS}):
        rows = inputs.read(np.arange(n_rows))
        block = fitted.begin([rows])[0]
        tensors = {name: tf.convert_to_tensor(values) for name, values in rows.items()}
        first = {name: tensor[:1] for name, tensor in tensors.items()}
        routes = []
        for feature in inputs.features.values():
            values = tuple(rows[slot.input][in_all_rows(slot.index)] for slot in feature.slots)
            routes.append(block.kind_of(Change(feature.slots, values, np.arange(n_rows))))
        routes = [route for route, name in zip(routes, inputs.features, strict=True) if name not in case.excluded]

        def run(route: Route, block: BranchBlock = block, given: dict = tensors, alone: dict = first) -> None:
            for name in route.run:
                fitted.run_own(name, given[name], alone)
            borders = {name: block.borders[name] for name in route.cluster}
            frontier = fitted.look_up(fitted.joint[route.cluster].frontier, block.borders, block.kept)
            fitted.joint[route.cluster](borders, frontier)

        for route in {Route(fitted.every, frozenset(fitted.every)), *routes}:
            seconds = _best(lambda route=route, run=run: run(route)) / n_rows
            best[route] = min(best.get(route, np.inf), seconds)
    a_row = best[Route(fitted.every, frozenset(fitted.every))] + case.repeats * sum(best[route] for route in routes)
    return float(a_row * case.n_rows)


def _best(call: object) -> float:
    """Return the median time of a few calls, after one that does not count."""
    call()
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def main() -> None:
    """Run the contender that the command line names."""
    name, shape, n_rows, repeats, model, output, *n_features = sys.argv[1:]
    if name in MODULES:
        import_module(MODULES[name])
    case = load_case(SHAPES[shape], int(n_rows), int(repeats), Path(model), *map(int, n_features))
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = CONTENDERS[name](case, Path(folder))
        seconds = found if isinstance(found, float) else time.perf_counter() - started
        peak = peak_mib()
        if not isinstance(found, float):
            np.save(output, found())
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "before_mib": before}))


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "shortcut": partial(ours, exact=False),
    "article": article,
    "sklearn": sklearn,
    "eli5": eli5,
    "alibi": alibi,
    "captum": captum,
    "floor": floor,
}


if __name__ == "__main__":
    main()
