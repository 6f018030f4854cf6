"""What scorers say of the model on each segment, and by how much two segments differ in that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.scores.score_intervals import Scored, Units, score_rows
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.analysis.segments._two_numbers import ends_of_difference
from nnperm_mlflow.analysis.segments.segment_tables import SCORE_COLUMNS, SCORE_DIFFERENCE_COLUMNS, SegmentScores
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.statistics.sums import sum_of_products
from nnperm_mlflow.basics.errors import ConfigError


def score_segments(
    scores: Scores,
    predictions: np.ndarray,
    segmentations: Sequence[Segmentation],
    clusters: np.ndarray | None = None,
) -> SegmentScores:
    """Score the undisturbed predictions of each segment by themselves.

    Parameters
    ----------
    scores : Scores
    predictions : ndarray of shape (n_rows, n_outputs)
        Of all rows; those that are not finite are left out. Not modified.
    segmentations : sequence of Segmentation
    clusters : ndarray of shape (n_rows,), int64, optional
        Which rows belong together; clusters are then the sample.

    Returns
    -------
    SegmentScores
    """
    finite = np.isfinite(predictions).all(axis=1)
    every = Units.of(len(predictions), clusters)
    told: list[tuple[object, ...]] = []
    differences: list[tuple[object, ...]] = []
    for segmentation in segmentations:
        rows = [np.flatnonzero(finite & (segmentation.numbers == each)) for each in range(len(segmentation.names))]
        together = _clusters_in_common(rows, every) if clusters is not None else None
        for name in scores.names:
            found = [_of_segment(scores, name, predictions, each, every) for each in rows]
            told += _rows_of(segmentation, name, found)
            differences += _differences(segmentation, name, found, together)
    return SegmentScores(
        pd.DataFrame(told, columns=list(SCORE_COLUMNS)),
        pd.DataFrame(differences, columns=list(SCORE_DIFFERENCE_COLUMNS)),
    )


def _of_segment(scores: Scores, name: str, predictions: np.ndarray, rows: np.ndarray, every: Units) -> Scored:
    """Return what a scorer says of a segment; nothing where it is not defined there."""
    undefined = OwnScore(math.nan, rows=len(rows))
    if not len(rows):
        return Scored(undefined, untold="no row has a prediction")
    try:
        return score_rows(scores, name, predictions, rows, every)
    except ConfigError:
        is_one = len(np.unique(scores.labels(name, rows), axis=0)) == 1
        return Scored(undefined, untold="all rows have one label" if is_one else "it is not defined for these rows")


def _rows_of(segmentation: Segmentation, name: str, found: Sequence[Scored]) -> Iterator[tuple[object, ...]]:
    for segment, each in zip(segmentation.names, found, strict=True):
        score = each.score
        numbers = (score.rows, each.n_units, score.value, score.low, score.high)
        yield (segmentation.column, segment, name, *numbers, each.untold)


def _differences(
    segmentation: Segmentation, name: str, found: Sequence[Scored], together: np.ndarray | None
) -> Iterator[tuple[object, ...]]:
    """Yield by how much each two segments differ that have an interval."""
    judged = [number for number, each in enumerate(found) if each.score.has_interval]
    for place, one in enumerate(judged):
        for other in judged[place + 1 :]:
            a, b = found[one].score, found[other].score
            shared = together is not None and bool(together[one, other])
            r = _correlation(found[one].added, found[other].added) if shared else 0.0
            ends = ends_of_difference((a.value, a.low, a.high), (b.value, b.low, b.high), r)
            fewer = min(found[one].n_units, found[other].n_units)
            pair = (segmentation.names[one], segmentation.names[other])
            yield (segmentation.column, *pair, name, fewer, a.value - b.value, *map(float, ends))


def _clusters_in_common(rows: Sequence[np.ndarray], every: Units) -> np.ndarray:
    """Return which segments have rows of the same clusters, of shape (n_segments, n_segments)."""
    held = np.stack([np.bincount(every.of_row[each], minlength=every.n_units) > 0 for each in rows])
    return held.astype(np.float32) @ held.T.astype(np.float32) > 0


def _correlation(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Return how the errors of two scores go together that share clusters; without influences, the worst that can be.

    Segments are disjoint, so that rows that stand for themselves have nothing in common.
    """
    if one is None or other is None:
        return -1.0
    scale = math.sqrt(sum_of_products(one, one) * sum_of_products(other, other))
    return float(np.clip(sum_of_products(one, other) / scale, -1, 1)) if scale > 0 else 0.0
