"""The page of an audit: what stands on it, that nothing of a stranger is more than text, and that it asks nobody."""

import base64
import hashlib
import re

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.audit_page import audit_page
from tests.support.pages import read_page
from tests.support.reported import (
    effects_of,
    interactions_of,
    many_features,
    profiles_of,
    reported,
    segments_of,
    summary_row,
    told_check,
    verdict_of,
    windows_of,
)

ROWS = [
    summary_row("PAY", 0.12),
    summary_row("LIMIT_BAL", 0.05),
    summary_row("SEX", 0.0, changed=0.0),
    summary_row("EDUCATION=6", 0.3, way="set", held=14.0),
    summary_row("EDUCATION=2", 0.01, way="set", held=2_500.0),
]
HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", '"><img src=x onerror=alert(3)>', "{{ 7 * 7 }}",
    "x" * 300, "javascript:alert(4)", "' onmouseover='alert(5)", "]]>--><!--", "\x1b[31m\u202eevil\nline", "&lt;b&gt;",
]  # fmt: skip


def pairs_of(*pairs):
    """Return associations, given as both names, the value, and the group that would join them."""
    rows = [(first, second, "spearman", value, group) for first, second, value, group in pairs]
    return pd.DataFrame(rows, columns=["first", "second", "measure", "value", "group"])


def whole(name="PAY", values=("Wien", "Graz"), **others):
    """Return an audit that has everything, in which a stranger's name or words stand wherever such can stand."""
    rows = [
        summary_row(name, 0.12),
        summary_row("LIMIT_BAL", 0.05),
        summary_row(f"{name}=2", 0.3, way="set", held=14.0),
    ]
    pairs = pairs_of((name, "LIMIT_BAL", 0.9, name), ("LIMIT_BAL", "AGE", -0.8, ""))
    check = told_check(name, of=name, asked=name, in_words=name, also_not_held_by=[name])
    return reported(
        *rows,
        **{
            "windows": windows_of().assign(channel=name, window=[f"{name} {step}" for step in range(12)]),
            "profiles": profiles_of(values).replace("AGE", name),
            "segments": segments_of(values, (name,)),
            "effects": effects_of().replace("AGE", name),
            "interactions": interactions_of((name, "LIMIT_BAL", 0.02, True)),
            "associations": pairs,
            "verdict": verdict_of(check, in_words=f"fail: {name}", given_by=name, policy={"owner": name}),
            "own_scores": {"roc_auc": OwnScore(0.77, 0.75, 0.79, 6_000, guess=0.5)},
            "groups": {name: [name]},
            "excluded": [name],
            "too_wide": [name],
            "data": name,
            "labels": FeatureLabels(
                {name: name, "LIMIT_BAL": name}, {name: name}, {name: [f"{name} {step}" for step in range(12)]}
            ),
            **others,
        },
    )


def page_of(*rows, **asked):
    return read_page(audit_page(reported(*(rows or ROWS), **asked)))


def answer_of(page, question):
    (found,) = [each for each in page.all("div", **{"class": "answer"}) if each.all("h2")[0].text == question]
    return found.text


def names_in(table):
    return [row.all("th")[0].all("b")[0].text for row in table.all("tbody")[0].all("tr")]


def test_what_was_moved_and_what_was_set_stand_in_two_tables_in_the_order_of_the_audit():
    moved, was_set = page_of().all("table", **{"class": "boxes"})
    assert names_in(moved) == ["PAY", "LIMIT_BAL", "SEX"]
    assert names_in(was_set) == ["EDUCATION=6", "EDUCATION=2"]
    assert [row.all("td")[0].text for row in moved.all("tbody")[0].all("tr")] == ["1", "2", "3"]
    assert "pale" in was_set.all("tbody")[0].all("tr")[0].attributes["class"]
    assert "pale" not in was_set.all("tbody")[0].all("tr")[1].attributes["class"]


def test_what_was_shuffled_among_alike_rows_stands_apart_with_places_of_its_own():
    alike = [
        summary_row(f"{name} given others", mean, way="conditional") for name, mean in (("PAY", 0.2), ("AGE", 0.1))
    ]
    page = page_of(*ROWS[:2], *alike)
    moved, conditional = page.all("table", **{"class": "boxes"})
    assert (names_in(moved), names_in(conditional)) == (["PAY", "LIMIT_BAL"], ["PAY given others", "AGE given others"])
    rows = conditional.all("tbody")[0].all("tr")
    assert [row.all("td")[0].text for row in rows] == ["1", "2"]
    assert "place 2 of 2" in rows[1].attributes["data-words"]
    assert page.all("p", **{"class": "lead"})[0].text.startswith(
        "Predictions rest most on PAY: shuffled among the rows, it"
    )


def test_the_numbers_of_a_row_stand_under_the_titles_of_their_columns():
    moved, _ = page_of().all("table", **{"class": "boxes"})
    titles = [header.all("button")[0].text for header in moved.all("thead")[0].all("th") if header.all("button")]
    cells = [cell.text for cell in moved.all("tbody")[0].all("tr")[0].all("td")]
    told = dict(zip(titles[2:], cells[3:], strict=True))
    assert told["mean"] == "0.120 0.110 to 0.130"
    assert told["median"] == "0.0960"
    assert told["decisions flipped"] == "3.0 %"
    assert told["rows changed"] == "100 %"


def test_all_boxes_share_an_axis_and_tell_the_numbers_of_the_summary():
    """The largest deviation is 0.9, so that the axis ends at 1, which is 1,000 units."""
    moved, was_set = page_of().all("table", **{"class": "boxes"})
    assert [tick.text for tick in moved.all("div", **{"class": "axis"})[0].all("i")] == [
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
    ]
    paths = {
        row.all("th")[0].all("b")[0].text: {path.attributes["class"]: path.attributes["d"] for path in row.all("path")}
        for table in (moved, was_set)
        for row in table.all("tbody")[0].all("tr")
    }
    assert paths["PAY"] == {
        "w": "M0 12H240", "q": "M60 5H180V19H60Z", "m": "M96 3V21", "i": "M110 12H130", "d": "M120 12h0",
        "x": "M360 12h0",
    }  # fmt: skip
    assert paths["EDUCATION=6"]["d"] == "M300 12h0"


def test_what_was_not_tested_has_no_box_and_no_number_and_says_so():
    row = page_of().all("table", **{"class": "boxes"})[0].all("tbody")[0].all("tr")[2]
    assert not row.all("svg")
    assert "not tested: no row's value changed" in row.text
    assert [cell.text for cell in row.all("td")[3:]] == [""] * len(row.all("td")[3:])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_of_a_stranger_is_text_wherever_it_stands(name):
    """The page has the same elements with the same attributes as one with a harmless name."""
    harmless, hostile = read_page(audit_page(whole("PAY"))), read_page(audit_page(whole(name)))
    assert [(each.tag, sorted(each.attributes)) for each in hostile.all()] == [
        (each.tag, sorted(each.attributes)) for each in harmless.all()
    ]
    assert not [key for each in hostile.all() for key in each.attributes if key.startswith("on")]
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
    assert hostile.all("table", **{"class": "boxes"})[0].all("tbody")[0].all("b")[0].raw == shown
    assert hostile.all("script")[0].raw == harmless.all("script")[0].raw
    assert hostile.all("style")[0].raw == harmless.all("style")[0].raw


def test_the_page_forbids_the_browser_every_request_and_every_script_but_its_own():
    page = read_page(audit_page(whole()))
    (script,) = page.all("script")
    (rule,) = [each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes]
    digest = base64.b64encode(hashlib.sha256(script.raw.encode()).digest()).decode()
    assert rule.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in rule
    leading = [
        each.attributes[key]
        for each in page.all()
        for key in ("src", "href", "action", "data")
        if key in each.attributes
    ]
    assert leading
    assert all(target.startswith("#") for target in leading)
    assert not re.search(r"url\(|@import", page.all("style")[0].raw)
    anchors = {each.attributes["id"] for each in page.all() if "id" in each.attributes}
    assert {target[1:] for target in leading} <= anchors


def test_the_same_audit_gives_the_same_page_to_the_last_byte():
    assert audit_page(whole()) == audit_page(whole())


@pytest.mark.parametrize(("n_features", "most"), [(8, 80_000), (150, 350_000), (1_000, 2_000_000)])
def test_the_page_is_small(n_features, most):
    page = audit_page(whole(summary=many_features(n_features, n_features // 4)))
    assert len(page.encode()) <= most
    assert page.count("feature number ") >= n_features


def test_of_very_many_features_those_that_lead_are_shown_and_the_others_counted():
    summary = many_features(1_500, 500)
    text = audit_page(reported(summary=summary))
    page = read_page(text)
    moved, was_set = page.all("table", **{"class": "boxes"})
    assert len(names_in(moved)) == 1_200
    assert len(names_in(was_set)) == 400
    assert "And 300 more, which lead less, in summary.csv." in page.by_id("features").text
    assert len(text.encode()) < 3_000_000


def test_features_that_go_together_stand_beside_each_other_in_a_square_with_blanks_for_weaker_pairs():
    pairs = pairs_of(("BILL", "LIMIT", 0.95, ""), ("AGE", "MARRIAGE", -0.9, ""), ("LIMIT", "PAY", 0.8, ""))
    (grid,) = page_of(associations=pairs).by_id("associations").all("table", **{"class": "heat"})
    titles = [cell.text for cell in grid.all("thead")[0].all("th")][1:]
    assert titles == names_in(grid)
    assert abs(titles.index("AGE") - titles.index("MARRIAGE")) == 1
    assert abs(titles.index("BILL") - titles.index("LIMIT")) == 1
    cells = {
        (name, title): (cell.text, cell.attributes.get("style"))
        for name, row in zip(titles, grid.all("tbody")[0].all("tr"), strict=True)
        for title, cell in zip(titles, row.all("td"), strict=True)
    }
    told = {("BILL", "LIMIT"): ("0.95", "--v:0.95"), ("AGE", "MARRIAGE"): ("-0.90", "--v:0.90"),
            ("LIMIT", "PAY"): ("0.80", "--v:0.80")}  # fmt: skip
    assert cells == dict.fromkeys(cells, ("", None)) | told | {pair[::-1]: cell for pair, cell in told.items()}


@pytest.mark.parametrize(("pairs", "n_cells"), [([], None), ([("a", "b", 0.9, "")], None), ("many", 24)])
def test_the_square_is_there_for_three_features_and_more_and_stays_small(pairs, n_cells):
    many = [(f"feature {place}", f"feature {place + 1}", 0.99 - place / 1000, "") for place in range(149)]
    page = page_of(associations=pairs_of(*(many if pairs == "many" else pairs))).by_id("associations")
    assert [len(grid.all("tbody")[0].all("tr")) for grid in page.all("table", **{"class": "heat"})] == (
        [n_cells] if n_cells else []
    )
    assert ("126 more features in associations.csv" in page.text) == bool(n_cells)


def test_values_of_the_data_are_told_only_where_that_was_asked_for():
    values = ("Wien", "Graz")
    shut, told = (audit_page(whole(values=values, shows_values=shows)) for shows in (False, True))
    secrets = [*values, "77,00", "7700"]
    assert not [secret for secret in secrets if secret in shut]
    assert [secret for secret in secrets if secret in told][:3] == ["Wien", "Graz", "77,00"]
    assert "TOWN, group A" in read_page(shut).by_id("segments").text
    assert "AGE <30" in read_page(shut).by_id("segments").text


def test_the_words_of_checks_tell_no_value_of_a_segment_either():
    check = told_check(of="PAY in TOWN=Wien", in_words="PAY in TOWN=Wien: 0.04, and in TOWN=Wiener Neustadt 0.03")
    audit = whole(values=("Wien", "Wiener Neustadt"), verdict=verdict_of(check))
    text = read_page(audit_page(audit)).by_id("checks").text
    assert "PAY in TOWN, group A: 0.04, and in TOWN, group B 0.03" in text
    assert "Wien" not in text


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[:2], "Predictions rest most on PAY: shuffled among the rows, it moves the predicted probability by 0.120 "
                   "on average (95 % interval 0.110 to 0.130). Behind it come LIMIT_BAL (0.0500)."),
        ([summary_row("PAY", 1e-9, measurable=False)], "No feature has a measurable effect on the predictions."),
        ([summary_row("PAY", 0.0, changed=0.0)], "No feature could be tested: no row's value changed."),
    ],
)  # fmt: skip
def test_the_first_sentence_tells_what_leads(rows, told):
    (lead,) = page_of(*rows).all("p", **{"class": "lead"})
    assert lead.text == told


def test_the_first_sentence_is_made_of_the_statistic_that_leads():
    (by_flips,) = page_of(*ROWS[:2], order_by="flipped_share").all("p", **{"class": "lead"})
    assert by_flips.text.startswith("Decisions rest most on PAY: shuffled among the rows, it turns 3.0 % of them.")
    drops = [row | {"roc_auc_drop": row["mean"] / 2, "roc_auc_drop_error": 0.005} for row in ROWS[:2]]
    (by_drop,) = page_of(*drops, order_by="roc_auc_drop").all("p", **{"class": "lead"})
    assert by_drop.text.startswith(
        "roc_auc rests most on PAY: shuffled among the rows, it costs 0.0600 (95 % interval 0.0502"
    )


@pytest.mark.parametrize(("reach", "told"), [(0.01, "do not overlap"), (0.05, "which of the two leads may be chance")])
def test_how_sure_the_first_place_is_follows_from_the_intervals(reach, told):
    page = page_of(summary_row("PAY", 0.12, reach=reach), summary_row("LIMIT_BAL", 0.05, reach=reach))
    assert told in answer_of(page, "How sure is that?")


def test_without_intervals_it_is_said_that_nothing_is_sure():
    few = [summary_row("PAY", 0.12, reach=np.nan), summary_row("AGE", 0.1, reach=np.nan)]
    assert "cannot be told from so few rows" in answer_of(page_of(*few), "How sure is that?")


def test_a_model_that_only_guesses_is_called_so():
    poor = {"roc_auc": OwnScore(0.5, 0.48, 0.52, 6_000, guess=0.5, no_better=True)}
    assert "No better than guessing by 'roc_auc'" in answer_of(
        page_of(own_scores=poor), "How good is the model itself?"
    )
    assert "Not told" in answer_of(page_of(), "How good is the model itself?")


def test_the_verdict_its_policy_and_who_gave_it_stand_on_the_first_screen():
    page = page_of(verdict=verdict_of(told_check()))
    first = page.by_id("summary")
    assert first.all("span", **{"class": "badge"})[0].text == "policy not kept"
    assert "Fail under credit limits 1." in answer_of(page, "Does it keep the policy?")
    assert "which ada applied, 2026-11-24 10:05 UTC. The policy is that of Risk Office." in answer_of(
        page, "Who decided?"
    )
    assert "no verdict" in page_of().by_id("summary").all("span", **{"class": "badge"})[0].text
    assert "Nobody yet" in answer_of(page_of(), "Who decided?")


def test_each_check_stands_with_its_number_its_limit_and_a_drawing():
    checks = [
        told_check("kept one", passed=True, state="holds", value=0.01, low=0.005, high=0.015),
        told_check("missed one"),
        told_check("unsure one", state="undecided", value=0.021, low=0.019, high=0.023),
        told_check("no number", value=None, low=None, high=None, limit=None),
    ]
    found = page_of(verdict=verdict_of(*checks)).all("div", **{"class": "check"})
    badges = [each.all("span", **{"class": "badge"})[0].text for each in found]
    assert badges == ["kept", "not kept", "undecided, counts as not kept", "not kept"]
    assert "PAY: 0.0400 (0.0300 to 0.0500); limit at most 0.02" in found[1].text
    (limit,) = found[1].all("path", **{"class": "limit"})
    (low, high) = re.fullmatch(
        r"M([\d.]+) 15H([\d.]+)", found[1].all("path", **{"class": "i"})[0].attributes["d"]
    ).groups()
    assert float(re.match(r"M([\d.]+)", limit.attributes["d"])[1]) < float(low) < float(high)
    assert not found[3].all("svg")


def test_what_it_was_compared_with_is_told_with_what_came_of_it():
    check = told_check("like before", passed=True, state="holds", asked="is like models:/credit@champion")
    page = page_of(verdict=verdict_of(check, baselines={"models:/credit@champion": "models:/credit/3"}))
    told = answer_of(page, "What changed since the version in use?")
    assert "models:/credit@champion was models:/credit/3 then. like before: kept; PAY: 0.04 (0.03 to 0.05)." in told
    assert "Not compared" in answer_of(page_of(), "What changed since the version in use?")


def test_the_heat_map_has_channels_by_windows_in_time_and_the_largest_is_darkest():
    (grid,) = page_of(windows=windows_of()).all("table", **{"class": "heat"})
    assert [each.text for each in grid.all("thead")[0].all("th")][1:] == [f"month {step}" for step in range(1, 7)]
    rows = grid.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == ["channel 1", "channel 0"]
    assert [cell.text for cell in rows[0].all("td")][-1] == "0.24"
    assert rows[0].all("td")[-1].attributes["style"] == "--v:1.00"
    assert rows[1].all("td")[0].attributes["style"] == "--v:0.08"


def test_a_window_that_was_not_measured_is_not_one_of_no_effect():
    windows = windows_of().iloc[1:]
    (cell,) = page_of(windows=windows).all("table", **{"class": "heat"})[0].all("td", **{"class": "none"})
    assert cell.attributes["title"] == "not measured"


def test_pairs_that_act_together_stand_with_their_interval_the_largest_first():
    pairs = interactions_of(("PAY", "LIMIT_BAL", 0.02, True), ("PAY", "SEX", 0.0001, False))
    rows = page_of(interactions=pairs).by_id("interactions").all("tbody")[0].all("tr")
    assert rows[0].text == "PAY LIMIT_BAL 0.0200 0.0100 to 0.0400 0.2 % yes"
    assert rows[1].text.endswith("no")
    assert "No pair" in page_of(interactions=pairs.head(0)).by_id("interactions").text


def test_accumulated_effects_are_drawn_around_the_mean():
    (drawing,) = page_of(effects=effects_of()).by_id("effects").all("svg")
    (base,), (line,) = drawing.all("path", **{"class": "base"}), drawing.all("path", **{"class": "line"})
    middle = float(re.match(r"M0 ([\d.]+)H", base.attributes["d"])[1])
    heights = [float(y) for y in re.findall(r" ([\d.]+)", line.attributes["d"])]
    assert heights[0] > middle > heights[-1]
    assert heights == sorted(heights, reverse=True)


def test_a_summary_of_before_without_quartiles_has_a_page_all_the_same():
    old = pd.DataFrame(ROWS).drop(columns=["q05", "q25", "q75", "held", "kind", "decisions_vary", "shift"])
    page = read_page(audit_page(reported(summary=old)))
    paths = page.all("table", **{"class": "boxes"})[0].all("tbody")[0].all("path")
    assert {path.attributes["class"] for path in paths} == {"m", "i", "d", "x"}


def test_a_way_that_the_page_does_not_know_is_called_by_its_own_name():
    page = page_of(summary_row("PAY", 0.1), summary_row("PAY bent", 0.05, way="bend"))
    (choice,) = [each for each in page.all("select") if each.attributes["id"] == "by-way"]
    assert [each.text for each in choice.all("option")] == ["everything", "shuffled", "bend"]
    assert page.all("tr", **{"class": "s-other"})


def test_what_features_and_steps_are_called_stands_wherever_they_are_named():
    labels = FeatureLabels(
        {"channel 1": "payment status", "PAY": "payments", "SEX": "sex"},
        {"PAY": "Of the last six months."},
        {channel: ["Apr", "May", "Jun", "Jul", "Aug", "Sep"] for channel in ("channel 0", "channel 1")},
    )
    windows = windows_of(2, 6)
    windows["window"] = [f"step {first}" for first in windows["first"]]
    rows = [summary_row("PAY", 0.12), summary_row("SEX=2", 0.3, way="set", feature="SEX", held=14.0)]
    page = page_of(*rows, labels=labels, windows=windows, groups={"both": ["PAY", "AGE"]})
    assert page.all("p", **{"class": "lead"})[0].text.startswith("Predictions rest most on PAY (payments):")
    moved, was_set = page.all("table", **{"class": "boxes"})
    assert [small.text for small in moved.all("small")][:1] == ["payments"]
    assert was_set.all("tbody")[0].all("th")[0].text.startswith("SEX=2 sex")
    assert "PAY (payments), shuffled; place 1" in moved.all("tbody")[0].all("tr")[0].attributes["data-words"]
    (grid,) = page.all("table", **{"class": "heat"})
    assert [each.text for each in grid.all("thead")[0].all("th")][1:] == ["Apr", "May", "Jun", "Jul", "Aug", "Sep"]
    assert grid.all("tbody")[0].all("tr")[0].all("th")[0].text == "channel 1 (payment status)"
    assert "both (PAY (payments), AGE)" in page.by_id("method").text
    assert "PAY payments : Of the last six months." in page.by_id("glossary").text


def test_values_that_labels_stand_behind_are_hidden_as_without_labels():
    labels = FeatureLabels({"PAY": "payments", "TOWN": "home"})
    plain, labelled = (audit_page(whole(labels=each)) for each in (FeatureLabels(), labels))
    assert "Wien" not in plain + labelled
    told = [read_page(page).by_id("segments").text for page in (plain, labelled)]
    assert told[0] == told[1].replace("PAY (payments)", "PAY")
    assert "TOWN, group A" in told[0]


def test_what_cannot_occur_has_its_number_a_mark_and_a_sentence():
    far = {"out_of_data": 0.97, "out_of_data_low": 0.96, "out_of_data_high": 0.98}
    near = {"out_of_data": 0.6, "out_of_data_low": 0.55, "out_of_data_high": 0.65}
    page = page_of(summary_row("PAY", 0.12, **far), summary_row("AGE", 0.05, **near))
    (table,) = page.all("table", **{"class": "boxes"})
    pay, age = table.all("tbody")[0].all("tr")
    assert [row.all("small", **{"class": "note"}) != [] for row in (pay, age)] == [True, False]
    assert "rows that cannot occur" in pay.text
    assert "told from the data 0.970 (0.960 to 0.980)" in pay.attributes["data-words"]
    assert "data-silent" not in pay.attributes
    assert "Much of what was asked under PAY cannot occur" in answer_of(page, "What does it not show?")
    assert "beyond 0.9 they are marked" in page.by_id("method").text
    assert "learner" not in page_of().by_id("method").text
