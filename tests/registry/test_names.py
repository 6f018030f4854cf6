"""Names on their way into MLflow: as metric keys, and in a version's description."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from nnperm_mlflow.registry._metric_keys import metric_key
from nnperm_mlflow.registry.version_link import as_text, with_section

LOOKALIKE = "dose _mg_-327d554550"
"""What `dose [mg]` becomes."""
NASTY = [
    "", " ", ".", "..", "...", "/", "//", "a/b", "a//b", "a/../b", "./a", "../a", "a/.", "a b", "a  b", " a", "a ",
    "a.", "_", "__", "-", "=", "==", "a=", "=a", "a==b", "a=b", "a_b", "a is b", "a is", "is b", " is ", "is",
    "a is =b", "a is=b", "a= is b", "a is is b", "a=is b", "is=is", "a=b=c", "a=b is c", "a is b=c", "a=b c", "a=..",
    "..=a", "a= b", "a =b", "a\tb", "a\nb", "a\n", "a\r", "a\0", "a\x1fb", "é", "e\N{COMBINING ACUTE ACCENT}", "ä", "Ä",
    "Größe", "年齢", "😀", "\N{NO-BREAK SPACE}", "a\N{NO-BREAK SPACE}b", "\N{ARABIC-INDIC DIGIT ONE}", "dose",
    "Dose", "DOSE", "dose [mg]", "dose (mg)", "dose {mg}", LOOKALIKE, f"{LOOKALIKE}-327d554550", f"a={LOOKALIKE}",
    f"{LOOKALIKE}=a", "x-0123456789", "x-0123456789\n", "-0123456789", "0123456789", "x=0123456789", "x=-0123456789",
    "x-012345678", "a,b", "a:b", "a@b", "a%b", "a<b", "a\\b", "x" * 170, "x" * 180, "x" * 181, "x" * 181 + "y",
    "x" * 5000, "x" * 5000 + "y", "é" * 300, "x" * 179 + " y", "x" * 100 + "=" + "y" * 79,
    "x" * 100 + "=" + "y" * 80, "x" * 180 + "=y", "x" * 179 + "=.", "." * 300, " " * 300,
]  # fmt: skip
PIECES = st.sampled_from(["a", "b", " is ", "is", "=", "_", ".", "..", "/", " ", "-", "0123456789", "é", "[", "\n"])
NAMES = st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=6).map("".join), st.sampled_from(NASTY))


def keys_of(names):
    return [metric_key("median", name) for name in names]


def bare(key):
    return key.removeprefix("median/")


def test_ordinary_names_are_their_own_keys():
    for name in ["PAY", "LIMIT_BAL", "dose 2", "x-1", "bill.amt", "0", "PAY_0", "this", "is_default", "risk island"]:
        assert metric_key("median", name) == f"median/{name}"


def test_set_values_can_be_read_in_their_keys():
    assert metric_key("median", "SEX=2") == "median/SEX is 2"
    assert metric_key("q95", "cheater=-1") == "q95/cheater is -1"
    assert metric_key("mean", "limit bal=0.5") == "mean/limit bal is 0.5"


def test_what_is_legal_in_other_names_can_be_read_in_their_keys():
    assert re.fullmatch(r"median/dose _mg_-[0-9a-f]{10}", metric_key("median", "dose [mg]"))
    assert re.fullmatch(r"median/Gr__e-[0-9a-f]{10}", metric_key("median", "Größe"))


@pytest.mark.parametrize("prefix", ["median", "changed_median"])
def test_keys_of_nasty_names_are_legal(prefix):
    for name in NASTY:
        key = metric_key(prefix, name)
        _validate_metric_name(key)
        assert len(key) <= MAX_ENTITY_KEY_LENGTH, name
        assert key.startswith(f"{prefix}/")


def test_nasty_names_keep_keys_of_their_own():
    assert len(set(keys_of(NASTY))) == len(set(NASTY)) == len(NASTY)


def test_names_that_are_the_keys_of_others_keep_keys_of_their_own():
    """Whoever calls a column as another one's key, or as the key of that, does not merge the two."""
    names = set(NASTY)
    for _ in range(3):
        names |= {bare(key) for key in keys_of(names)}
    assert len(set(keys_of(names))) == len(names)


@given(names=st.sets(NAMES, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_names_have_legal_keys_of_their_own(names):
    names = names | {bare(key) for key in keys_of(names)}
    keys = keys_of(names)
    assert len(set(keys)) == len(names)
    for key in keys:
        _validate_metric_name(key)
        assert len(key) <= MAX_ENTITY_KEY_LENGTH


def test_a_key_is_the_same_in_every_audit():
    """Metrics of two runs are compared by key: this one may not change from release to release."""
    assert metric_key("median", "dose [mg]") == "median/dose _mg_-327d554550"


BEGIN, END = "Audit\n<!-- nnperm audit: begin -->", "<!-- nnperm audit: end -->"


def without_blank_lines(text):
    return "".join(line for line in text.splitlines(keepends=True) if line.strip())


def test_a_section_is_framed_and_follows_the_text_that_was_there():
    assert with_section("Made by Ada.", "moved") == f"Made by Ada.\n\n{BEGIN}\nmoved\n{END}"
    assert with_section("", "moved") == f"{BEGIN}\nmoved\n{END}"


def test_a_second_audit_replaces_the_section_of_the_first():
    twice = with_section(with_section("Made by Ada.", "old"), "new")
    assert twice == with_section("Made by Ada.", "new")


def test_what_others_wrote_before_and_after_the_section_stays():
    before, after = "# Risk\r\n\n  indented  \n\\1 \\g<0> ä\t", "\n\n- after\n  - *all* \\n  "
    first = with_section(before, "old") + after
    second = with_section(first, r"new \1 \g<0>")
    assert without_blank_lines(second) == without_blank_lines(f"{before}\n{BEGIN}\nnew \\1 \\g<0>\n{END}{after}")


@given(before=st.text(), after=st.text(), old=st.text("ab\n -\\1"), new=st.text("cd\n -\\1"))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_others_wrote_stays_and_a_second_writing_changes_nothing(before, after, old, new):
    described = with_section(with_section(before, old) + after, new)
    start, end = described.index(BEGIN), described.rindex(END) + len(END)
    assert described[:start].strip("\n") == before.strip("\n")
    assert described[end:] == after
    assert described[start:end] == f"{BEGIN}\n{new}\n{END}"
    assert with_section(described, new) == described


@pytest.mark.parametrize("status", [None, "pass", "fail"])
def test_a_section_begins_with_plain_words_that_go_with_it(status):
    """The list of versions shows the first line alone, as it is written."""
    described = with_section(with_section("", "old", "pass"), "new", status)
    assert described.splitlines()[0] == (f"Audit: {status}" if status else "Audit")
    assert described.count("Audit") == 1
    assert with_section("Audit: pass", "new", status).startswith("Audit: pass\n\nAudit")


def test_sections_written_twice_by_accident_become_one():
    doubled = f"a\n\n{BEGIN}\nold\n{END}\n\nb\n\n{BEGIN}\nolder\n{END}\n\nc"
    assert without_blank_lines(with_section(doubled, "new")) == f"a\n{BEGIN}\nnew\n{END}\nb\nc"


@pytest.mark.parametrize(
    "described", [f"{BEGIN}\nmine", f"mine\n{BEGIN}", f"{END}\nmine", f"mine {END}", f"{END}mine{BEGIN}"]
)
def test_text_beside_half_a_section_is_not_taken_for_the_section(described):
    """Someone edited the description and took one of the two marks away: what is theirs stays, now and later."""
    once = with_section(described, "old")
    assert "mine" in once
    twice = with_section(once, "new")
    assert "mine" in twice
    assert "new" in twice
    assert "old" not in twice


NASTY_IN_MARKDOWN = [
    "**bold**", "_it_", "`code`", "[a](http://b)", "![a](b)", "<script>alert(1)</script>", "<!-- a", "--> b", END,
    BEGIN, "# title", "a\n# title", "a\n\n- item", "a\r\nb", "a | b", "~~a~~", "a\\*b", "\\", "a&lt;b&gt;", "&amp;",
    "a\N{LINE SEPARATOR}b",
]  # fmt: skip
MEANS_SOMETHING = set("\\`*_{}[]()<>#+-!|~&")


@pytest.mark.parametrize("name", [*NASTY_IN_MARKDOWN, string.printable])
def test_no_letter_of_a_name_means_anything_to_markdown(name):
    """Each letter that could is escaped, and without the escapes it is the name again, on one line."""
    text = as_text(name)
    letters = re.findall(r"\\([!-/:-@\[-`{-~])|(.)", text)
    assert not MEANS_SOMETHING & {plain for _, plain in letters}
    assert "".join(escaped or plain for escaped, plain in letters) == " ".join(name.split())


def test_ordinary_names_are_text_as_they_are():
    assert as_text("LIMIT BAL") == "LIMIT BAL"
    assert as_text("cheater=1") == "cheater=1"


@pytest.mark.parametrize("name", NASTY_IN_MARKDOWN)
def test_no_name_ends_the_section_it_stands_in(name):
    described = with_section(with_section("before", f"moves with {as_text(name)}") + "\nafter", "new")
    assert described == f"before\n\n{BEGIN}\nnew\n{END}\nafter"
