"""Measures audits of models of a table, or of one tensor behind pyfunc, beside a plain loop over their own functions.

python benchmarks/pyfunc_versus.py --rows 20000 --pairs 3
python benchmarks/pyfunc_versus.py --only forest xgboost

Both begin with a loaded model and end with the deviations of every row: the loop calls the library itself, once for
each feature with all rows (a network in batches of 3,000, as the article's script does); the audit fits, loops, writes
its table and summary. Which of the two comes first changes from pair to pair.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
import pandas as pd
from contenders import SEED, audit
from mlflow.models import infer_signature

from nnperm_mlflow.analysis.perturbation.donors import donor_positions, shuffle_blocks
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference

N_NUMBERS = 20
BATCH_ROWS = 3_000  # of a network's call in the loop
HEAD = (
    "model",
    "rows",
    "features",
    "rows of a call",
    "ours, s",
    "loop, s",
    "ours / loop",
    "CPU, ours / loop",
    "identical",
)


@dataclass(frozen=True)
class Case:
    """A model as MLflow stores it, and as its library calls it.

    Attributes
    ----------
    folder : Path
    predict : callable
        Takes a DataFrame, returns one number for each row.
    asks_for : str or None
        Function of the model that is audited.
    """

    folder: Path
    predict: Callable[[pd.DataFrame], np.ndarray]
    asks_for: str | None = None


class OneTensor(mlflow.pyfunc.PythonModel):
    """A network of PyTorch behind pyfunc."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        import torch  # noqa: PLC0415

        torch.manual_seed(0)
        layers = [torch.nn.Linear(N_NUMBERS, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers, torch.nn.Linear(256, 1), torch.nn.Sigmoid()).eval()

    def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> np.ndarray:
        import torch  # noqa: PLC0415

        with torch.no_grad():
            return self.network(torch.from_numpy(model_input.to_numpy(np.float32)))[:, 0].numpy()


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    asked = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            table, outcome = made_up(asked.rows)
            print(row_of(name, CASES[name](Path(folder), table, outcome), table, asked.pairs), flush=True)


def made_up(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Make up numbers and an outcome of two classes that follows from some of them."""
    rng = np.random.default_rng(SEED)
    table = pd.DataFrame(rng.normal(size=(n_rows, N_NUMBERS)), columns=[f"n{number}" for number in range(N_NUMBERS)])
    return table, (table.iloc[:, :5].sum(axis=1) + rng.normal(size=n_rows) > 0).to_numpy().astype(int)


def row_of(name: str, case: Case, table: pd.DataFrame, pairs: int) -> str:
    """Measure one model, and return its line."""
    took: dict[str, list[tuple[float, float]]] = {"ours": [], "loop": []}
    found: dict[str, np.ndarray] = {}
    rows_of_a_call = 0
    for pair in range(pairs + 1):
        for which in ("ours", "loop") if pair % 2 else ("loop", "ours"):
            predictor = _predictor(case)
            start, processor = time.perf_counter(), time.process_time()
            found[which] = by_loop(case, table) if which == "loop" else by_audit(predictor, table)
            seconds = time.perf_counter() - start, time.process_time() - processor
            if pair:  # the first pair is for what is made once: pages, threads, caches
                took[which].append(seconds)
            rows_of_a_call = predictor.stacked_rows or rows_of_a_call
    ratios = [
        [ours[clock] / loop[clock] for ours, loop in zip(took["ours"], took["loop"], strict=True)] for clock in (0, 1)
    ]
    same = (found["ours"] == found["loop"].astype(found["ours"].dtype)).mean()
    cells = (
        name, f"{len(table):,}", str(N_NUMBERS), f"{rows_of_a_call:,}", f"{median(one for one, _ in took['ours']):.2f}",
        f"{median(one for one, _ in took['loop']):.2f}", _ratio(ratios[0]), _ratio(ratios[1]), f"{100 * same:.4g} %",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ratio(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _predictor(case: Case):  # noqa: ANN202 - of whatever kind
    reference = ModelReference(str(case.folder), str(case.folder))
    return load_predictor(download_model(reference, case.folder).asking_for(case.asks_for), reference, trust_model=True)


def by_audit(predictor, table: pd.DataFrame) -> np.ndarray:  # noqa: ANN001
    """Do all that an audit does between loading and logging; return deviations of shape (n_rows, n_features)."""
    inputs = bind_inputs(predictor.inputs, dataset_from(table), {})
    settings = AnalysisConfig(rare_below=0.0, seed=SEED, output=None)
    with tempfile.TemporaryDirectory() as folder:
        path = audit(predictor, inputs, settings, Path(folder))
        return pd.read_parquet(path).sort_values("row")[list(table.columns)].to_numpy()


def by_loop(case: Case, table: pd.DataFrame) -> np.ndarray:
    """Shuffle one column after the other, as our donors have it, and predict all rows; return deviations."""
    blocks, baseline, found = list(shuffle_blocks(len(table), SEED)), case.predict(table), []
    for name in table.columns:
        donors = np.empty(len(table), np.int64)
        for block in blocks:
            donors[block.rows] = block.rows[donor_positions(block, SEED, name, 0)]
        found.append(np.abs(case.predict(table.assign(**{name: table[name].to_numpy()[donors]})) - baseline))
    return np.stack(found, axis=1)


def _saved(flavour: str, model: object, folder: Path, table: pd.DataFrame, outcome: np.ndarray, **more: object) -> Path:
    signature = infer_signature(table.head(), outcome[:5].astype(float))
    getattr(mlflow, flavour).save_model(
        model, str(folder / "model"), signature=signature, pip_requirements=["numpy"], **more
    )
    return folder / "model"


def forest(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a random forest of 100 trees, that tells an amount."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    model = RandomForestRegressor(100, min_samples_leaf=20, random_state=0).fit(table[:4_000], outcome[:4_000])
    saved = _saved("sklearn", model, folder, table, outcome, serialization_format="cloudpickle")
    return Case(saved, model.predict)


def xgboost(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a classifier of XGBoost of 100 trees, whose served margin is a probability."""
    import xgboost as library  # noqa: PLC0415

    model = library.train({"objective": "binary:logistic"}, library.DMatrix(table[:4_000], outcome[:4_000]), 100)
    return Case(_saved("xgboost", model, folder, table, outcome), lambda rows: model.predict(library.DMatrix(rows)))


def lightgbm(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a Booster of LightGBM of 100 trees."""
    import lightgbm as library  # noqa: PLC0415

    rows = library.Dataset(table[:4_000], outcome[:4_000])
    model = library.train({"objective": "binary", "verbose": -1}, rows, 100)
    return Case(_saved("lightgbm", model, folder, table, outcome), model.predict)


def catboost(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a regressor of CatBoost of 100 trees."""
    import catboost as library  # noqa: PLC0415

    model = library.CatBoostRegressor(iterations=100, verbose=0, allow_writing_files=False)
    model.fit(table[:4_000], outcome[:4_000])
    return Case(_saved("catboost", model, folder, table, outcome), model.predict)


def linear(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a linear model, of which a call costs nothing but the call."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    model = LinearRegression().fit(table, outcome)
    return Case(_saved("sklearn", model, folder, table, outcome), model.predict)


def torch(folder: Path, table: pd.DataFrame, outcome: np.ndarray) -> Case:
    """Make a network of PyTorch with one tensor, in a Python model."""
    import torch as library  # noqa: PLC0415

    signature = infer_signature(table.head(), outcome[:5].astype(float))
    path = folder / "model"
    mlflow.pyfunc.save_model(str(path), python_model=OneTensor(), signature=signature, pip_requirements=["numpy"])
    model = OneTensor()
    model.load_context(None)

    def predict(rows: pd.DataFrame) -> np.ndarray:
        tensor = library.from_numpy(rows.to_numpy(np.float32))
        with library.no_grad():
            return library.cat([model.network(part) for part in tensor.split(BATCH_ROWS)])[:, 0].numpy()

    return Case(path, predict)


CASES: dict[str, Callable[[Path, pd.DataFrame, np.ndarray], Case]] = {
    "forest": forest,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "linear": linear,
    "torch": torch,
}


if __name__ == "__main__":
    main()
