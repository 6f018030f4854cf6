"""What the driver does beside the cluster: tries a few rows before it, and notes the parts of the table behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnperm_mlflow.analysis.blockwise import block_outcome
from nnperm_mlflow.analysis.blockwise.block_task import BlockTask
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import audit_block
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.basics.audit_files import OUTCOME_FILE, PARTS_FILE

FORMAT = 1
"""Of `table.json`."""

_TRIED_ROWS = 64


@dataclass(frozen=True)
class Written:
    """A part of a deviation table on the cluster's storage.

    Attributes
    ----------
    path : str
    n_bytes : int
    digest : str
        sha256.
    """

    path: str
    n_bytes: int
    digest: str

    @property
    def name(self) -> str:
        """What the file is called in the table's directory."""
        return self.path.rpartition("/")[2]


def rehearse(job: Job, positions: np.ndarray) -> None:
    """Disturb a few rows here, so that a model that fails does so before a cluster has been given anything."""
    some = positions[np.unique(np.linspace(0, len(positions) - 1, _TRIED_ROWS).astype(np.int64))]
    block = ShuffleBlock(0, some)
    audit_block(job, block, job.inputs.hold(some), slice(0, len(some)))


def note_parts(
    folder: Path, location: str, task: BlockTask, parts: list[Written], outcome: block_outcome.BlockOutcome
) -> None:
    """Write which parts the table has, and what was counted of all rows."""
    told = {
        "format": FORMAT,
        "location": location,
        "rows": task.n_rows,
        "repeats": task.repeats,
        "seed": task.seed,
        "baseline": list(task.measure.baseline_names),
        "columns": {done.name: column for done, column in zip(task.perturbations, task.columns, strict=True)},
        "parts": [{"name": part.name, "bytes": part.n_bytes, "sha256": part.digest} for part in parts],
    }
    (folder / PARTS_FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    outcome.marks.clear()
    (folder / OUTCOME_FILE).write_bytes(block_outcome.dump(outcome))
