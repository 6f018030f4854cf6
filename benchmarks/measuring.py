"""One contender measured once, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_CONTENDERS = Path(__file__).parent / "contenders.py"


class ContenderError(Exception):
    """A contender ended without a result; the message holds what it last said."""


@dataclass(frozen=True)
class Measurement:
    """What a contender took.

    Attributes
    ----------
    seconds : float
    peak_mib, before_mib : float
        Most memory of its process, and that part of it which was reached before the clock started.
    found : ndarray or None
        Deviations of shape (n_repeats * n_rows, n_features), or an importance for each feature; the floor finds none.
    """

    seconds: float
    peak_mib: float
    before_mib: float
    found: np.ndarray | None

    @property
    def memory(self) -> str:
        """Peak and, in brackets, how far it lies above what the loaded model and data had taken."""
        return f"{self.peak_mib:,.0f} (+{self.peak_mib - self.before_mib:,.0f})"


@dataclass(frozen=True)
class Stage:
    """What contenders are measured on.

    Attributes
    ----------
    shape : str
    n_rows, repeats : int
    model : Path
        As `shapes.save_model` wrote it.
    pythons : mapping of str to str
        For some contenders the interpreter that has their package.
    n_features : int or None
        How many features are disturbed; None for all.
    """

    shape: str
    n_rows: int
    repeats: int
    model: Path
    pythons: Mapping[str, str] = field(default_factory=dict)
    n_features: int | None = None


def measure(contender: str, stage: Stage) -> Measurement:
    """Run one contender once.

    Raises
    ------
    ContenderError
        If it ends without a result, as where its package is not installed.
    """
    output = stage.model.parent / "found.npy"
    output.unlink(missing_ok=True)
    python = stage.pythons.get(contender, sys.executable)
    asked = [contender, stage.shape, stage.n_rows, stage.repeats, stage.model, output]
    asked += [] if stage.n_features is None else [stage.n_features]
    done = subprocess.run([python, str(_CONTENDERS), *map(str, asked)], check=False, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ContenderError(f"{contender} on {stage.shape} with {stage.n_rows:,} rows: {said[-1]}")
    return Measurement(**json.loads(done.stdout.splitlines()[-1]), found=np.load(output) if output.exists() else None)
