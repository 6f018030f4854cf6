"""The page of a comparison: what changed first, both boxes on one axis, and nothing of a stranger more than text."""

import dataclasses

import pytest

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.comparison_page import comparison_page
from tests.report.page.test_audit_page import HOSTILE
from tests.support.compared import compared, many_compared
from tests.support.pages import read_page
from tests.support.reported import told_check, verdict_of

BEFORE, NOW = (
    {"PAY": 0.12, "AGE": 0.05, "SEX": 0.001, "OLD": 0.02},
    {"PAY": 0.05, "AGE": 0.07, "SEX": 0.002, "NEW": 0.03},
)


def page_of(before=BEFORE, now=NOW, **others):
    return read_page(comparison_page(compared(before, now, **others)))


def answer_of(page, question):
    (found,) = [each for each in page.all("div", **{"class": "answer"}) if each.all("h2")[0].text == question]
    return found.text


def test_the_first_sentence_tells_what_changed_most_with_its_interval():
    (lead,) = page_of().all("p", **{"class": "lead"})
    assert lead.text == (
        "credit 4 rests less on PAY than credit 3: shuffled among the rows, it moves predictions by 0.0500 on average, "
        "where it was 0.120 (difference -0.0700, 95 % interval -0.0750 to -0.0650)."
    )


def test_what_may_be_chance_is_not_told_as_a_change():
    (lead,) = page_of(reach=0.2).all("p", **{"class": "lead"})
    assert lead.text == "No feature surely moves the predictions of credit 4 more, or less, than those of credit 3."
    page = page_of()
    assert answer_of(page, "What counts more now?").startswith("What counts more now? AGE (+0.0200). more")
    assert answer_of(page, "What counts less now?").startswith("What counts less now? PAY (-0.0700). more")
    changed = [row.all("b")[0].text for row in page.all("tr", **{"class": "changed"})]
    assert changed == ["PAY", "AGE"]


def test_a_feature_of_one_version_alone_is_told_as_new_or_gone():
    page = page_of()
    assert "Only in credit 3: OLD. Only in credit 4: NEW." in answer_of(page, "What is new, and what is gone?")
    (table,) = page.all("table", **{"class": "boxes"})
    rows = {row.all("b")[0].text: row for row in table.all("tbody")[0].all("tr")}
    assert "only in credit 4" in rows["NEW"].text
    before, now = rows["NEW"].all("g")
    assert not before.all("path")
    assert now.all("path")


def test_both_boxes_of_a_row_tell_the_numbers_of_their_audits_on_one_axis():
    (table,) = page_of().all("table", **{"class": "boxes"})
    row = table.all("tbody")[0].all("tr")[0]
    means = [
        path.attributes["d"] for side in row.all("g") for path in side.all("path") if path.attributes["class"] == "d"
    ]
    assert means == ["M240 12h0", "M100 12h0"]  # of an axis that ends at 0.5
    assert [cell.text for cell in row.all("td")[3:]] == [
        "0.120 0.110 to 0.130", "0.0500 0.0400 to 0.0600", "-0.0700 -0.0750 to -0.0650",
    ]  # fmt: skip
    assert row.all("td")[0].text == "1 → 2"
    assert row.attributes["data-words"] == (
        "PAY, shuffled: mean deviation in credit 3 0.120 (0.110 to 0.130), in credit 4 0.0500 (0.0400 to 0.0600), "
        "difference -0.0700 (-0.0750 to -0.0650)."
    )


def test_scores_and_verdicts_of_both_stand_side_by_side():
    made = compared(BEFORE, NOW, own_scores={"roc_auc": (0.01, -0.01, 0.03)})
    scored = [
        dataclasses.replace(
            audit,
            own_scores={"roc_auc": OwnScore(value, value - 0.02, value + 0.02, 6_000)},
            verdict=verdict_of(told_check()),
        )
        for audit, value in zip(made.audits, (0.77, 0.78), strict=True)
    ]
    page = read_page(comparison_page(dataclasses.replace(made, audits=tuple(scored))))
    assert (
        "roc_auc 0.770 (0.750 to 0.790) 0.780 (0.760 to 0.800) 0.0100 (-0.0100 to 0.0300)" in page.by_id("scores").text
    )
    assert "which is better may be chance" in answer_of(page, "Which predicts better?")
    assert len(page.by_id("checks").all("div", **{"class": "check"})) == 2
    assert "credit 3: fail under credit limits 1." in answer_of(page, "Do they keep their policies?")
    assert "Not told" in answer_of(page_of(), "Which predicts better?")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_of_a_stranger_is_text_wherever_it_stands(name):
    def made(called):
        means = [{called: 0.12, "AGE": 0.05, f"{called} old": 0.02}, {called: 0.05, "AGE": 0.07}]
        labels = FeatureLabels({called: called}, {called: called})
        audits = [dataclasses.replace(each, verdict=verdict_of(told_check(called, of=called), given_by=called))
                  for each in compared(*means).audits]  # fmt: skip
        others = {"names": (called, f"{called} 2"), "how": called, "run_id": called, "audits": tuple(audits)}
        return read_page(comparison_page(compared(*means, labels=labels, **others)))

    harmless, hostile = made("PAY"), made(name)
    assert [(each.tag, sorted(each.attributes)) for each in hostile.all()] == [
        (each.tag, sorted(each.attributes)) for each in harmless.all()
    ]
    assert hostile.all("script")[0].raw == harmless.all("script")[0].raw


@pytest.mark.parametrize(("n_features", "most"), [(8, 60_000), (150, 300_000), (1_000, 2_000_000)])
def test_the_page_is_small(n_features, most):
    text = comparison_page(many_compared(n_features))
    assert len(text.encode()) <= most
    assert text.count("<b>feature number ") == n_features


def test_the_page_asks_nobody_and_is_the_same_again():
    text = comparison_page(many_compared(1_500))
    page = read_page(text)
    (rule,) = [each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes]
    assert rule.startswith("default-src 'none'; ")
    targets = [each.attributes[key] for each in page.all() for key in ("src", "href") if key in each.attributes]
    assert all(target.startswith("#") for target in targets)
    assert {target[1:] for target in targets} <= {
        each.attributes["id"] for each in page.all() if "id" in each.attributes
    }
    assert "And 300 more, which differ less, in comparison.csv." in page.by_id("features").text
    assert comparison_page(compared(BEFORE, NOW)) == comparison_page(compared(BEFORE, NOW))
