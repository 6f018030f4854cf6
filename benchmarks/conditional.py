"""Measures what conditional shuffles cost beside plain ones: audits of the one and of the other alone, in turn.

python benchmarks/conditional.py article --rows 20000 --pairs 3
python benchmarks/conditional.py article --rows 20000 --pairs 3 --together 0.5
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from case import Case, load_case
from contenders import SEED
from shapes import SHAPES, save_model

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.perturbation.conditional_list import with_conditionals
from nnperm_mlflow.analysis.perturbation.kinds import Conditional
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.subgroup_sizes import with_subgroups
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.bound_inputs import probe_rows

HEAD = (
    "shape, correlation",
    "rows",
    "features",
    "plain, s",
    "conditional, s",
    "conditional / plain",
    "in CPU seconds",
    "learning, CPU s",
    "and for each feature, CPU ms",
)

Took = tuple[float, float, float]
"""Seconds, CPU seconds, and CPU seconds of learning."""


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--together", type=float, default=0.0, help="correlation of each two features")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shape = replace(SHAPES[asked.shape], together=asked.together)
        case = load_case(shape, asked.rows, 1, save_model(shape, Path(folder)))
        audit(case, conditional=False)  # what happens once in a process
        both: list[tuple[Took, Took]] = []
        for number in range(asked.pairs):
            took = {each: audit(case, conditional=each) for each in ((True, False) if number % 2 else (False, True))}
            both.append((took[True], took[False]))
    some, none = zip(*both, strict=True)
    seconds = [f"{median(each[0] for each in took):.2f}" for took in (none, some)]
    ratios = [_ratios(both, lambda took, place=place: took[place]) for place in (0, 1)]
    n_features, learning = len(case.features), median(each[2] for each in some)
    what = (
        f"{asked.shape}, {asked.together:g}",
        f"{asked.rows:,}",
        str(n_features),
        *seconds,
        *ratios,
        f"{learning:.2f}",
        f"{1e3 * learning / n_features:.0f}",
    )
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n| {' | '.join(what)} |")


def audit(case: Case, *, conditional: bool) -> Took:
    """Do what an audit does without MLflow, with plain shuffles alone, or with conditional ones alone."""
    predictor, inputs = case.bound()
    donors = "conditional" if conditional else None
    settings = AnalysisConfig(rare_below=0.0, exclude=case.excluded, seed=SEED, donors=donors)
    with tempfile.TemporaryDirectory() as folder:
        table, began, used = Path(folder) / "deviations.parquet", time.perf_counter(), time.process_time()
        predictor = predictor.fitted(inputs.read(probe_rows(inputs.n_rows)), exact=True)
        measure = choose_measure(None, 1, ())
        measure_noise(predictor, inputs, measure)
        before = time.process_time()
        every = with_conditionals(plan_perturbations(inputs, "the network", settings), inputs, settings)
        learning = time.process_time() - before
        perturbations = [done for done in every if isinstance(done, Conditional) == conditional]
        job = Job(predictor, inputs, perturbations, measure, "the network", SEED, 1, decision=Decision((0,), 0.5))
        with_subgroups(find(job, choose_block_rows(job, "auto"), table, lambda *_: None), job)
        return time.perf_counter() - began, time.process_time() - used, learning


def _ratios(both: list[tuple[Took, Took]], of: Callable[[Took], float]) -> str:
    ratios = [of(some) / of(none) for some, none in both]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
