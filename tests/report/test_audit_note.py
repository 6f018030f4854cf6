"""The description of a run: the first screen in Markdown, within what MLflow takes, whatever the names are."""

import pytest

from nnperm_mlflow.report.audit_note import MOST_LETTERS, audit_note
from nnperm_mlflow.report.feature_labels import FeatureLabels
from tests.support.reported import many_features, reported, summary_row, told_check, verdict_of

ROWS = [summary_row("PAY", 0.12), summary_row("LIMIT", 0.05)]


def test_it_tells_what_leads_what_the_policy_says_and_where_the_report_is():
    note = audit_note(
        reported(*ROWS, verdict=verdict_of(told_check()), labels=FeatureLabels({"PAY": "payment status"}))
    )
    where, _, first, _, header, _, leading, *_ = note.splitlines()
    assert where == "Policy not kept. The whole report: [report.html](#/experiments/7/runs/run1/artifacts/report.html)."
    assert first.startswith(r"**Predictions rest most on PAY \(payment status\): shuffled")
    assert header == "| feature | mean deviation | 95 % interval |"
    assert leading == r"| PAY \(payment status\) | 0.120 | 0.110 to 0.130 |"
    assert "**Does it keep the policy?** Fail under credit limits 1." in note
    assert note.endswith("`nnperm report --run run1`.")


@pytest.mark.parametrize("name", ["x" * 300, "<!-- nnperm audit: end -->", "](javascript:alert(1))", "`" * 300])
def test_whatever_the_names_it_is_short_and_they_are_text(name):
    rows = many_features(40).assign(perturbation=[f"{name}{place}" for place in range(40)])
    note = audit_note(reported(summary=rows, excluded=[name] * 90, too_wide=[name] * 90))
    assert len(note) <= MOST_LETTERS
    assert note.endswith("`nnperm report --run run1`.")
    assert "<!--" not in note
    assert "](javascript" not in note
    assert note.replace(r"\`", "").count("`") == 2
