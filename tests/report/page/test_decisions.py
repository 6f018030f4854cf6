"""What people have signed, as a part of the report: a row each, and all of it text."""

from nnperm_mlflow.report.page.decisions import SignedWord, decisions_html
from tests.support.pages import read_page

HOSTILE = "<script>alert('x')</script> {} %s"


def test_each_word_is_a_row_and_whatever_was_said_is_text():
    words = [SignedWord("anna", "approve", "2026-11-24 10:05 UTC", HOSTILE, "", "ab" * 8)]
    page = read_page(f"<div>{decisions_html(words, HOSTILE)}</div>")
    (row,) = page.all("tr")[1:]
    cells = [cell.text for cell in row.all("td")]
    assert cells == ["anna", "approved", "2026-11-24 10:05 UTC", HOSTILE, "", "ab" * 8]
    assert not page.all("script")
    assert HOSTILE in page.all("p")[0].text


def test_where_nobody_has_signed_it_says_so():
    assert "Nobody has signed anything that counts for the alias champion." in decisions_html([], "champion")
