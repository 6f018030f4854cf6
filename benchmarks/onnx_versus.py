"""Measures audits of ONNX models in turn with a plain loop over sessions of the whole model; counts equal deviations.

    python benchmarks/onnx_versus.py article dense forest --rows 5000 20000 --pairs 5

Each turn is a process of its own. The loop does what its user would write: one session as MLflow makes it, calls of
3,000 rows, one feature after the other. The audit is fitting, the loop, the table and the summary. Loading and
making data come before. `article` is the article's shape, its codes one matrix; `dense` takes one tensor of 100
numbers; `forest` is scikit-learn's, of 100 trees on 20 numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import onnxruntime
import pandas as pd
from memory import peak_mib

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.perturbation.donors import donor_positions, shuffle_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import in_all_rows
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference

SEED = 0
N_NUMBERS = {"article": 100, "dense": 100, "forest": 20}
N_CODES, N_CHANNELS, N_STEPS = 16, 12, 24
_BATCH_ROWS = 3_000
_HEAD = ("model", "rows", "audit, s", "loop, s", "loop / audit", "of processor time", "identical", "peak, MiB")


def make_arrays(kind: str, n_rows: int) -> dict[str, np.ndarray]:
    """Return the model's inputs, made up from a seed."""
    rng = np.random.default_rng(0)
    arrays = {"numbers": rng.normal(size=(n_rows, N_NUMBERS[kind])).astype(np.float32)}
    if kind == "article":
        arrays["codes"] = rng.integers(0, 10, (n_rows, N_CODES))
        arrays["history"] = rng.normal(size=(n_rows, N_STEPS, N_CHANNELS)).astype(np.float32)
    return arrays


def places(kind: str) -> dict[str, tuple[str, tuple[int | slice, ...]]]:
    """Return for each feature the input and where in a row of it the feature sits."""
    found = {f"n{number}": ("numbers", (number,)) for number in range(N_NUMBERS[kind])}
    if kind == "article":
        found |= {f"code{number}": ("codes", (number,)) for number in range(N_CODES)}
        found |= {f"channel{number}": ("history", (slice(None), number)) for number in range(N_CHANNELS)}
    return found


def save_model(kind: str, folder: Path) -> Path:
    """Export a model with random weights, and log it as its user would; return its folder."""
    import mlflow  # noqa: PLC0415 - takes seconds

    model = _forest() if kind == "forest" else _network(kind, folder / "network.onnx")
    mlflow.onnx.save_model(model, str(folder / "model"), pip_requirements=["onnxruntime"])
    return folder / "model"


def _forest() -> object:
    import skl2onnx  # noqa: PLC0415
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    numbers = make_arrays("forest", 2_000)["numbers"]
    weights = 1 / np.arange(1, numbers.shape[1] + 1)
    forest = RandomForestRegressor(100, random_state=0).fit(numbers, numbers @ weights)
    named = [("numbers", skl2onnx.common.data_types.FloatTensorType([None, numbers.shape[1]]))]
    return skl2onnx.to_onnx(forest, initial_types=named)


def _network(kind: str, path: Path) -> object:
    import onnx  # noqa: PLC0415
    import torch  # noqa: PLC0415

    class Network(torch.nn.Module):
        """The article's shape, or its numbers alone."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(N_NUMBERS[kind])
            self.codes = torch.nn.ModuleList(torch.nn.Embedding(10, 4) for _ in range(N_CODES))
            self.static = torch.nn.Linear(N_NUMBERS[kind] + (4 * N_CODES if kind == "article" else 0), 64)
            self.lstm = torch.nn.LSTM(N_CHANNELS, 64, batch_first=True)
            self.joint = torch.nn.Linear(128 if kind == "article" else 64, 64)
            self.last = torch.nn.Linear(64, 1)

        def forward(
            self, numbers: torch.Tensor, codes: torch.Tensor | None = None, history: torch.Tensor | None = None
        ) -> torch.Tensor:
            parts = [self.norm(numbers)]
            if codes is not None:
                parts += [code(codes[:, place]) for place, code in enumerate(self.codes)]
            met = torch.relu(self.static(torch.cat(parts, 1)))
            if history is not None:
                met = torch.cat([met, self.lstm(history)[1][0][-1]], 1)
            return torch.sigmoid(self.last(torch.relu(self.joint(met))))

    torch.manual_seed(0)
    given = {name: torch.from_numpy(array) for name, array in make_arrays(kind, 8).items()}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = torch.export.Dim("rows")
        shapes = tuple({0: rows} for _ in given)
        torch.onnx.export(Network().eval(), tuple(given.values()), path, dynamic_shapes=shapes, external_data=False)
    return onnx.load(path)


def loop(kind: str, arrays: Mapping[str, np.ndarray], model: Path) -> Iterator[np.ndarray | None]:
    """Load a model, yield once it is there, and then deviations of shape (n_rows, n_features)."""
    session = onnxruntime.InferenceSession(str(model / "model.onnx"), providers=["CPUExecutionProvider"])
    yield None
    n_rows = len(arrays["numbers"])
    (output,) = session.get_outputs()

    def predict(given: Mapping[str, np.ndarray]) -> np.ndarray:
        starts = range(0, n_rows, _BATCH_ROWS)
        called = [{name: array[start : start + _BATCH_ROWS] for name, array in given.items()} for start in starts]
        return np.concatenate([session.run([output.name], rows)[0] for rows in called])[:, 0]

    baseline, found = predict(arrays), []
    blocks = list(shuffle_blocks(n_rows, SEED))
    for feature, (name, index) in places(kind).items():
        donors = np.empty(n_rows, np.int64)
        for block in blocks:
            donors[block.rows] = block.rows[donor_positions(block, SEED, feature, 0)]
        changed = arrays[name].copy()
        slot = in_all_rows(index)
        changed[slot] = arrays[name][slot][donors]
        found.append(np.abs(predict({**arrays, name: changed}) - baseline))
    yield np.stack(found, axis=1)


def audit(kind: str, arrays: Mapping[str, np.ndarray], model: Path) -> Iterator[np.ndarray | None]:
    """Load a model, yield once it is there, and then deviations of shape (n_rows, n_features)."""
    reference = ModelReference(str(model), str(model))
    predictor = load_predictor(download_model(reference, model), reference)
    features = places(kind)
    columns = {
        name: arrays[given][in_all_rows(index)] for name, (given, index) in features.items() if given != "history"
    }
    channels = tuple(name for name, (given, _) in features.items() if given == "history")
    temporal = {"history": Series(channels, arrays["history"], channel_axis=2)} if channels else {}
    said = {given: [name for name, (where, _) in features.items() if where == given] for given in arrays}
    said |= {"history": "history"} if channels else {}
    inputs = bind_inputs(predictor.inputs, dataset_from(pd.DataFrame(columns), temporal), said)
    settings = AnalysisConfig(rare_below=0.0, seed=SEED)
    yield None
    predictor = predictor.fitted(inputs.read(probe_rows(inputs.n_rows)))
    perturbations = plan_perturbations(inputs, "the network", settings)
    measure = choose_measure(None, 1, ())
    measure_noise(predictor, inputs, measure)
    job = Job(predictor, inputs, perturbations, measure, "the network", SEED, 1)
    with tempfile.TemporaryDirectory() as folder:
        path, journal = Path(folder, "deviations.parquet"), Journal(Path(folder, "blocks"))
        find(job, choose_block_rows(job, "auto"), path, lambda done, total: None, journal=journal)
        yield pd.read_parquet(path).sort_values("row")[list(features)].to_numpy()


def turn(which: str, kind: str, n_rows: int, model: Path, output: Path) -> dict[str, float]:
    """Measure one way once; write its deviations to a file."""
    running = {"audit": audit, "loop": loop}[which](kind, make_arrays(kind, n_rows), model)
    next(running)
    begun, worked = time.monotonic(), time.process_time()
    found = next(running)
    told = {"seconds": time.monotonic() - begun, "work": time.process_time() - worked}
    np.save(output, found)
    return {**told, "peak": peak_mib()}


def compare(kind: str, n_rows: int, n_pairs: int, model: Path) -> list[str]:
    """Measure pairs in turn; return a row of the table."""
    took: dict[str, list[dict[str, float]]] = {"audit": [], "loop": []}
    same = n_found = 0
    for number in range(n_pairs):
        found = {}
        for which in list(took)[:: -1 if number % 2 else 1]:
            output = model.parent / f"{which}.npy"
            command = [sys.executable, __file__, "--turn", which, kind, str(n_rows), str(model), str(output)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            took[which].append(json.loads(done.stdout.splitlines()[-1]))
            found[which] = np.load(output)
        same += int((found["audit"] == found["loop"]).sum())
        n_found += found["loop"].size
    both = list(zip(took["audit"], took["loop"], strict=True))
    ratios = {what: [slow[what] / quick[what] for quick, slow in both] for what in ("seconds", "work")}
    told = [f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})" for found in ratios.values()]
    seconds = [f"{median(each['seconds'] for each in took[which]):.2f}" for which in took]
    peaks = " and ".join(f"{max(each['peak'] for each in took[which]):,.0f}" for which in took)
    return [kind, f"{n_rows:,}", *seconds, *told, f"{same:,} of {n_found:,}", peaks]


def main() -> None:
    """Print a Markdown table."""
    if sys.argv[1:2] == ["--turn"]:
        which, kind, n_rows, model, output = sys.argv[2:]
        print(json.dumps(turn(which, kind, int(n_rows), Path(model), Path(output))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="+", choices=N_NUMBERS)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    print(f"| {' | '.join(_HEAD)} |\n|{' --- |' * len(_HEAD)}")
    for kind in asked.kinds:
        with tempfile.TemporaryDirectory() as folder:
            model = save_model(kind, Path(folder))
            for n_rows in asked.rows:
                print(f"| {' | '.join(compare(kind, n_rows, asked.pairs, model))} |", flush=True)


if __name__ == "__main__":
    main()
