"""Audits as the page of one is made of, though none was made: numbers of one's own, everything else in its place."""

from datetime import datetime, timezone

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    SCORE_COLUMNS,
    SCORE_DIFFERENCE_COLUMNS,
    SegmentScores,
    SegmentTables,
)
from nnperm_mlflow.analysis.statistics.summary_columns import SUMMARY_COLUMNS
from nnperm_mlflow.report.page.reported_audit import ReportedAudit, ReportedVerdict
from nnperm_mlflow.verdict.verdict import Subject

DIGESTS = {
    f"{what}_digest": digit * 64
    for what, digit in {"model": "a", "data": "b", "config": "c", "table": "d", "summary": "e"}.items()
}
SUBJECT = Subject("models:/credit/4", "run1", "7", **DIGESTS, rows=6_000, repeats=1, seed=0)


def summary_row(name, mean, *, way="shuffle", changed=1.0, measurable=True, reach=0.01, **others):
    """Return a row of a summary; what is not given follows from the mean."""
    numbers = dict.fromkeys(SUMMARY_COLUMNS, np.nan) | {
        "perturbation": name, "feature": name, "kind": "number", "way": way, "value": None, "rows": 6_000, "skipped": 0,
        "mean": mean, "mean_low": mean - reach, "mean_high": mean + reach, "median": mean * 0.8, "q05": 0.0,
        "q25": mean / 2, "q75": mean * 1.5, "q95": mean * 2, "max": mean * 3, "changed_share": changed,
        "flipped_share": mean / 4, "measurable": measurable,
    }  # fmt: skip
    return numbers | others


def summary_of(*rows):
    return pd.DataFrame(rows)


def many_features(n, n_set=0):
    """Return a summary of so many shuffles, each smaller than the one before, and set values."""
    rows = [summary_row(f"feature number {place}", 0.1 * 0.99**place) for place in range(n)]
    rows += [summary_row(f"group={place}", 0.05, way="set", held=10.0 * place) for place in range(n_set)]
    return summary_of(*rows)


def windows_of(n_channels=2, n_windows=6):
    return pd.DataFrame(
        [
            (f"channel {channel}", f"month {window}", window, window, 0.01 * window, 0.02 * (channel + 1) * window)
            for channel in range(n_channels)
            for window in range(1, n_windows + 1)
        ],
        columns=["channel", "window", "first", "last", "median", "mean"],
    )


def profiles_of(values):
    """Return the profile of `AGE`, a number, and of `TOWN`, whose values are given."""
    numbers = [("AGE", "number", str(77_000 + step), 0.2 + step / 50, 0.19, 0.6, step / 4, 0.3) for step in range(1, 5)]
    towns = [("TOWN", "category", value, 0.3, 0.2, 0.4, 0.5, 0.3) for value in values]
    columns = ["feature", "kind", "value", "mean", "low", "high", "share", "baseline"]
    return pd.DataFrame([*numbers, *towns], columns=columns)


def effects_of():
    """Return accumulated local effects of `AGE`, whose values are unmistakable."""
    rows = [("AGE", "number", str(77_000 + step), step / 50 - 0.05, -0.1, 0.1, step / 4, 100) for step in range(1, 5)]
    return pd.DataFrame(rows, columns=["feature", "kind", "value", "effect", "low", "high", "share", "rows"])


def interactions_of(*pairs):
    """Return what pairs of features do together, given as both names, the mean size, and whether that is sure."""
    rows = [
        (first, second, mean, mean / 2, mean * 2, mean / 10, sure, "prediction") for first, second, mean, sure in pairs
    ]
    return pd.DataFrame(
        rows, columns=["first", "second", "mean", "mean_low", "mean_high", "share", "interacts", "scale"]
    )


def segments_of(values, features=("PAY",)):
    """Return what is told of segments by the values of `TOWN`, and by bins of `AGE`."""
    names = {"TOWN": [f"TOWN={value}" for value in values], "AGE": ["AGE <30", "AGE >=30"]}
    rows = [
        dict.fromkeys(COLUMNS, np.nan)
        | {"column": column, "segment": name, "perturbation": feature, "rows": 100 + place, "units": 100 + place,
           "mean": 0.1 + place / 10, "mean_low": 0.05, "mean_high": 0.4, "changed_share": 1.0}
        for column, of_column in names.items()
        for place, name in enumerate(of_column)
        for feature in features
    ]  # fmt: skip
    pairs = [(column, two[0], two[1], features[0], 100, -0.1, -0.12, -0.08) for column, two in names.items()]
    scores = [(column, name, "roc_auc", 100, 50, 0.7, 0.6, 0.8, "") for column, two in names.items() for name in two]
    apart = [(column, two[0], two[1], "roc_auc", 50, 0.01, -0.05, 0.07) for column, two in names.items()]
    return SegmentTables(
        pd.DataFrame(rows),
        pd.DataFrame(pairs, columns=list(DIFFERENCE_COLUMNS)),
        SegmentScores(
            pd.DataFrame(scores, columns=list(SCORE_COLUMNS)),
            pd.DataFrame(apart, columns=list(SCORE_DIFFERENCE_COLUMNS)),
        ),
    )


def told_check(name="few decisions turn on sex", passed=False, state="fails", **others):
    return {
        "check": name, "asked": f"{name}, asked", "passed": passed, "state": state, "of": "PAY", "value": 0.04,
        "low": 0.03, "high": 0.05, "limit": 0.02, "limit_is": "at most", "also_not_held_by": [], "judged": 1,
        "in_words": "PAY: 0.04 (0.03 to 0.05)", **others,
    }  # fmt: skip


def verdict_of(*checks, status="fail", **others):
    told = {
        "verdict": status, "in_words": f"{status} under credit limits 1", "mode": "enforce", "policy_digest": "f" * 64,
        "policy_name": "credit limits", "policy": {"owner": "Risk Office"}, "subject": {}, "baselines": {},
        "attempts": [], "given_at": "2026-11-24T10:05:00Z", "given_by": "ada", "checks": list(checks),
    }  # fmt: skip
    return ReportedVerdict(**{**told, **others})


def reported(*rows, summary=None, **others):
    """Return an audit of these rows of a summary (see `summary_row`), or of a whole one."""
    given = {
        "subject": SUBJECT, "unit": "probability", "order_by": "mean", "data": "credit.parquet",
        "begun_at": datetime(2026, 11, 24, tzinfo=timezone.utc), "facts": {"nnperm": "0.1.0"},
        "associations": pd.DataFrame(columns=["first", "second", "measure", "value", "group"]),
    }  # fmt: skip
    return ReportedAudit(summary=summary_of(*rows) if summary is None else summary, **{**given, **others})
