"""Measures what segments add to whole audits, from the version's URI to the finished run: with and without, in turn.

python benchmarks/segments_in_audits.py article --rows 20000 --segments 20 --pairs 5
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd
from report import make_site
from segments import Clock
from shapes import SHAPES

import nnperm_mlflow
from nnperm_mlflow.analysis.repeats import score_columns

HEAD = ("shape", "rows", "segments", "with, s", "without, s", "with / without", "of processor time", "own score, s")


def main() -> None:
    """Measure pairs in turn, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        without = with_labels(make_site(SHAPES[asked.shape], asked.rows, 0, Path(folder)), asked.segments)
        some = {**without, "analysis": {**without["analysis"], "segments": ["part"]}}
        audit(without)  # what happens once in a process
        pairs = []
        for number in range(asked.pairs):
            order = (True, False)[:: 1 if number % 2 else -1]
            pairs.append({each: audit(some if each else without) for each in order})
    seconds = [f"{median(pair[each][0] for pair in pairs):.2f}" for each in (True, False)]
    ratios = [_told([pair[True][of] / pair[False][of] for pair in pairs]) for of in (0, 1)]
    own_score = f"{median(pair[True][2] for pair in pairs):.2f}"
    cells = (asked.shape, f"{asked.rows:,}", str(asked.segments), *seconds, *ratios, own_score)
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n| {' | '.join(cells)} |")


def with_labels(settings: dict[str, Any], n_segments: int) -> dict[str, Any]:
    """Add outcomes and segments, both drawn at random, to the data; return settings that ask for the model's score."""
    path, rng = settings["data"]["static"], np.random.default_rng(2)
    table = pd.read_parquet(path)
    table["default"] = (rng.random(len(table)) < 0.3).astype(int)
    table["part"] = [f"part {number:02}" for number in rng.integers(0, n_segments, len(table))]
    table.to_parquet(path)
    data = {**settings["data"], "label": "default"}
    return {**settings, "data": data, "analysis": {**settings["analysis"], "scores": ["roc_auc"]}}


def audit(settings: dict[str, Any]) -> tuple[float, float, float]:
    """Audit the version; return seconds, processor seconds, and seconds of the model's own score."""
    clock = Clock()
    with (
        tempfile.TemporaryDirectory() as output,
        patch.object(score_columns, "own_scores", clock.timed(score_columns.own_scores)),
    ):
        began, used = time.perf_counter(), time.process_time()
        nnperm_mlflow.audit(settings, model_uri="models:/shape/1", output=output, progress=False)
        return time.perf_counter() - began, time.process_time() - used, clock.seconds


def _told(ratios: list[float]) -> str:
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    main()
