"""What an audit tells of segments as files, read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    SCORE_COLUMNS,
    SCORE_DIFFERENCE_COLUMNS,
    SegmentScores,
    SegmentTables,
)
from nnperm_mlflow.evidence.summary_file import read_table

_TEXTS = ("column", "segment", "other", "perturbation", "score", "not_judged")


def read_segments(segments: Path, differences: Path) -> SegmentTables:
    """Read the tables of segments and of their differences as they were written.

    Raises
    ------
    EvidenceError
        If a file is not what an audit wrote.
    """
    return SegmentTables(_read(segments, COLUMNS), _read(differences, DIFFERENCE_COLUMNS))


def read_segment_scores(scores: Path, differences: Path) -> SegmentScores:
    """Read the tables of segments' scores and of their differences; see `read_segments`."""
    return SegmentScores(_read(scores, SCORE_COLUMNS), _read(differences, SCORE_DIFFERENCE_COLUMNS))


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    return read_table(path, [name for name in _TEXTS if name in columns], columns)
