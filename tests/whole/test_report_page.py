"""The report in a real browser: from disk, by mouse and by keyboard alone, on paper, and for readers by ear."""

import re

import pytest

try:
    from axe_playwright_python.sync_playwright import Axe
except ImportError:
    Axe = None

from nnperm_mlflow.report.page.audit_page import audit_page
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from nnperm_mlflow.report.page.comparison_page import comparison_page
from tests.report.page.test_audit_page import pairs_of
from tests.support.browser import expect, running_browser, what_is_missing
from tests.support.compared import compared, many_compared
from tests.support.reported import (
    many_features,
    profiles_of,
    reported,
    segments_of,
    summary_row,
    told_check,
    verdict_of,
    windows_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())]

ROWS = [
    summary_row("PAY", 0.12, median=0.01),
    summary_row("LIMIT_BAL", 0.05, kind="channel"),
    summary_row("AGE", 0.002),
    summary_row("SEX", 0.0, changed=0.0),
    summary_row("EDUCATION=6", 0.3, way="set", held=14.0),
]


@pytest.fixture(scope="module")
def browser():
    with running_browser() as running:
        yield running


def whole(**others):
    checks = [told_check(), told_check("kept", passed=True, state="holds"), told_check("unsure", state="undecided")]
    given = {
        "windows": windows_of(3, 6), "profiles": profiles_of(("a", "b")), "segments": segments_of(("a", "b")),
        "verdict": verdict_of(*checks),
        "associations": pairs_of(("PAY", "LIMIT_BAL", 0.9, "PAY"), ("LIMIT_BAL", "AGE", -0.75, "")),
    }  # fmt: skip
    return reported(*ROWS, **{**given, **others})


def two_versions():
    before = {"PAY": 0.12, "LIMIT_BAL": 0.05, "AGE": 0.002, "SEX": 0.03}
    return compared(before, {"PAY": 0.05, "LIMIT_BAL": 0.11, "AGE": 0.002, "REGION": 0.01})


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report from disk, of an audit or a comparison, light or dark; gives the page and all that it asked for."""
    contexts = []

    def open_it(told, scheme="light"):
        text = comparison_page(told) if isinstance(told, ComparedAudits) else audit_page(told)
        (tmp_path / "report.html").write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: asked.append(str(error)))
        page.on("console", lambda message: asked.append(message.text))
        page.goto((tmp_path / "report.html").as_uri())
        return page, asked

    yield open_it
    for context in contexts:
        context.close()


def names_in(page, number=0):
    """Return the features of a table that can be seen, in their order."""
    names = page.locator("table.boxes").nth(number).locator("tbody tr:visible th b")
    return names.all_inner_texts()


@pytest.mark.parametrize("made", [whole, two_versions], ids=["audit", "comparison"])
def test_it_asks_nobody_for_anything_and_no_script_fails(opened, made):
    page, asked = opened(made())
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert [url.rpartition("/")[2] for url in asked] == ["report.html"]


def test_it_is_sorted_by_any_number_and_rows_without_one_come_last(opened):
    page, _ = opened(whole())
    page.get_by_role("button", name="median", exact=True).first.click()
    assert names_in(page) == ["LIMIT_BAL", "PAY", "AGE", "SEX"]
    page.get_by_role("button", name="median", exact=True).first.click()
    assert names_in(page) == ["AGE", "PAY", "LIMIT_BAL", "SEX"]
    header = page.locator("table.boxes").first.locator("th[aria-sort]")
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("all numbers").check()
    page.get_by_role("button", name="largest", exact=True).first.click()
    assert names_in(page) == ["PAY", "LIMIT_BAL", "AGE", "SEX"]


def test_it_is_filtered_by_name_by_way_by_kind_and_by_effect(opened):
    page, _ = opened(whole())
    page.get_by_label("Feature", exact=True).fill("a")
    assert names_in(page) == ["PAY", "LIMIT_BAL", "AGE"]
    page.get_by_role("combobox", name="Kind").select_option("channel")
    assert names_in(page) == ["LIMIT_BAL"]
    page.get_by_label("Feature", exact=True).fill("")
    page.get_by_role("combobox", name="Kind").select_option("")
    page.get_by_label("What was done").select_option("set")
    assert (names_in(page), names_in(page, 1)) == ([], ["EDUCATION=6"])
    page.get_by_label("What was done").select_option("")
    page.get_by_label("only with an effect").check()
    assert names_in(page) == ["PAY", "LIMIT_BAL", "AGE"]


def test_the_close_up_shows_all_boxes_on_another_axis_that_all_share(opened):
    page, _ = opened(whole())
    page.get_by_label("Close-up ends at").select_option("0.01")
    boxes = page.locator("td.c svg")
    assert {box.get_attribute("viewBox") for box in boxes.all()} == {"0 0 10 24"}
    over = page.locator("tr:has(td.over) th b").all_inner_texts()
    assert over == ["PAY", "LIMIT_BAL", "EDUCATION=6"]
    assert page.locator("th.c .axis").first.inner_text().split() == ["0", "0.002", "0.004", "0.006", "0.008", "0.01"]


def test_a_question_is_answered_from_the_numbers(opened):
    page, _ = opened(whole())
    page.get_by_label("Does it use").fill("age")
    expect(page.locator("#answer")).to_contain_text("AGE, shuffled; place 3 of 4: mean 0.00200 (")
    page.get_by_label("Does it use").fill("sex")
    expect(page.locator("#answer")).to_contain_text("SEX, shuffled (not tested: no row's value changed)")
    page.get_by_label("Does it use").fill("zodiac")
    expect(page.locator("#answer")).to_contain_text("No feature of that name was disturbed")


def test_the_first_rows_are_shown_until_all_are_asked_for(opened):
    page, _ = opened(whole(summary=many_features(150)))
    assert len(names_in(page)) == 30
    page.get_by_label("Feature", exact=True).fill("feature number 14")
    assert len(names_in(page)) == 11
    page.get_by_label("Feature", exact=True).fill("")
    page.get_by_role("button", name="Show all 150 rows").click()
    assert len(names_in(page)) == 150


def test_all_of_it_can_be_done_by_the_keyboard_alone(opened):
    """From the beginning of the page on, with the keys that every browser has for that."""
    page, _ = opened(whole())

    def tab_to(wanted, most=40):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
                return
        pytest.fail(f"{wanted} is not reached by the tab key")

    tab_to('a[href="#features"]')
    page.keyboard.press("Enter")
    expect(page.locator("#features")).to_be_focused()
    tab_to("#by-name")
    page.keyboard.type("AGE")
    assert names_in(page) == ["AGE"]
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    tab_to("#by-effect")
    page.keyboard.press("Space")
    assert names_in(page) == ["PAY", "LIMIT_BAL", "AGE"]
    tab_to("table.boxes th.f button")
    page.keyboard.press("Enter")
    assert names_in(page) == ["AGE", "LIMIT_BAL", "PAY"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("n_features", [8, 150, 1_000])
@pytest.mark.parametrize(
    "made", [lambda n: whole(summary=many_features(n)), many_compared], ids=["audit", "comparison"]
)
def test_it_opens_whole_and_can_be_used_whatever_the_number_of_features(opened, made, n_features):
    page, asked = opened(made(n_features))
    assert len(names_in(page)) == min(n_features, 30)
    if n_features > 30:
        page.get_by_role("button", name=f"Show all {n_features} rows").click()
    assert len(names_in(page)) == n_features
    page.get_by_label("Feature", exact=True).fill(f"feature number {n_features - 1}")
    expect(page.locator("table.boxes tbody tr:visible")).to_have_count(1)
    assert asked == [page.url]


@pytest.mark.skipif(Axe is None, reason="needs axe-core: pip install -e '.[dev]'")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("made", [whole, two_versions], ids=["audit", "comparison"])
def test_axe_finds_nothing_that_hinders_a_reader(opened, scheme, made):
    page, _ = opened(made(), scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("made", [whole, two_versions], ids=["audit", "comparison"])
def test_on_paper_it_is_light_and_of_a4_without_what_only_a_screen_can(opened, made):
    page, _ = opened(made(), "dark")
    page.emulate_media(media="print")
    for hidden in ("nav", ".tools", ".ask"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page.pdf(prefer_css_page_size=True))
    assert 2 <= len(sheets) <= 8
    assert {(round(float(width)), round(float(height))) for width, height in sheets} == {(595, 842)}


def test_nothing_is_wider_than_the_page_of_a_small_screen(opened):
    """But for tables, which scroll in their own frame."""
    page, _ = opened(whole(summary=many_features(40)))
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


SIX = {
    "Does it use sex?": "#answer",
    "How sure is that?": ".answer:has-text('How sure is that?')",
    "What changed since the version in use?": ".answer:has-text('What changed since the version in use?')",
    "Who decided?": ".answer:has-text('Who decided?')",
    "Which rows does it tell of?": ".answer:has-text('Which rows does it tell of?')",
    "What does it not show?": ".answer:has-text('What does it not show?')",
}


def test_six_questions_are_answered_within_the_first_two_screens(opened):
    page, _ = opened(whole())
    page.get_by_label("Does it use").fill("sex")
    ends = {question: page.locator(where).bounding_box() for question, where in SIX.items()}
    assert all(box["y"] + box["height"] <= 2 * 900 for box in ends.values()), ends
