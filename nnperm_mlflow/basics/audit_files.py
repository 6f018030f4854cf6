"""What the files of an audit are called, in its directory and at the root of its run, and their sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

TABLE_FILE, SUMMARY_FILE, MEDIANS_FILE, CONFIG_FILE = "deviations.parquet", "summary.csv", "medians.json", "config.yaml"
PARTS_FILE, OUTCOME_FILE = "table.json", "counts.npz"
"""Of an audit on a cluster, whose deviations lie there in parts: which these are, and what was counted of all rows."""
BOXPLOT_FILE = "boxplot.png"
NAMES_FILE = "names.json"
SCORES_FILE = "scores.json"
SEGMENTS_FILE, DIFFERENCES_FILE, SEGMENTS_PICTURE = "segments.csv", "segment_differences.csv", "segments.png"
SEGMENT_SCORES_FILE, SCORE_DIFFERENCES_FILE = "segment_scores.csv", "segment_score_differences.csv"
WINDOWS_FILE, HEATMAP_FILE = "windows.csv", "heatmap.png"
PROFILES_FILE, PROFILES_PICTURE = "profiles.csv", "profiles.png"
EFFECTS_FILE, EFFECTS_PICTURE = "effects.csv", "effects.png"
INTERACTIONS_FILE, INTERACTIONS_PICTURE = "interactions.csv", "interactions.png"
GROUPS_FILE = "groups.csv"
ASSOCIATIONS_FILE, ASSOCIATIONS_PICTURE = "associations.csv", "associations.png"
STRATA_FILE, SUBGROUPS_FILE = "strata.csv", "subgroups.csv"
REPORT_FILE, DOCUMENT = "report.html", "document"
"""The page of an audit, and what the document of one is called but for its ending."""
CARD_FILE, VERDICT_FILE, VERDICTS_FOLDER = "audit.md", "verdict.json", "verdicts"
COMPARISON_FILE, COMPARISON_PICTURE = "comparison.csv", "comparison.png"
COMPARISON_INTERACTIONS = "comparison_interactions.csv"
COMPARISON_TABLE, COMPARISON_CARD, COMPARISON_REPORT = "comparison.json", "comparison.md", "comparison.html"
REASONS_FILE, REASONS_LETTER, REASONS_PICTURE = "reasons.csv", "reasons.txt", "reasons.png"
PROMOTION_FILE, DECISION_FILE = "promotion.json", "decision.json"
PUBLICATION_FILE = "publication.json"
RECORD_FILE = "record.json"
STATEMENTS_FOLDER = "statements"

ADDED_BY_DOWNLOAD = "registered_model_meta"
"""A file that MLflow puts beside those of a model that it fetches."""

_PIECE_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        for piece in iter(lambda: stream.read(_PIECE_BYTES), b""):
            sha.update(piece)
    return sha.hexdigest()


def listing_digest(root: Path, files: Iterable[Path]) -> str:
    """Return the sha256 (64 hex digits) of a listing of files below `root`, ordered by their paths.

    A line for each: its path below `root`, a blank, its sha256, a line feed.
    """
    sha = hashlib.sha256()
    for path, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        sha.update(f"{path} {file_digest(file)}\n".encode())
    return sha.hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the sha256 (64 hex digits) of a model's files as its folder holds them: names and contents of all."""
    files = {file for file in folder.rglob("*") if file.is_file()} - {folder / ADDED_BY_DOWNLOAD}
    return listing_digest(folder, files)
