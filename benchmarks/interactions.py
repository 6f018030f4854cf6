"""Measures what interactions add to an audit: audits with and without them, in turn.

python benchmarks/interactions.py numbers --rows 10000 --pairs 3
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from case import Case, load_case
from contenders import SEED
from shapes import SHAPES, Shape, save_model

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.interactions.interactions import find_interactions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.interactions_config import InteractionsConfig
from nnperm_mlflow.inputs.bound_inputs import probe_rows

HEAD = ("shape", "rows", "features", "s with", "s without", "s, with / without", "CPU s, with / without")
KINDS = {**SHAPES, "numbers": Shape(100)}

Took = tuple[float, float]
"""Seconds, and seconds of the processors."""


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="numbers", choices=KINDS)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = load_case(KINDS[asked.shape], asked.rows, 1, save_model(KINDS[asked.shape], Path(folder)))
        _, n_features = audit(case, interacts=False)  # what happens once in a process
        both: list[tuple[Took, Took]] = []
        for number in range(asked.pairs):
            order = [False, True][:: 1 if number % 2 else -1]
            took = {each: audit(case, interacts=each)[0] for each in order}
            both.append((took[True], took[False]))
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    seconds = [f"{median(each[0] for each in which):.2f}" for which in zip(*both, strict=True)]
    ratios = [_ratios(both, of) for of in (lambda took: took[0], lambda took: took[1])]
    print(f"| {' | '.join([asked.shape, f'{asked.rows:,}', str(n_features), *seconds, *ratios])} |")


def audit(case: Case, *, interacts: bool) -> tuple[Took, int]:
    """Do what an audit does without MLflow; return what it took, and how many features there are."""
    predictor, inputs = case.bound()
    settings = AnalysisConfig(rare_below=0.0, exclude=case.excluded, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), time.process_time()
        predictor = predictor.fitted(inputs.read(probe_rows(inputs.n_rows)), exact=True)
        measure = choose_measure(None, 1, ())
        measure_noise(predictor, inputs, measure)
        perturbations = plan_perturbations(inputs, "the network", settings)
        job = Job(predictor, inputs, perturbations, measure, "the network", SEED, 1)
        block_rows = choose_block_rows(job, "auto")
        find(job, block_rows, Path(folder) / "deviations.parquet", lambda *_: None)
        if interacts:
            find_interactions(job, InteractionsConfig(), block_rows)
        return (time.perf_counter() - began, time.process_time() - used), len(perturbations)


def _ratios(both: list[tuple[Took, Took]], of: Callable[[Took], float]) -> str:
    ratios = [of(some) / of(none) for some, none in both]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
