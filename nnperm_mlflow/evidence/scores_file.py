"""The model's own scores as a file of an audit: written and read back to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.basics.documents import Tolerant, wrong_keys
from nnperm_mlflow.basics.errors import EvidenceError, name_list

_FORMAT = 1


class _Entry(Tolerant):
    value: float
    low: float | None
    high: float | None
    rows: int
    parts: list[float]
    step: float
    guess: float | None
    no_better: bool


class _Document(Tolerant):
    scores: dict[str, _Entry]


def write_own_scores(scores: Mapping[str, OwnScore], path: Path) -> None:
    """Write scores as JSON; what is not known is null there."""
    told = {name: {key: _told(value) for key, value in asdict(score).items()} for name, score in scores.items()}
    path.write_text(json.dumps({"format": _FORMAT, "scores": told}, indent=1, ensure_ascii=False), encoding="utf-8")


def read_own_scores(path: Path) -> dict[str, OwnScore]:
    """Read scores as they were written.

    Raises
    ------
    EvidenceError
        If the file is not what an audit wrote.
    """
    try:
        document = _Document.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        wrong = f"wrong or missing: {name_list(wrong_keys(error))}" if isinstance(error, ValidationError) else "no file"
        raise EvidenceError(f"{path.name} is not what an audit wrote ({wrong}). Audit the version again.") from error
    return {
        name: OwnScore(
            value=entry.value,
            low=_number(entry.low),
            high=_number(entry.high),
            rows=entry.rows,
            parts=tuple(entry.parts),
            step=entry.step,
            guess=_number(entry.guess),
            no_better=entry.no_better,
        )
        for name, entry in document.scores.items()
    }


def _told(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(told: float | None) -> float:
    return math.nan if told is None else told
