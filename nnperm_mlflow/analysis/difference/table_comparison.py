"""What changed between two audits, and how sure that is: from their deviation tables and summaries alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.difference._agreement import NOTHING, Interval, largest_shift, rank_correlation
from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_COLUMNS, DIFFERENCE_OF, Agreement, Comparison
from nnperm_mlflow.analysis.difference.influences import (
    Errors,
    Influences,
    Statistic,
    find_influences,
    paired_errors,
    unpaired_errors,
)
from nnperm_mlflow.analysis.difference.recorded_table import KnownRows
from nnperm_mlflow.analysis.perturbation.kinds import Conditional, Shuffle
from nnperm_mlflow.analysis.statistics.order import MEAN, MEDIAN, in_parts, places
from nnperm_mlflow.analysis.statistics.summary_columns import COMPOSED
from nnperm_mlflow.analysis.uncertainty.variance import Dependence
from nnperm_mlflow.basics.errors import ConfigError

_SAME = ["perturbation", "way"]
_SHOWN = 12  # characters of a digest


def compare_tables(
    a: Path,
    b: Path,
    summary_a: pd.DataFrame,
    summary_b: pd.DataFrame,
    *,
    paired: bool = True,
    statistic: Statistic = "mean",
    order_by: str | None = None,
) -> Comparison:
    """Compare two audits, as of two versions of a model.

    Parameters
    ----------
    a, b : Path
        Deviation tables; no more than a column of each is held in memory, of the rows on which variances are found.
    summary_a, summary_b : DataFrame
        See `analysis.statistics.summary.summarize`. Not modified.
    paired : bool
        Compare row by row, for which both must have disturbed the same rows with the same donors; of two samples of
        different sizes those rows are compared that both have. Otherwise the two are taken to be independent of each
        other.
    statistic : "median" or "mean"
        What `rank_correlation` and `largest_shift` are of, and the order of the rows.
    order_by : str, optional
        The statistic that leads, where it is another one: `rank_a` and `rank_b` are by that, if both summaries have it.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        If audits that are to be compared row by row are not of the same data, rows, seed, repeats, strata and clusters.
    """
    both = summary_a.merge(summary_b, on=_SAME, suffixes=("_a", "_b"))
    with KnownRows(a) as audit_a, KnownRows(b) as audit_b:
        if paired:
            _shorten_to_shared(audit_a, audit_b, both)
            _check_likeness(audit_a, audit_b)
        found = [_errors(audit_a, audit_b, row, paired) for row in both.to_dict("records")]
    errors = pd.DataFrame(found, columns=list(DIFFERENCE_OF))
    has_order = order_by is not None and {f"{order_by}_a", f"{order_by}_b"} <= set(both)
    differences = _differences(both, errors, order_by if order_by is not None and has_order else statistic)
    defined, name = differences["difference"].notna(), DIFFERENCE_OF[statistic]
    own = defined & ~both["kind_a"].isin(COMPOSED)

    def correlation(way: str) -> Interval:
        single = own & (differences["way"] == way)
        first, second = (differences.loc[single, f"{statistic}{end}"].to_numpy(float) for end in ("_a", "_b"))
        return rank_correlation(first, second, errors.loc[single, statistic].tolist())

    def shift(among: pd.Series) -> Interval:
        return largest_shift(*(differences.loc[among, f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high")))

    ways = [way for way in (Shuffle.way, Conditional.way) if (defined & (differences["way"] == way)).any()]
    by_way = {way: Agreement(correlation(way), shift(defined & (differences["way"] == way))) for way in ways}
    return Comparison(
        differences=_ordered(differences, name),
        only_a=_only(summary_a, summary_b),
        only_b=_only(summary_b, summary_a),
        rank_correlation=by_way[Shuffle.way].rank_correlation if Shuffle.way in by_way else NOTHING,
        largest_shift=shift(defined),
        paired=paired,
        undefined=differences.loc[~defined, "perturbation"].tolist(),
        statistic=statistic,
        shared_rows=min(audit_a.n_rows, audit_b.n_rows) if paired else None,
        by_way=by_way,
    )


def _shorten_to_shared(a: KnownRows, b: KnownRows, both: pd.DataFrame) -> None:
    """Look at the rows alone that two samples share, of each perturbation, and put their statistics into `both`."""
    if not (a.is_sample and b.is_sample):
        return
    if a.n_rows != b.n_rows:
        larger, least = (a, b.n_rows) if a.n_rows > b.n_rows else (b, a.n_rows)
        larger.shorten(least)
    names = both["perturbation"].tolist()
    for name in names:
        shared = min(a.rows_of(name), b.rows_of(name))
        a.shorten_column(name, shared)
        b.shorten_column(name, shared)
    for audit, end in ((a, "_a"), (b, "_b")):
        is_shorter = np.array([audit.rows_of(name) < audit.audited_rows(name) for name in names])
        if is_shorter.any():
            told = both[[f"mean{end}", f"median{end}"]].to_numpy(float, copy=True)
            told[is_shorter] = [audit.statistics(name) for name, each in zip(names, is_shorter, strict=True) if each]
            both[f"mean_of_shared{end}"], both[f"median_of_shared{end}"] = told.T


def comparable_statistic(order_by: str) -> Statistic:
    """Return by what audits are compared in which a statistic leads; flips and scores are in no deviation table."""
    return "median" if order_by == MEDIAN else "mean"


def _check_likeness(a: KnownRows, b: KnownRows) -> None:
    """Refuse to compare audits row by row that did not disturb the same rows with the same donors."""
    told = {
        "data": tuple(str(audit.settings.get("data_digest"))[:_SHOWN] for audit in (a, b)),
        "rows": (a.n_rows, b.n_rows),
        "seed": (a.settings["seed"], b.settings["seed"]),
        "repeats": (len(a.repeats), len(b.repeats)),
        "within": (a.settings.get("within"), b.settings.get("within")),
        "cluster": (a.settings.get("cluster"), b.settings.get("cluster")),
        "donors": (a.settings.get("donors"), b.settings.get("donors")),
        "subgroups": tuple(str(audit.settings.get("subgroups"))[:_SHOWN] for audit in (a, b)),
    }
    apart = [f"{name} ({one} and {other})" for name, (one, other) in told.items() if one != other]
    if not apart and not all(np.array_equal(a.rows(repeat), b.rows(repeat)) for repeat in a.repeats):
        apart = ["the order of their rows"]
    if apart:
        raise ConfigError(
            f"the two audits differ in {', '.join(apart)}, so that they cannot be compared row by row. Audit both "
            "alike, or compare them as independent samples (paired=False)."
        )


def _errors(a: KnownRows, b: KnownRows, row: Mapping[str, Any], paired: bool) -> dict[Statistic, Errors]:
    """Return for each statistic of a perturbation how far it errs in the two audits."""
    dependence = a.dependence(row["feature_a"], row["way"])
    first = _influences(a, row, "_a", dependence)
    if paired:
        return paired_errors(first, _influences(b, row, "_b", dependence))
    return unpaired_errors(first, _influences(b, row, "_b", b.dependence(row["feature_b"], row["way"])))


def _influences(audit: KnownRows, row: Mapping[str, Any], end: str, dependence: Dependence) -> Influences:
    median, low, high = (row[f"{name}{end}"] for name in ("median", "median_low", "median_high"))
    name = row["perturbation"]
    n_rows = audit.counted_as(name, audit.audited_rows(name))
    found = find_influences(audit.deviations(name), median, (low, high), dependence, n_rows)
    # how dense deviations are at the median, all rows tell best
    return replace(found, n_rows=audit.counted_as(name, audit.rows_of(name)))


def _differences(both: pd.DataFrame, errors: pd.DataFrame, order_by: str) -> pd.DataFrame:
    """Return the table of differences, in the order of the first audit's summary."""
    found = both.rename(columns={"feature_a": "feature", "value_a": "value"})
    for name in (f"{statistic}_{end}" for statistic in DIFFERENCE_OF for end in ("a", "b")):
        statistic, _, end = name.partition("_")
        found[name] = both.get(f"{statistic}_of_shared_{end}", both[name])
    for statistic, name in DIFFERENCE_OF.items():
        found[name] = found[f"{statistic}_b"] - found[f"{statistic}_a"]
        found[f"{name}_low"] = found[name] - np.array([each.below for each in errors[statistic]])
        found[f"{name}_high"] = found[name] + np.array([each.above for each in errors[statistic]])
    for end in ("_a", "_b"):
        told = {name: both[f"{name}{end}"] for name in (order_by, MEAN)}
        found[f"rank{end}"] = places(both[["way"]].assign(**told), order_by)
    return found[list(DIFFERENCE_COLUMNS)]


def _ordered(differences: pd.DataFrame, first: str) -> pd.DataFrame:
    sizes = differences[list(DIFFERENCE_OF.values())].abs()
    order = sizes.sort_values([first, *sizes.columns.drop(first)], ascending=False, kind="stable").index
    return in_parts(differences.loc[order])


def _only(summary: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Return the perturbations that one has and the other has not."""
    others = set(other[_SAME].itertuples(index=False, name=None))
    return [row[0] for row in summary[_SAME].itertuples(index=False, name=None) if row not in others]
