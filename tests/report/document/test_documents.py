"""The document that people file, opened as readers open it: Word's paragraphs and tables, a PDF's pages, HTML."""

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.report.document.audit_chapters import document_of
from nnperm_mlflow.report.document.chapters import Gap, Picture, Table, Words
from nnperm_mlflow.report.document.files import FORMATS, document_file, format_of
from nnperm_mlflow.report.document.web_file import web_file
from nnperm_mlflow.report.document.word_file import word_file
from tests.support.pages import read_page
from tests.support.reported import (
    many_features,
    reported,
    segments_of,
    summary_row,
    told_check,
    verdict_of,
    windows_of,
)

docx = pytest.importorskip("docx", reason="needs python-docx: pip install -e '.[dev]'")
pypdf = pytest.importorskip("pypdf", reason="needs pypdf: pip install -e '.[dev]'")
pytest.importorskip("reportlab", reason="needs reportlab: pip install -e '.[dev]'")

ROWS = [
    summary_row("PAY", 0.12, median=0.01),
    summary_row("LIMIT_BAL", 0.05),
    summary_row("SEX", 0.0, changed=0.0),
    summary_row("EDUCATION=6", 0.3, way="set", held=14.0),
]
CHAPTERS = [
    "Summary", "Purpose", "Data", "Method", "Results", "Uncertainty", "Limits", "Segments",
    "Comparison with the version in use", "Policy and checks", "Decision", "Annex: what this stands on",
]  # fmt: skip
HOSTILE = ["<script>alert(1)</script>", "&lt;b&gt; <b>x</b> {{ 7*7 }}", "a\nb\x07\ufffe", "x" * 300, "💶 é 数"]


def whole(*rows, **others):
    given = {
        "windows": windows_of(2, 6),
        "segments": segments_of(("Zwettl", "Horn")),
        "verdict": verdict_of(told_check()),
        "associations": pd.DataFrame({"first": ["PAY"], "second": ["LIMIT_BAL"], "value": [0.9]}),
    }
    return reported(*(rows or ROWS), **{**given, **others})


@pytest.fixture(scope="module")
def document():
    return document_of(whole())


@pytest.fixture(scope="module")
def files(document):
    """The document's bytes by format."""
    return {to: document_file(document, to) for to in FORMATS}


def opened(content):
    return docx.Document(io.BytesIO(content))


def words_of_word(content):
    made = opened(content)
    cells = [cell.text for table in made.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in made.paragraphs), *cells])


def words_of_pdf(content):
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def blocks_of(document, kind):
    return [block for chapter in document.chapters for block in chapter.blocks if isinstance(block, kind)]


def test_it_has_the_chapters_that_an_approver_needs_in_every_format(files):
    headings = [each.text for each in opened(files["docx"]).paragraphs if each.style.name == "Heading 1"]
    numbered = [f"{place} {title}" for place, title in enumerate(CHAPTERS, 1)]
    assert headings == numbered
    outline = [entry.title for entry in pypdf.PdfReader(io.BytesIO(files["pdf"])).outline]
    assert outline == numbered
    titles = [each.text for each in read_page(files["html"].decode()).all("h2")]
    assert titles == numbered


@pytest.mark.parametrize("words_of", [words_of_word, words_of_pdf], ids=["docx", "pdf"])
def test_numbers_checks_and_who_decided_are_those_of_the_audit(files, words_of):
    told = " ".join(words_of(files["docx" if words_of is words_of_word else "pdf"]).split())
    assert "Predictions rest most on PAY" in told
    assert "0.120 (0.110 to 0.130)" in told
    assert "which ada applied, 2026-11-24 10:05 UTC" in told
    assert "few decisions turn on sex" in told
    assert "at most 0.02" in told
    assert "SEX: not tested: no row's value changed" in told
    assert "EDUCATION=6" in told
    assert f"{'a' * 64}" in told.replace(" ", "")


def test_what_only_people_can_tell_is_marked_and_has_room(document, files):
    gaps = blocks_of(document, Gap)
    of_chapter = {chapter.name for chapter in document.chapters for block in chapter.blocks if isinstance(block, Gap)}
    assert of_chapter == {"purpose", "data", "limits", "comparison", "decision"}
    for told in (words_of_word(files["docx"]), words_of_pdf(files["pdf"])):
        assert told.count("To be filled in:") == len(gaps)
    (signatures,) = [block for block in blocks_of(document, Table) if block.is_for_people]
    assert [row[0] for row in signatures.rows] == ["Owner of the model", "Independent validator", "Approver"]
    assert not any(cell for row in signatures.rows for cell in row[1:])
    empty = document_of(reported(*ROWS))
    asked = [block.asked for block in empty.chapter("policy").blocks if isinstance(block, Gap)]
    assert asked == ["By which limits is the model judged, and who has set them?"]
    assert [block for block in empty.chapter("segments").blocks if isinstance(block, Gap)]


@pytest.mark.parametrize("to", FORMATS)
def test_made_again_it_is_the_same_to_the_last_byte(files, to, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert document_file(document_of(whole()), to) == files[to]


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(files):
    """Whatever the order of its sets, and where it stands."""
    code = (
        "import hashlib; from tests.report.document.test_documents import *; document = document_of(whole()); "
        "print(*(hashlib.sha256(document_file(document, to)).hexdigest() for to in FORMATS))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    import hashlib

    assert done.stdout.split() == [hashlib.sha256(files[to]).hexdigest() for to in FORMATS]


def test_names_of_strangers_are_text_in_every_format():
    checks = [told_check(name, of=name, asked=name) for name in HOSTILE]
    rows = [summary_row(name, 0.2 - place / 100) for place, name in enumerate(HOSTILE)]
    groups = {name: [name] for name in HOSTILE}
    verdict = verdict_of(*checks, policy_name=HOSTILE[0], given_by=HOSTILE[1])
    document = document_of(whole(*rows, windows=None, groups=groups, excluded=HOSTILE, verdict=verdict))
    page, word = read_page(web_file(document)), words_of_word(word_file(document))
    assert not page.all("script")
    pdf = words_of_pdf(document_file(document, "pdf")).replace("\n", "").replace(" ", "")
    for name in HOSTILE:
        shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
        assert shown in page.by_id("results").text
        assert shown in word
        assert "".join(letter for letter in shown if letter not in " 💶数") in pdf.replace("💶", "").replace("数", "")


def test_values_of_the_data_are_in_no_document_that_was_not_asked_for_them():
    audits = [whole(summary_row("SEX", 0.0, changed=0.0), windows=None, shows_values=shown) for shown in (False, True)]
    without, told = (words_of_word(word_file(document_of(audit))) for audit in audits)
    assert "Zwettl" not in without
    assert "TOWN, group A" in without
    assert "Zwettl" in told


def test_of_a_thousand_features_it_stays_a_document_and_says_what_is_left_out():
    document = document_of(whole(summary=many_features(1_000, 60)))
    pdf = document_file(document, "pdf")
    assert len(pypdf.PdfReader(io.BytesIO(pdf)).pages) <= 16
    assert max(map(len, (pdf, word_file(document), web_file(document)))) < 2_000_000
    assert "975 more rows in summary.csv" in words_of_pdf(pdf).replace("\n", " ")


def test_pictures_can_be_read_aloud_and_lie_within_the_margins(document, files):
    pictures = blocks_of(document, Picture)
    assert len(pictures) == 3
    made = opened(files["docx"])
    section = made.sections[0]
    room = section.page_width - section.left_margin - section.right_margin
    told = [shape._inline.docPr.get("descr") for shape in made.inline_shapes]
    assert told == [picture.told for picture in pictures]
    assert all(shape.width <= room for shape in made.inline_shapes)
    assert {
        (round(page.mediabox.width), round(page.mediabox.height))
        for page in pypdf.PdfReader(io.BytesIO(files["pdf"])).pages
    } == {(595, 842)}


def test_the_document_of_html_asks_nobody_and_runs_nothing(files):
    page = read_page(files["html"].decode())
    (rule,) = [each for each in page.all("meta") if "http-equiv" in each.attributes]
    assert rule.attributes["content"].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert not page.all("script")
    assert all(image.attributes["src"].startswith("data:image/png;base64,") for image in page.all("img"))


# Templates


def written(folder, text, name="own.html.j2"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_template_of_html_chooses_what_is_shown(document, tmp_path):
    path = written(tmp_path, "{{ document.fields.model }}|{% for c in document.chapters %}{{ c.name }} {% endfor %}")
    assert web_file(document, path).startswith("models:/credit/4|summary purpose data")
    own = '{% extends "document.html.j2" %}{% block opening %}<h1>Bank of &amp; {{ document.title }}</h1>{% endblock %}'
    page = read_page(web_file(document, written(tmp_path, own)))
    assert [each.text for each in page.all("h1")] == ["Bank of & Audit of credit 4"]
    assert len(page.all("h2")) == len(CHAPTERS)


@pytest.mark.parametrize(
    "stranger",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ document.__init__.__globals__ }}",
        "{{ document.chapter.__func__ }}",
        "{% include '/etc/hostname' %}",
        "{% extends '../rendering.py' %}",
        "{{ document.fields.update({'model': 'x'}) }}",
        "{{ document.nothing }}",
        "{{ document.chapter('nothing') }}",
        "{{ 1 / 0 }}",
        "{% for x in range(10000000) %}{% endfor %}",
        "{{ unclosed",
    ],
)
def test_a_template_of_a_stranger_reaches_nothing_but_the_document(document, tmp_path, stranger):
    with pytest.raises(ConfigError, match=r"own\.html\.j2' cannot be followed"):
        web_file(document, written(tmp_path, stranger))


def test_templates_are_given_texts_and_no_tables_of_data(document):
    """A DataFrame in reach of a template could write files."""
    import dataclasses

    def kinds(value):
        if dataclasses.is_dataclass(value):
            for each in dataclasses.fields(value):
                yield from kinds(getattr(value, each.name))
        elif isinstance(value, dict):
            yield from (type(part) for item in value.items() for part in item)
        elif isinstance(value, (list, tuple)):
            for each in value:
                yield from kinds(each)
        else:
            yield type(value)

    assert {*kinds(document)} <= {str, int, float, bool, bytes}


@pytest.fixture
def house_style(tmp_path):
    """A template of Word with a letterhead, a field, and a place for the chapters between two paragraphs."""
    made = docx.Document()
    made.sections[0].header.paragraphs[0].text = "Bank, {{ model }}"
    made.add_paragraph("Before: {{ title }} of {{date}}")
    made.add_paragraph("{{ chapters }}")
    made.add_paragraph("Behind")
    path = tmp_path / "house.docx"
    made.save(path)
    return path


def test_a_template_of_word_keeps_its_own_and_gets_the_chapters_in_their_place(document, house_style):
    made = opened(word_file(document, house_style))
    assert made.sections[0].header.paragraphs[0].text == "Bank, models:/credit/4"
    texts = [each.text for each in made.paragraphs]
    assert texts[0] == "Before: Audit of credit 4 of 2026-11-24"
    assert texts[1] == "1 Summary"
    assert texts[-1] == "Behind"
    assert len([each for each in made.paragraphs if each.style.name == "Heading 1"]) == len(CHAPTERS)
    assert word_file(document, house_style) == word_file(document, house_style)


def test_a_template_of_word_that_fetches_or_names_what_there_is_not_is_refused(document, house_style, tmp_path):
    made = docx.Document(str(house_style))
    made.part.relate_to("http://127.0.0.1:9/a.dotx", "http://x/relationships/attachedTemplate", is_external=True)
    made.save(tmp_path / "fetches.docx")
    with pytest.raises(ConfigError, match="would fetch 'http://127.0.0.1:9/a.dotx' when it is opened"):
        word_file(document, tmp_path / "fetches.docx")
    made = docx.Document(str(house_style))
    made.add_paragraph("{{ modell }}")
    made.save(tmp_path / "names.docx")
    with pytest.raises(ConfigError, match="asks for 'modell'; there is 'title', 'model'"):
        word_file(document, tmp_path / "names.docx")
    for path in (written(tmp_path, "no zip", "none.docx"), tmp_path / "absent.docx"):
        with pytest.raises(ConfigError, match="template"):
            word_file(document, path)
    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b"0" * (65 << 20))
    with pytest.raises(ConfigError, match="unpacks to more than 64 MiB"):
        word_file(document, bomb)


def test_the_format_is_the_one_named_or_that_of_the_template(tmp_path):
    assert format_of("pdf", None) == "pdf"
    assert (format_of(None, Path("a.docx")), format_of(None, Path("a.html"))) == ("docx", "html")
    with pytest.raises(ConfigError, match="not to 'odt'"):
        format_of("odt", None)
    with pytest.raises(ConfigError, match="is not for pdf"):
        format_of("pdf", Path("a.docx"))


@pytest.mark.parametrize("to", ["docx", "pdf"])
def test_without_the_extra_one_line_says_what_to_install_and_html_needs_none(document, to, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("docx", "reportlab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "docx", None)
    monkeypatch.setitem(sys.modules, "reportlab", None)
    with pytest.raises(ConfigError, match=r"pip install 'nnperm_mlflow\[report\]'"):
        document_file(document, to)
    assert document_file(document, "html")


def test_a_document_without_pictures_or_numbers_is_one_all_the_same():
    bare = replace(
        whole(summary_row("SEX", 0.0, changed=0.0)),
        windows=None,
        segments=None,
        verdict=None,
        begun_at=None,
        associations=None,
    )
    document = document_of(bare)
    assert not blocks_of(document, Picture)
    assert "No feature could be tested" in blocks_of(document, Words)[0].text
    for to in FORMATS:
        assert document_file(document, to)
