"""The card of an audit: what leads, what is set apart, and what must not be read as no effect."""

from datetime import datetime, timezone

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SegmentTables
from nnperm_mlflow.report.audit_card import audit_card
from nnperm_mlflow.verdict.verdict import Subject

DIGESTS = {f"{what}_digest": what for what in ("model", "data", "config", "table", "summary")}
SUBJECT = Subject("models:/credit/4", "run1", "7", **DIGESTS, rows=6_000, repeats=1, seed=0)
WHEN = datetime(2026, 11, 24, tzinfo=timezone.utc)


def summary_of(*rows):
    """Write a summary as perturbation, way, mean, median, flipped share, held and share of rows changed."""
    columns = ["perturbation", "way", "mean", "median", "flipped_share", "held", "changed_share"]
    summary = pd.DataFrame(rows, columns=columns)
    ends = {f"mean{end}": summary["mean"] + reach for end, reach in (("_low", -0.01), ("_high", 0.01))}
    return summary.assign(**ends, q95=summary["mean"], changed_median=np.nan, measurable=True)


SUMMARY = summary_of(
    ("PAY_0", "shuffle", 0.125, 0.000, 0.160, np.nan, 0.4),
    ("PAY_AMT3", "shuffle", 0.060, 0.020, 0.010, np.nan, 1.0),
    ("LIMIT", "shuffle", 0.050, 0.019, 0.020, np.nan, 1.0),
    ("AGE", "shuffle", 0.040, 0.018, 0.030, np.nan, 1.0),
    ("BILL", "shuffle", 0.030, 0.017, 0.040, np.nan, 1.0),
    ("PAY_5", "shuffle", 0.020, 0.016, 0.050, np.nan, 1.0),
    ("SEX", "shuffle", 0.000, 0.000, 0.000, np.nan, 0.0),
    ("EDUCATION=6", "set", 0.300, 0.300, 0.500, 14.0, 0.99),
    ("EDUCATION=2", "set", 0.010, 0.010, 0.010, 2_500.0, 0.5),
)


def lines_of(summary=SUMMARY, **asked):
    return audit_card(summary, SUBJECT, unit="probability", when=WHEN, **asked).replace("\\", "").splitlines()


def row_of(lines, name):
    (line,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_set_values_stand_in_a_part_of_their_own_with_the_rows_behind_them():
    lines = lines_of()
    at = lines.index("### If everybody had one value")
    names = [line.split("|")[1].strip() for line in lines[:at] if line.startswith("| ")]
    assert [name for name in names if name not in ("feature", "---")] == list(SUMMARY["perturbation"][:7])
    assert row_of(lines, "EDUCATION=6")[:3] == ["EDUCATION=6", "14", "0.3 (0.29 to 0.31)"]
    assert row_of(lines, "EDUCATION=2")[1] == "2,500"
    assert "Fewer than 100 rows held EDUCATION=6: the model may never have seen what it was asked." in lines
    assert not [line for line in lines_of(SUMMARY.head(7)) if "everybody" in line or "held" in line]


def test_what_leads_is_the_first_column():
    header = next(line for line in lines_of() if line.startswith("| feature |"))
    assert header.split(" | ")[1] == "mean"
    assert "The largest mean deviation comes first." in " ".join(lines_of())
    by_flips = next(line for line in lines_of(order_by="flipped_share") if line.startswith("| feature |"))
    assert by_flips.split(" | ")[1] == "decisions flipped"
    drops = SUMMARY.assign(roc_auc_drop=0.5, roc_auc_drop_error=0.1)
    assert row_of(lines_of(drops, order_by="roc_auc_drop"), "PAY_0")[1] == "0.5 (0.304 to 0.696)"


def test_a_line_says_who_leads_in_another_order():
    """PAY_0 leads by means and flips, and is last by the median, which is 0."""
    (line,) = [line for line in lines_of() if line.startswith("Other orders have others among the first five")]
    assert line.endswith(": by median deviation PAY_5; by share of decisions flipped PAY_5.")
    same = SUMMARY.assign(median=SUMMARY["mean"], flipped_share=SUMMARY["mean"])
    assert not [line for line in lines_of(same) if line.startswith("Other orders")]


def test_what_was_not_tested_has_no_number_that_looks_like_no_effect():
    lines = lines_of()
    assert row_of(lines, "SEX")[1:] == ["not tested", "", "", ""]
    assert "Not tested, since no row's value changed: SEX." in lines


def test_what_stayed_less_precise_than_asked_is_named():
    lines = lines_of(too_wide=["mean of PAY_0", "roc_auc_drop of AGE"])
    assert [
        line for line in lines if line.startswith("Less precise than was asked for: mean of PAY_0, roc_auc_drop of")
    ]
    assert not [line for line in lines_of() if "precise" in line]


def test_the_segments_that_differ_most_are_told_and_those_too_small_are_named():
    segments = pd.DataFrame(
        [
            dict.fromkeys(COLUMNS, np.nan) | {"column": "REGION", "segment": f"REGION={number}", "units": units}
            for number, units in enumerate((500, 480, 29))
        ]
    )
    pair = ("REGION", "REGION=0", "REGION=1", "PAY_0", 480, -0.10, -0.12, -0.08)
    tables = SegmentTables(segments, pd.DataFrame([pair], columns=list(DIFFERENCE_COLUMNS)))
    lines = lines_of(segments=tables)
    assert row_of(lines, "REGION")[1:] == ["PAY_0", "REGION=1", "REGION=0", "0.1 (0.08 to 0.12)", "1", "yes"]
    assert "Fewer than 30 rows (or clusters), so counted and not judged: REGION=2." in lines
    assert not [line for line in lines_of() if "Parts of the rows" in line]


def test_pairs_that_do_more_together_are_told_and_of_the_others_their_number():
    pairs = pd.DataFrame(
        {
            "first": ["PAY", "AGE"], "second": ["LIMIT_BAL", "SEX"], "mean": [0.21, 1e-9], "mean_low": [0.2, 0.0],
            "mean_high": [0.22, 1e-8], "share": [0.12, 0.0], "share_low": [0.1, 0.0], "share_high": [0.14, 0.0],
            "interacts": [True, False], "h": [0.5, np.nan], "scale": "logit",
        }
    )  # fmt: skip
    told = lines_of(interactions=pairs)
    assert "| PAY | LIMIT_BAL | 0.21 (0.2 to 0.22) | 0.12 (0.1 to 0.14) | 0.5 |" in told
    assert "Of 1 pair no more than rounding was seen beyond what each feature does alone." in told
    assert any(line.endswith("All of it before the activation, in log-odds.") for line in told)
    assert "## What features do together" not in lines_of()


def test_groups_are_told_beside_their_members():
    numbers = {"total": [0.4, 0.2], "apart": [0.25, 0.3], "beyond": [0.15, -0.1]}
    groups = pd.DataFrame(
        {"group": ["bills", "person"], "way": ["shuffle", "conditional"], "members": ["a, b", "c, d"]}
    )
    for name, values in numbers.items():
        ends = {f"{name}_low": np.subtract(values, 0.01), f"{name}_high": np.add(values, 0.01)}
        groups = groups.assign(**{name: values, **ends})
    told = lines_of(groups=groups)
    assert "### Groups beside their members" in told
    assert "| bills | of all rows | 0.4 (0.39 to 0.41) | 0.25 (0.24 to 0.26) | 0.15 (0.14 to 0.16) |" in told
    assert any(line.startswith("| person | of rows that are alike | ") for line in told)
    assert "### Groups beside their members" not in lines_of()
