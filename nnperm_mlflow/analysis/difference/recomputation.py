"""Whether a summary is what its deviation table says: what can be computed from the table is computed once more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

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
        n_repeats = len(reader.repeats)
        wrong = [
            name
            for name, done in described.items()
            if not _agrees(told[name], done, _deviations(reader, done.column), n_repeats)
        ]
    if wrong:
        raise EvidenceError(
            f"the summary is not what the deviation table says of {name_list(wrong)}. Audit the version again."
        )


def confirm_numbers(summary: pd.DataFrame, again: pd.DataFrame) -> None:
    """Refuse a summary that is not that of another audit of the same, in any of its columns.

    Parameters
    ----------
    summary : DataFrame
        On record.
    again : DataFrame
        Of the audit that was made again.

    Raises
    ------
    EvidenceError
        If the two name other perturbations or columns, or a number or a text is another one.
    """
    told, found = (frame.set_index("perturbation").sort_index() for frame in (summary, again))
    if list(told.index) != list(found.index):
        raise EvidenceError(f"audited again, there is {name_list(found.index)}, and not {name_list(told.index)}.")
    _refuse_other_columns("the summary", told, found)
    wrong = [name for name in found if not _same_column(told[name], found[name])]
    if wrong:
        raise EvidenceError(
            f"audited again, {name_list(wrong)} come out otherwise than on record. Do not trust the run."
        )


def _refuse_other_columns(what: str, told: pd.DataFrame, found: pd.DataFrame) -> None:
    """Refuse a table that lacks columns, or has others: what is left out of it would be judged as if it were not."""
    lacking = [name for name in found if name not in told]
    added = [name for name in told if name not in found]
    if lacking or added:
        raise EvidenceError(
            f"audited again, {what} has other columns than on record: lacking there are {name_list(lacking)}, and "
            f"added {name_list(added)}. Audit the version again."
        )


def _same_column(told: pd.Series, found: pd.Series) -> bool:
    """Tell whether two columns are the same: numbers and flags up to rounding, texts to the letter."""
    if is_numeric_dtype(told) and is_numeric_dtype(found):
        one, other = told.to_numpy(dtype=float), found.to_numpy(dtype=float)
        return bool(np.allclose(one, other, rtol=1e-4, atol=1e-7, equal_nan=True))
    texts, others = (column.astype(object).where(column.notna(), None).tolist() for column in (told, found))
    return bool(texts == others)


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
        _refuse_other_columns("a table of segments", one, other)
        if len(one) != len(other) or not all(_same_column(one[name], other[name]) for name in other):
            raise EvidenceError("audited again, segments come out otherwise than on record. Do not trust the run.")


def confirm_interactions(told: pd.DataFrame | None, again: pd.DataFrame | None) -> None:
    """Refuse what is told of pairs of features that is not what another audit of the same tells."""
    if (told is None) != (again is None):
        raise EvidenceError("audited again, pairs of features are told that are not on record, or the other way round.")
    if told is None or again is None:
        return
    _refuse_other_columns("the table of pairs", told, again)
    one, other = (each.sort_values(["first", "second"], ignore_index=True) for each in (told, again))
    if len(one) != len(other) or not all(_same_column(one[name], other[name]) for name in other):
        raise EvidenceError("audited again, pairs of features come out otherwise than on record. Do not trust the run.")


def confirm_own_scores(told: Mapping[str, OwnScore], again: Mapping[str, OwnScore]) -> None:
    """Refuse scores of a model that are not those of another audit of the same, or not all of them.

    An audit that tells none at all is one of before they were told; nothing of it can be wrong.

    Raises
    ------
    EvidenceError
        If a score, an end of its interval or a part of its error is another one, or there are others.
    """
    names = sorted({*told, *again}) if told else []
    wrong = [name for name in names if not (name in told and name in again and _alike(told[name], again[name]))]
    if wrong:
        raise EvidenceError(f"audited again, the model's own {name_list(wrong)} come out otherwise than on record.")


def _alike(one: OwnScore, other: OwnScore) -> bool:
    numbers, others = ((s.value, s.low, s.high, s.rows, s.step, s.guess, s.no_better, *s.parts) for s in (one, other))
    return len(one.parts) == len(other.parts) and np.allclose(numbers, others, rtol=1e-4, atol=1e-7, equal_nan=True)


def _deviations(reader: TableReader, column: str) -> np.ndarray:
    return np.concatenate([*reader.column(column), np.empty(0, np.float32)])


def _agrees(told: Mapping[str, Any], done: DisturbedColumn, deviations: np.ndarray, n_repeats: int) -> bool:
    """Tell whether a row of a summary is what a column of the table says."""
    n_audited = len(deviations) if done.rows is None else n_repeats * done.rows
    if (told["feature"], told["way"], int(told["rows"])) != (done.feature, done.way, n_audited):
        return False
    kept = np.sort(deviations[~np.isnan(deviations)].astype(np.float64))
    if int(told["skipped"]) != n_audited - len(kept):
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
