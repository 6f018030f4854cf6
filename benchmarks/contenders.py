"""One contender on one shape, in a process of its own: prints the seconds it took and the memory it reached.

python benchmarks/contenders.py NAME SHAPE N_ROWS REPEATS MODEL_FILE OUTPUT_FILE
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from shapes import SHAPES, Shape, feature_names, make_data
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance

from nnperm_mlflow.analysis.deviation import choose_measure
from nnperm_mlflow.analysis.engine import Job, choose_block_rows, probe_rows, run_blocks, tally_and_write
from nnperm_mlflow.analysis.perturbations import plan_perturbations
from nnperm_mlflow.analysis.shuffling import donor_positions, shuffle_blocks
from nnperm_mlflow.analysis.statistics import summarize
from nnperm_mlflow.analysis.table import TableWriter, read_deviations
from nnperm_mlflow.config import AnalysisConfig
from nnperm_mlflow.inputs.binding import BoundInputs, bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.models.branches import BranchPredictor
from nnperm_mlflow.models.keras_network import keras_predictor
from nnperm_mlflow.models.predictor import Predictor

SEED = 0
_ARTICLE_BATCH = 3000
_FLOOR_ROWS = (1_024, 2_048, 4_096, 8_192, 16_384)


class Case:
    """A loaded network with its data.

    Parameters
    ----------
    shape : Shape
    n_rows, repeats : int
    network : keras.Model
    """

    def __init__(self, shape: Shape, n_rows: int, repeats: int, network: keras.Model) -> None:
        self.shape, self.n_rows, self.repeats, self.network = shape, n_rows, repeats, network
        self.table, self.history = make_data(shape, n_rows)
        self.features = feature_names(shape)

    def inputs(self, rows_of: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Return the network's inputs; for some features the values come from other rows."""
        rows_of = rows_of or {}
        given: dict[str, np.ndarray] = {}
        if self.shape.n_numbers:
            given["num_input"] = self.table[self.features[: self.shape.n_numbers]].to_numpy(np.float32)
        for number in range(self.shape.n_codes):
            given[f"code{number}_input"] = self.table[[f"code{number}"]].to_numpy(np.int32)
        if self.history is not None:
            given["temporal_input"] = self.history
        for feature, rows in rows_of.items():
            self._disturb(given, feature, rows)
        return given

    def _disturb(self, given: dict[str, np.ndarray], feature: str, rows: np.ndarray) -> None:
        if feature.startswith("code"):
            given[f"{feature}_input"] = given[f"{feature}_input"][rows]
            return
        if feature.startswith("channel"):
            name, place = "temporal_input", (slice(None), slice(None), int(feature.removeprefix("channel")))
        else:
            name, place = "num_input", (slice(None), int(feature.removeprefix("n")))
        changed = given[name].copy()
        changed[place] = given[name][place][rows]
        given[name] = changed

    def bound(self) -> tuple[Predictor, BoundInputs]:
        """Return the network as a predictor and its inputs, as an audit has them."""
        predictor = keras_predictor(self.network)
        channels = tuple(self.features[self.shape.n_numbers + self.shape.n_codes :])
        temporal = {} if self.history is None else {"history": Series(channels, self.history, channel_axis=2)}
        said = {"num_input": self.features[: self.shape.n_numbers]} if self.shape.n_numbers else {}
        static = self.table if len(self.table.columns) else None
        return predictor, bind_inputs(predictor.inputs, dataset_from(static, temporal), said)


def ours(case: Case) -> np.ndarray:
    """Do what an audit does without MLflow: fitting, tracing, the loop, the table on disk, the summary."""
    predictor, inputs = case.bound()
    predictor = predictor.fitted(inputs.read(probe_rows(case.n_rows)))
    perturbations = plan_perturbations(inputs, "the network", AnalysisConfig(rare_below=0.0))
    job = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "the network", SEED, case.repeats)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deviations.parquet"
        with TableWriter(path, perturbations, ("baseline",), None, {}) as table:
            results = run_blocks(job, choose_block_rows(inputs, "auto"))
            tally = tally_and_write(results, table.write, job, lambda done, total: None)
        summarize(perturbations, tally, lambda number: read_deviations(path, perturbations[number].name))
        return pd.read_parquet(path).sort_values(["repeat", "row"])[case.features].to_numpy()


def article(case: Case) -> np.ndarray:
    """Do as the article's script does: `predict` and a CSV file for each feature, then all of them read again."""
    (block, *others) = shuffle_blocks(case.n_rows, SEED)
    if others:
        raise SystemExit("the article's script knows one shuffle block only: at most 65,536 rows")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(case.repeats):
            names = {}
            for feature in [None, *case.features]:
                rows_of = {} if feature is None else {feature: donor_positions(block, SEED, feature, repeat)}
                predicted = case.network.predict(case.inputs(rows_of), batch_size=_ARTICLE_BATCH, verbose=0)
                names[feature] = Path(folder) / f"inference_{feature}_perturbated.csv"
                pd.DataFrame({"inference": predicted.squeeze()}).to_csv(names[feature], index=False)
            read = {feature: pd.read_csv(path, dtype=np.float32)["inference"] for feature, path in names.items()}
            found.append(np.stack([(read[None] - read[feature]).abs() for feature in case.features], axis=1))
    return np.concatenate(found)


class ByRows(BaseEstimator):
    """A network for scikit-learn: each column of X says, for one feature, from which row its value comes."""

    def __init__(self, case: Case | None = None) -> None:
        self.case = case

    def fit(self, X: np.ndarray, y: np.ndarray) -> ByRows:  # noqa: N803
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        own = np.arange(len(X))
        moved = {
            feature: X[:, number] for number, feature in enumerate(self.case.features) if (X[:, number] != own).any()
        }
        return self.case.network.predict(self.case.inputs(moved), batch_size=_ARTICLE_BATCH, verbose=0)[:, 0]


def sklearn(case: Case) -> None:
    """Call scikit-learn's `permutation_importance`, whose score is the mean absolute deviation from the baseline."""
    rows = np.repeat(np.arange(case.n_rows)[:, None], len(case.features), axis=1)
    estimator = ByRows(case)
    permutation_importance(
        estimator, rows, estimator.predict(rows), scoring="neg_mean_absolute_error", n_repeats=case.repeats
    )


def floor(case: Case) -> float:
    """Time the bare calls of prefix and suffixes at their best batch sizes, and nothing else; return seconds."""
    predictor, inputs = case.bound()
    fitted = predictor.fitted(inputs.read(probe_rows(case.n_rows)))
    whole_seconds, suffix_seconds = [], {}
    if not isinstance(fitted, BranchPredictor):
        raise SystemExit("the network is not run by branches")
    for n_rows in sorted({min(size, case.n_rows) for size in _FLOOR_ROWS}):
        given = {name: tf.convert_to_tensor(values) for name, values in inputs.read(np.arange(n_rows)).items()}
        block = fitted.begin({name: values.numpy() for name, values in given.items()})
        whole_seconds.append(_best(lambda given=given: fitted.begin(given)) / n_rows)
        for name in given:
            cluster = fitted.suffix_for([name])
            if cluster is not None and (cluster, n_rows) not in suffix_seconds:
                changed = {other: given[other] for other in given if fitted.suffix_for([other]) == cluster}
                seconds = _best(lambda c=cluster, x=changed, b=block: fitted.run_suffix(c, x, b.kept, 1))
                suffix_seconds[cluster, n_rows] = seconds / n_rows
    a_row = min(whole_seconds)
    for feature in inputs.features.values():
        cluster = fitted.suffix_for({slot.input for slot in feature.slots})
        own = [seconds for (other, _), seconds in suffix_seconds.items() if other == cluster]
        a_row += case.repeats * min([*own, min(whole_seconds)])
    return a_row * case.n_rows


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
    name, shape, n_rows, repeats, model, output = sys.argv[1:]
    case = Case(SHAPES[shape], int(n_rows), int(repeats), keras.saving.load_model(model))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    found = {"ours": ours, "article": article, "sklearn": sklearn, "floor": floor}[name](case)
    seconds = found if isinstance(found, float) else time.perf_counter() - started
    if isinstance(found, np.ndarray):
        np.save(output, found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mib": peak / 1024, "before_mib": before / 1024}))


if __name__ == "__main__":
    main()
