"""Measures what the report, and the map of associations, are of a whole audit: processor seconds within the same one.

python benchmarks/report.py article --rows 20000 --audits 3
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
from matplotlib.figure import Figure
from mlflow.models import infer_signature
from shapes import SHAPES, Shape, make_data, make_network

import nnperm_mlflow
from nnperm_mlflow.approval import audit_contents
from nnperm_mlflow.auditor import result as results

HEAD = ("shape", "rows", "audit, CPU s", "report, CPU s", "of the audit", "report, KB", "map, CPU s", "of the audit")
_CHECKS = [{"name": "n0 is no driver", "feature": "n0", "max": 0.5}]


class Clock:
    """Processor seconds of the thread in which steps run."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step that adds what it takes."""

        def run(*args: object, **more: object) -> object:
            began = time.thread_time()
            try:
                return step(*args, **more)
            finally:
                self.seconds += time.thread_time() - began

        return run


@dataclass(frozen=True)
class Took:
    """Processor seconds of an audit, of its report (made twice) and of its map; and the bytes of the report."""

    audit: float
    report: float
    picture: float
    size: int


def main() -> None:
    """Measure audits, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", nargs="?", default="article", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--audits", type=int, default=3)
    parser.add_argument("--associated", type=int, default=20, help="numbers that go together in pairs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_site(SHAPES[asked.shape], asked.rows, asked.associated, Path(folder))
        took = [audit(settings) for _ in range(asked.audits)]
    cells = [asked.shape, f"{asked.rows:,}", _told([each.audit for each in took], 1)]
    cells += [_told([each.report for each in took], 2), _told([each.report / each.audit for each in took], 3)]
    cells += [f"{took[0].size / 1_000:.0f}"]
    cells += [_told([each.picture for each in took], 2), _told([each.picture / each.audit for each in took], 3)]
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n| {' | '.join(cells)} |")


def make_site(shape: Shape, n_rows: int, n_associated: int, folder: Path) -> dict[str, Any]:
    """Write data and a store with a registered network of that shape; return the configuration of an audit."""
    table, history = make_data(shape, n_rows)
    noise = np.random.default_rng(1)
    for place in range(1, n_associated, 2):
        table[f"n{place}"] = table[f"n{place - 1}"] + 0.3 * noise.normal(size=n_rows).astype(np.float32)
    table.to_parquet(folder / "rows.parquet")
    codes = [f"code{number}" for number in range(shape.n_codes)]
    data: dict[str, Any] = {"static": str(folder / "rows.parquet")}
    inputs: dict[str, Any] = {"num_input": [f"n{number}" for number in range(shape.n_numbers)]}
    inputs |= {f"{name}_input": name for name in codes}
    example = {"num_input": table[inputs["num_input"]].to_numpy()[:2]}
    example |= {f"{name}_input": table[[name]].to_numpy()[:2] for name in codes}
    if history is not None:
        np.save(folder / "history.npy", history)
        channels = [f"channel{number}" for number in range(shape.n_channels)]
        data["temporal"] = {"history": {"file": str(folder / "history.npy"), "channels": channels, "channel_axis": 2}}
        inputs["temporal_input"], example["temporal_input"] = "history", history[:2]
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("report", (folder / "artifacts").as_uri()))
    network = make_network(shape)
    signature = infer_signature(example, network.predict(example, verbose=0))
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            network, name="shape", signature=signature, pip_requirements=["keras"], registered_model_name="shape"
        )
    return {"data": data, "inputs": inputs, "analysis": {"rare_below": 0.0}, "checks": _CHECKS}


def audit(settings: dict[str, Any]) -> Took:
    """Audit the version as `nnperm audit` does, and time the report and the map in it."""
    report, picture = Clock(), Clock()
    with tempfile.TemporaryDirectory() as output, clocks(report, picture):
        began = time.process_time()
        nnperm_mlflow.audit(settings, model_uri="models:/shape/1", output=output)
        taken = time.process_time() - began
        return Took(taken, report.seconds, picture.seconds, (Path(output) / "report.html").stat().st_size)


@contextmanager
def clocks(report: Clock, picture: Clock) -> Iterator[None]:
    """Time what the report is made by (read, put into words, rendered), and the map (drawn, written) meanwhile."""
    plainly = picture.timed(results.associations_figure)

    def draw(*args: Any) -> Figure:
        figure = plainly(*args)
        figure.savefig = picture.timed(figure.savefig)
        return figure

    with ExitStack() as stack:
        stack.enter_context(patch.object(audit_contents, "audit_page", report.timed(audit_contents.audit_page)))
        stack.enter_context(patch.object(audit_contents, "reported_of", report.timed(audit_contents.reported_of)))
        stack.enter_context(patch.object(results, "associations_figure", draw))
        yield


def _told(numbers: list[float], digits: int) -> str:
    """Return the median with the smallest and the largest."""
    return f"{median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


if __name__ == "__main__":
    main()
