"""Whether a summary is what its deviation table says: what can be computed from the table is computed once more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.difference.recorded_table import DisturbedColumn, read_provenance
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES
from nnperm_mlflow.basics.errors import EvidenceError, name_list

_CLOSE = 1e-6  # relative: far more than rounding, far less than anybody would forge


def confirm_summary(table: Path, summary: pd.DataFrame) -> None:
    """Refuse a summary that is not what its table says.

    Rows, quantiles, means and largest deviations are computed again, and the median over changed rows from the share of
    rows that is said to have changed. That share, decisions that flipped, drops in score and the ends of intervals are
    in no table: only another audit confirms them.

    Parameters
    ----------
    table : Path
        The deviation table.
    summary : DataFrame
        A row per perturbation, see `statistics.summarize`.

    Raises
    ------
    EvidenceError
        If the two name other perturbations, or a number is another one.
    """
    described = {done.perturbation: done for done in read_provenance(table).perturbations}
    told: dict[str, Any] = {str(row["perturbation"]): row for row in summary.to_dict("records")}
    if set(described) != set(told):
        apart = sorted(set(described) ^ set(told))
        raise EvidenceError(f"table and summary are not of one audit: only one of them has {name_list(apart)}.")
    with TableReader(table) as reader:
        wrong = [
            name
            for name, done in described.items()
            if not _agrees(told[name], done, np.concatenate([*reader.column(done.column), np.empty(0, np.float32)]))
        ]
    if wrong:
        raise EvidenceError(
            f"the summary is not what the deviation table says of {name_list(wrong)}. Audit the version again."
        )


def confirm_numbers(summary: pd.DataFrame, again: pd.DataFrame) -> None:
    """Refuse a summary whose numbers are not those of another audit of the same.

    Raises
    ------
    EvidenceError
        If the two name other perturbations, or a number is another one.
    """
    told, found = (frame.set_index("perturbation").sort_index() for frame in (summary, again))
    if list(told.index) != list(found.index):
        raise EvidenceError(f"audited again, there is {name_list(found.index)}, and not {name_list(told.index)}.")
    numbers = [name for name in found.select_dtypes("number") if name in told]
    close = np.isclose(told[numbers].astype(float), found[numbers].astype(float), rtol=1e-4, atol=1e-7, equal_nan=True)
    if not close.all():
        wrong = [name for name, alike in zip(numbers, close.all(axis=0), strict=True) if not alike]
        raise EvidenceError(
            f"audited again, {name_list(wrong)} come out otherwise than on record. Do not trust the run."
        )


def confirm_segments(told: SegmentTables | None, again: SegmentTables | None) -> None:
    """Refuse what is told of segments that is not what another audit of the same tells; see `confirm_numbers`."""
    if (told is None) != (again is None):
        raise EvidenceError("audited again, segments are told that are not on record, or the other way round.")
    if told is None or again is None:
        return
    pairs = [(told.segments, again.segments), (told.differences, again.differences)]
    if told.scores is not None and again.scores is not None:  # an audit of before tells none
        pairs += [(told.scores.scores, again.scores.scores), (told.scores.differences, again.scores.differences)]
    elif told.scores is not None:
        raise EvidenceError("audited again, no scores of segments are told, which are on record. Do not trust the run.")
    for one, other in pairs:
        numbers = list(other.select_dtypes("number"))
        texts = [name for name in other if name not in numbers]
        alike = len(one) == len(other) and bool((one[texts].to_numpy() == other[texts].to_numpy()).all())
        if not alike or not np.allclose(
            one[numbers].astype(float), other[numbers].astype(float), rtol=1e-4, atol=1e-7, equal_nan=True
        ):
            raise EvidenceError("audited again, segments come out otherwise than on record. Do not trust the run.")


def confirm_own_scores(told: Mapping[str, OwnScore], again: Mapping[str, OwnScore]) -> None:
    """Refuse scores of a model that are not those of another audit of the same; those that were not told are passed.

    Raises
    ------
    EvidenceError
        If a score, an end of its interval or a part of its error is another one.
    """
    wrong = [name for name, score in told.items() if name not in again or not _alike(score, again[name])]
    if wrong:
        raise EvidenceError(f"audited again, the model's own {name_list(wrong)} come out otherwise than on record.")


def _alike(one: OwnScore, other: OwnScore) -> bool:
    numbers, others = ((s.value, s.low, s.high, *s.parts) for s in (one, other))
    return len(one.parts) == len(other.parts) and np.allclose(numbers, others, rtol=1e-4, atol=1e-7, equal_nan=True)


def _agrees(told: Mapping[str, Any], done: DisturbedColumn, deviations: np.ndarray) -> bool:
    """Tell whether a row of a summary is what a column of the table says."""
    if (told["feature"], told["way"], int(told["rows"])) != (done.feature, done.way, len(deviations)):
        return False
    kept = np.sort(deviations[~np.isnan(deviations)].astype(np.float64))
    if int(told["skipped"]) != len(deviations) - len(kept):
        return False
    if not len(kept):
        return all(math.isnan(told[name]) for name in (*QUANTILES, "mean", "max"))
    found = {name: float(np.quantile(kept, share)) for name, share in QUANTILES.items()}
    found |= {"mean": float(kept.mean()), "max": float(kept[-1])}
    if not math.isnan(told["changed_median"]):
        n_changed = round(told["changed_share"] * len(kept))
        if not np.count_nonzero(kept) <= n_changed <= len(kept):
            return False
        found["changed_median"] = float(np.median(kept[len(kept) - n_changed :])) if n_changed else math.nan
    return all(math.isclose(value, told[name], rel_tol=_CLOSE, abs_tol=1e-12) for name, value in found.items())
