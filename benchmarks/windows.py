"""Measures windows of series by this checkout and by an earlier one, in turn, and counts equal deviations.

    python benchmarks/windows.py article --rows 5000 --pairs 5 --before /path/to/other/checkout

Each turn is a process of its own: fitting, the loop, the table and the summary, with all features and their windows, or
with the windows alone (`--alone`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
from shapes import SHAPES, save_model

HEAD = ("shape", "rows", "perturbations", "ours, s", "before, s", "before / ours", "identical")
_OURS = Path(__file__).parents[1]

TURN = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
from contenders import SEED, audit
from case import load_case
from shapes import SHAPES
from nnperm_mlflow.config.audit_config import AnalysisConfig
import pandas as pd

shape, n_rows, windows, alone, model, found = json.loads(sys.argv[1])
case = load_case(SHAPES[shape], n_rows, 1, Path(model))
predictor, inputs = case.bound()
series = [name for name, feature in inputs.features.items() if feature.kind == "series"]
excluded = [name for name in inputs.features if name not in series] if alone else []
settings = AnalysisConfig(rare_below=0.0, exclude=excluded, windows=windows, seed=SEED)
with tempfile.TemporaryDirectory() as folder:
    begun = time.monotonic()
    table = audit(predictor, inputs, settings, Path(folder))
    seconds = time.monotonic() - begun
    columns = pd.read_parquet(table).sort_values("row").drop(columns=["row", "repeat", "baseline"], errors="ignore")
    np.save(found, columns.select_dtypes("number").to_numpy(np.float64))
print(json.dumps(seconds))
"""


def turn(code: Path, asked: list[object]) -> tuple[float, np.ndarray]:
    """Audit by the code of a checkout; return seconds and deviations."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(code), str(code / "benchmarks")])}
    command = [sys.executable, "-c", TURN, json.dumps(asked)]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), np.load(str(asked[-1]))


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--alone", action="store_true", help="series and their windows alone, no other feature")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--before", type=Path, required=True)
    asked = parser.parse_args()
    took: dict[str, list[float]] = {"ours": [], "before": []}
    identical = []
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(SHAPES[asked.shape], Path(folder))
        given = [asked.shape, asked.rows, asked.windows, asked.alone, str(model), str(Path(folder, "found.npy"))]
        for number in range(asked.pairs):
            tables = {}
            for which, code in [("ours", _OURS), ("before", asked.before.resolve())][:: 1 if number % 2 else -1]:
                seconds, tables[which] = turn(code, given)
                took[which].append(seconds)
            identical.append(np.array_equal(tables["ours"], tables["before"], equal_nan=True))
    ratios = [before / ours for ours, before in zip(took["ours"], took["before"], strict=True)]
    told = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    what = f"{tables['ours'].shape[1]}{', series alone' if asked.alone else ''}"
    of_both = (f"{median(took['ours']):.2f}", f"{median(took['before']):.2f}")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    print(f"| {' | '.join([asked.shape, f'{asked.rows:,}', what, *of_both, told, str(all(identical))])} |")


if __name__ == "__main__":
    main()
