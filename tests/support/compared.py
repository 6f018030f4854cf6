"""Comparisons as the page of one is made of them, though none was made: numbers of one's own."""

import pandas as pd

from nnperm_mlflow.analysis.difference._agreement import Interval
from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_OF, Comparison
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from tests.support.reported import reported, summary_row


def many_compared(n_features):
    """Return the comparison of two audits of so many features, each smaller than the one before."""
    before = {f"feature number {place}": 0.1 * 0.99**place for place in range(n_features)}
    return compared(before, {name: mean * 0.9 for name, mean in before.items()})


def compared(before, now, *, reach=0.005, **others):
    """Return the comparison of two audits, of which the means of shuffles are given by name.

    Each difference has an interval of twice `reach`; rows are in the order of a comparison.
    """
    audits = tuple(reported(*(summary_row(name, mean) for name, mean in means.items())) for means in (before, now))
    sides = [audit.summary.set_index("perturbation") for audit in audits]
    names = list(dict.fromkeys([*before, *now]))
    table = pd.DataFrame({"perturbation": names, "feature": names, "way": "shuffle"})
    for statistic, difference in DIFFERENCE_OF.items():
        for side, summary in zip("ab", sides, strict=True):
            for end in ("", "_low", "_high"):
                found = summary.reindex(names)[f"mean{end}" if end else statistic]
                table[f"{statistic}_{side}{end}"] = found.to_numpy(float)
        apart = table[f"{statistic}_b"] - table[f"{statistic}_a"]
        table = table.assign(
            **{difference: apart, f"{difference}_low": apart - reach, f"{difference}_high": apart + reach}
        )
    table["only_in"] = ["" if name in before and name in now else "a" if name in before else "b" for name in names]
    for side in "ab":
        ranks = table.loc[table["only_in"] == "", f"mean_{side}"].rank(ascending=False)
        table[f"rank_{side}"] = ranks.reindex(table.index).astype("Int64")
    order = table["mean_difference"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
    alone = [[name for name in names if name not in other] for other in (now, before)]
    found = Comparison(table, *alone, Interval(0.8, 0.6, 0.9), Interval(0.05, 0.04, 0.06), paired=True, undefined=[])
    given = {
        "names": ("credit 3", "credit 4"), "audits": audits, "table": table.loc[order].reset_index(drop=True),
        "comparison": found, "own_scores": {}, "how": "the same 6,000 rows with the same donors (seed 0, 1 shuffle)",
        "run_id": "run9",
    }  # fmt: skip
    return ComparedAudits(**{**given, **others})
