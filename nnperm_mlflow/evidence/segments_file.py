"""What an audit tells of segments as files, read back."""

from __future__ import annotations

from pathlib import Path

from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SegmentTables
from nnperm_mlflow.evidence.summary_file import read_table

_TEXTS = ("column", "segment", "other", "perturbation")


def read_segments(segments: Path, differences: Path) -> SegmentTables:
    """Read the tables of segments and of their differences as they were written.

    Raises
    ------
    EvidenceError
        If a file is not what an audit wrote.
    """
    return SegmentTables(
        read_table(segments, _TEXTS[:2] + _TEXTS[3:], COLUMNS), read_table(differences, _TEXTS, DIFFERENCE_COLUMNS)
    )
