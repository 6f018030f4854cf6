"""Measures what segments, and the model's own score of each, add to an audit: audits with and without them, in turn.

python benchmarks/segments.py article --rows 20000 --segments 20 --pairs 5
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd
from case import Case, load_case
from contenders import SEED
from shapes import SHAPES, save_model

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats import repeat_loop
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.scores.own_scores import own_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.analysis.segments.segment_scores import score_segments
from nnperm_mlflow.analysis.segments.segment_statistics import describe_segments
from nnperm_mlflow.analysis.segments.segmentation import Segmentation, part_rows
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.report.segment_panels import segments_figure

HEAD = (
    "shape", "rows", "segments", "which", "s", "CPU s", "s, with / without", "CPU s, with / without",
    "s, all / all but segments", "CPU s, all / all but segments", "picture, s",
)  # fmt: skip


@dataclass
class Clock:
    """Seconds that steps take, by the clock and of the processors."""

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def timed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step that adds what it takes."""

        def run(*args: object, **more: object) -> object:
            began, used = time.perf_counter(), time.process_time()
            try:
                return step(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began
                self.processor_seconds += time.process_time() - used

        return run


@dataclass(frozen=True)
class Took:
    """What an audit took, what of it segments took, and their picture, which is not in it."""

    seconds: float
    processor_seconds: float
    of_segments: Clock = field(default_factory=Clock)
    picture: float = 0.0


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = load_case(SHAPES[asked.shape], asked.rows, 1, save_model(SHAPES[asked.shape], Path(folder)))
        part = np.random.default_rng(SEED).integers(0, asked.segments, asked.rows)
        parts = part_rows({"part": None}, {"part": part})
        audit(case, ())  # what happens once in a process
        both: list[tuple[Took, Took]] = []
        for number in range(asked.pairs):
            order = [(), parts][:: 1 if number % 2 else -1]
            took = {bool(each): audit(case, each) for each in order}
            both.append((took[True], took[False]))
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    what = (asked.shape, f"{asked.rows:,}", str(asked.segments))
    some, none = zip(*both, strict=True)
    both_clocks = (attrgetter("seconds"), attrgetter("processor_seconds"))
    ratios = [_told([of(one) / of(other) for one, other in both]) for of in both_clocks]
    ratios += [_told([of(each) / (of(each) - of(each.of_segments)) for each in some]) for of in both_clocks]
    picture = f"{median(each.picture for each in some):.2f}"
    print(f"| {' | '.join([*what, 'with', *_seconds(some), *ratios, picture])} |")
    print(f"| {' | '.join([*what, 'without', *_seconds(none), *[''] * 5])} |")


def audit(case: Case, parts: tuple[Segmentation, ...]) -> Took:
    """Do what an audit does without MLflow, with its tables of segments and scores where rows are parted."""
    predictor, inputs = case.bound()
    settings = AnalysisConfig(rare_below=0.0, exclude=case.excluded, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        table, of_segments = Path(folder) / "deviations.parquet", Clock()
        began, used = time.perf_counter(), time.process_time()
        predictor = predictor.fitted(inputs.read(probe_rows(inputs.n_rows)), exact=True)
        measure = choose_measure(None, 1, ())
        measure_noise(predictor, inputs, measure)
        perturbations = plan_perturbations(inputs, "the network", settings)
        job = Job(predictor, inputs, perturbations, measure, "the network", SEED, 1, decision=Decision((0,), 0.5))
        with patch.object(repeat_loop, "describe_segments", of_segments.timed(describe_segments)):
            found = repeat_loop.find(job, choose_block_rows(job, "auto"), table, lambda *_: None, segmentations=parts)
        if parts:
            of_segments.timed(write)(found, parts, table)
        took = Took(time.perf_counter() - began, time.process_time() - used, of_segments)
        if not parts:
            return took
        began, leading = time.perf_counter(), found.summary["perturbation"].astype(str).tolist()
        picture = segments_figure(found.segments.segments, leading, "", "probability")
        picture.savefig(table.with_suffix(".png"))
        return replace(took, picture=time.perf_counter() - began)


def write(found: Findings, parts: tuple[Segmentation, ...], table: Path) -> None:
    """Score the model and each segment, by labels drawn at random, and write all tables of segments."""
    read = pd.read_parquet(table, columns=["row", "baseline"]).sort_values("row")
    predicted = read[["baseline"]].to_numpy()
    labels = (np.random.default_rng(SEED).random(len(predicted)) < 0.3).astype(int)
    scores = choose_scorers(["roc_auc"], labels, 1, True)
    own_scores(scores, predicted)
    of_scores, tables = score_segments(scores, predicted, parts), found.segments
    for number, each in enumerate((tables.segments, tables.differences, of_scores.scores, of_scores.differences)):
        write_table(each, table.with_name(f"{number}.csv"))


def _seconds(took: tuple[Took, ...]) -> tuple[str, str]:
    return f"{median(each.seconds for each in took):.2f}", f"{median(each.processor_seconds for each in took):.2f}"


def _told(ratios: list[float]) -> str:
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    main()
