"""Audits a PyTorch network, in turn with captum and with a plain loop over whole calls; counts equal deviations.

    python benchmarks/torch_versus.py --rows 1000 5000 20000 --pairs 3

The article's shape: 100 numbers, 16 codes in one matrix, 12 channels of 24 steps through an LSTM of 64 units. Each
turn is a process of its own. Ours does what an audit does without MLflow (fitting, the model's own noise, the loop,
the table on disk, the summary), from what `mlflow.pytorch` writes, once it is loaded. The loop shuffles each feature
by our donors and calls the module in as many rows a call as ours does; captum's `FeaturePermutation` gets a mask that
numbers the features. Seconds of the processor are told beside those of the clock: on a machine with other work they
are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
sys.path.insert(0, str(Path(__file__).parents[1]))

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn
from unlogged_audit import SEED, audit, donors_of

from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.torch.tensors import pieces_of

N_NUMBERS, N_CODES, N_STEPS, N_CHANNELS, N_UNITS, N_VALUES = 100, 16, 24, 12, 64, 10
HEAD = ("rows", "threads", "other", "ours, s", "other, s", "other / ours", "of processor time", "identical")
CONTENDERS = ("loop", "captum")


class Network(nn.Module):
    """The article's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.ModuleList([nn.Embedding(N_VALUES, 4) for _ in range(N_CODES)])
        self.lstm = nn.LSTM(N_CHANNELS, N_UNITS, batch_first=True)
        self.hidden, self.drop = nn.Linear(N_NUMBERS + 4 * N_CODES + N_UNITS, 64), nn.Dropout(0.2)
        self.last = nn.Linear(64, 1)

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
        """Return chances of shape (n_rows, 1)."""
        embedded = [embedding(codes[:, place]) for place, embedding in enumerate(self.codes)]
        _, (state, _) = self.lstm(history)
        joined = torch.cat([numbers, *embedded, state[-1]], dim=1)
        return torch.sigmoid(self.last(self.drop(torch.relu(self.hidden(joined)))))


def make_network() -> nn.Module:
    """Return the network with weights of chance, known by their seed."""
    torch.manual_seed(SEED)
    return Network().eval()


def make_rows(n_rows: int) -> dict[str, np.ndarray]:
    """Return the inputs by name."""
    rng = np.random.default_rng(SEED)
    return {
        "numbers": rng.normal(size=(n_rows, N_NUMBERS)).astype(np.float32),
        "codes": rng.integers(0, N_VALUES, (n_rows, N_CODES)),
        "history": rng.normal(size=(n_rows, N_STEPS, N_CHANNELS)).astype(np.float32),
    }


def features() -> Iterator[tuple[str, str, tuple[int | slice, ...]]]:
    """Yield each feature's name, its input and its place there."""
    yield from ((f"n{place}", "numbers", (place,)) for place in range(N_NUMBERS))
    yield from ((f"code{place}", "codes", (place,)) for place in range(N_CODES))
    yield from ((f"channel{place}", "history", (slice(None), place)) for place in range(N_CHANNELS))


def ours(rows: dict[str, np.ndarray], model: Path, folder: Path) -> Callable[[], np.ndarray]:
    """Audit the logged model; return what does so, and then gives the deviations of shape (n_rows, n_features)."""
    names = {name: [feature for feature, its, _ in features() if its == name] for name in rows}
    table = pd.DataFrame(np.concatenate([rows["numbers"], rows["codes"]], axis=1, dtype=np.float64))
    table.columns = [*names["numbers"], *names["codes"]]
    history = Series(tuple(names["history"]), rows["history"], channel_axis=2)
    reference = ModelReference(str(model), str(model))
    predictor = load_predictor(download_model(reference, folder), reference)
    said = {"numbers": names["numbers"], "codes": names["codes"], "history": "history"}
    inputs = bind_inputs(predictor.inputs, dataset_from(table, {"history": history}), said)

    def run() -> np.ndarray:
        path = audit(predictor, inputs, AnalysisConfig(rare_below=0.0, seed=SEED), folder)
        return pd.read_parquet(path).sort_values("row")[[name for name, _, _ in features()]].to_numpy()

    return run


def loop(rows: dict[str, np.ndarray], model: Path, folder: Path) -> Callable[[], np.ndarray]:
    """Call the whole module for each feature."""
    module = make_network()

    def predict(given: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            parts = [
                module(*(torch.from_numpy(it[piece]) for it in given.values()))
                for piece in pieces_of(len(given["numbers"]))
            ]
        return torch.cat(parts)[:, 0].numpy()

    def run() -> np.ndarray:
        baseline = predict(rows)
        found = []
        for feature, name, index in features():
            changed = rows[name].copy()
            place = (slice(None), *index)
            changed[place] = rows[name][place][donors_of(feature, len(changed))]
            found.append(np.abs(predict({**rows, name: changed}) - baseline))
        return np.stack(found, axis=1)

    return run


def captum(rows: dict[str, np.ndarray], model: Path, folder: Path) -> Callable[[], np.ndarray]:
    """Let captum shuffle the features, which it numbers by a mask; all rows go through in one call, as it does it."""
    from captum.attr import FeaturePermutation  # noqa: PLC0415

    module = make_network()
    tensors = tuple(torch.from_numpy(it) for it in rows.values())
    masks = {name: torch.zeros((1, *it.shape[1:]), dtype=torch.int64) for name, it in rows.items()}
    for number, (_, name, index) in enumerate(features()):
        masks[name][(0, *index)] = number

    def predict(*given: torch.Tensor) -> torch.Tensor:
        return torch.cat([module(*(it[piece] for it in given)) for piece in pieces_of(len(given[0]))])[:, 0]

    def run() -> np.ndarray:
        with torch.no_grad():
            FeaturePermutation(predict).attribute(tensors, feature_mask=tuple(masks.values()))
        return np.empty(0)

    return run


def turn(contender: str, n_rows: int, threads: int, model: Path) -> tuple[list[float], np.ndarray]:
    """Run one contender in a process of its own; return seconds of the clock and the processor, and deviations."""
    found = model.parent / "found.npy"
    command = [sys.executable, __file__, "--turn", contender, str(n_rows), str(threads), str(model), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{contender}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1]), np.load(found)


def take_turn(contender: str, n_rows: str, threads: str, model: str, found: str) -> None:
    """Do what `turn` asks for, and print the seconds."""
    if int(threads):
        torch.set_num_threads(int(threads))
    with tempfile.TemporaryDirectory() as folder:
        run = {"ours": ours, "loop": loop, "captum": captum}[contender](
            make_rows(int(n_rows)), Path(model), Path(folder)
        )
        clock, processor = time.monotonic(), time.process_time()
        deviations = run()
        seconds = [time.monotonic() - clock, time.process_time() - processor]
    np.save(found, deviations)
    print(json.dumps(seconds))


def compare(n_rows: int, threads: int, other: str, n_pairs: int, model: Path) -> str:
    """Measure pairs in turn; return a row of the table."""
    took: dict[str, list[list[float]]] = {"ours": [], other: []}
    found = {}
    for number in range(n_pairs):
        for which in ("ours", other)[:: 1 if number % 2 else -1]:
            seconds, found[which] = turn(which, n_rows, threads, model)
            took[which].append(seconds)
    own, theirs = (np.array(took[which]) for which in ("ours", other))
    same = f"{np.sum(found['ours'] == found[other]):,} of {found['ours'].size:,}" if other == "loop" else ""
    medians = [f"{seconds:.2f}" for seconds in (np.median(own[:, 0]), np.median(theirs[:, 0]))]
    ratios = [f"{np.median(it):.1f} ({it.min():.1f} to {it.max():.1f})" for it in (theirs / own).T]
    return f"| {' | '.join([f'{n_rows:,}', str(threads or 'default'), other, *medians, *ratios, same])} |"


def main() -> None:
    """Measure what is asked for, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="that PyTorch may use; by default what it takes")
    parser.add_argument("--against", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--turn", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.turn:
        take_turn(*asked.turn)
        return
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        example = make_rows(8)
        specs = [TensorSpec(it.dtype, (-1, *it.shape[1:]), name) for name, it in example.items()]
        mlflow.pytorch.save_model(
            make_network(),
            str(model),
            input_example=tuple(example.values()),
            signature=ModelSignature(Schema(specs)),
            pip_requirements=[],
        )
        for n_rows in asked.rows:
            for other in asked.against:
                print(compare(n_rows, asked.threads, other, asked.pairs, model), flush=True)


if __name__ == "__main__":
    main()
