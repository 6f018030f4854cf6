"""The document as a file of Word, by a template of one's own house where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.report.document._office_libraries import office_library
from nnperm_mlflow.report.document._word_blocks import WordWriter
from nnperm_mlflow.report.document.chapters import Document

PLACE = "chapters"
"""Name of the field of a template in whose place the chapters come; where there is none they come last."""

_FIELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BEFORE_ALL = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can tell
_MOST_UNPACKED = 64 << 20  # bytes of a template
_ASKED_BY_PEOPLE = ("/hyperlink",)  # addresses that are followed when somebody clicks, not when the file is opened


def word_file(document: Document, template: Path | None = None) -> bytes:
    """Return the document as a file of Word; from the same document and template it is the same, byte by byte.

    Parameters
    ----------
    document : Document
    template : Path, optional
        A .docx whose styles, headers, footers and first pages are kept. `{{ title }}` and the other fields of the
        document are filled in wherever they stand, and the chapters come in the place of a paragraph `{{ chapters }}`.

    Raises
    ------
    ConfigError
        If python-docx is not here, or the template cannot be read, names a field that there is none of, or would
        fetch something when it is opened.
    """
    docx = office_library("docx")
    made = docx.Document() if template is None else _template(docx, template)
    if template is None:
        _as_a4(docx, made)
    places = _fill(made, document.fields, template)
    before = list(made.element.body)
    WordWriter(docx, made).write(document, with_title=template is None)
    if places:
        _move(made, before, places[0])
    _tell_of_itself(made, document)
    stream = BytesIO()
    made.save(stream)
    return _without_times(stream.getvalue())


def _template(docx: Any, path: Path) -> Any:  # noqa: ANN401 - python-docx, which may not be here
    """Return a template, once it is known to be none that unpacks without end or fetches something."""
    try:
        with ZipFile(path) as packed:
            if sum(each.file_size for each in packed.infolist()) > _MOST_UNPACKED:
                raise ConfigError(f"the template '{path}' unpacks to more than {_MOST_UNPACKED >> 20} MiB: leave it.")
        made = docx.Document(str(path))
    except OSError as error:
        raise ConfigError(f"the template '{path}' cannot be read: {error.strerror}.") from error
    except (BadZipFile, KeyError, ValueError) as error:
        raise ConfigError(f"the template '{path}' is no document of Word (.docx).") from error
    fetched = [
        rel.target_ref
        for part in made.part.package.iter_parts()
        for rel in part.rels.values()
        if rel.is_external and not rel.reltype.endswith(_ASKED_BY_PEOPLE)
    ]
    if fetched:
        raise ConfigError(
            f"the template '{path}' would fetch {name_list(fetched)} when it is opened. Put what it shows into it."
        )
    return made


def _as_a4(docx: Any, made: Any) -> None:  # noqa: ANN401
    section, mm = made.sections[0], docx.shared.Mm
    section.page_width, section.page_height = mm(210), mm(297)
    section.left_margin = section.right_margin = mm(22)
    section.top_margin, section.bottom_margin = mm(20), mm(20)


def _fill(made: Any, fields: Mapping[str, str], template: Path | None) -> list[Any]:  # noqa: ANN401
    """Fill in what the template names, and return the paragraphs in whose place the chapters come."""
    places = []
    for paragraph in _paragraphs(made):
        names = _FIELD.findall(paragraph.text)
        unknown = sorted({*names} - {*fields, PLACE})
        if unknown:
            raise ConfigError(
                f"the template '{template}' asks for {name_list(unknown)}; there is {name_list([*fields, PLACE])}."
            )
        if names == [PLACE]:
            places.append(paragraph)
        elif names:
            _say(paragraph, _FIELD.sub(lambda found: printable(fields.get(found[1], "")), paragraph.text))
    return places


def _say(paragraph: Any, text: str) -> None:  # noqa: ANN401
    """Give a paragraph another text, in the letters of its beginning: a field may lie in several pieces."""
    first, *others = paragraph.runs or [paragraph.add_run()]
    first.text = text
    for run in others:
        run.text = ""


def _paragraphs(made: Any) -> Iterator[Any]:  # noqa: ANN401
    """Give all paragraphs: of the body, of its tables, and of what stands at the edges of each page."""
    edges = [
        edge
        for section in made.sections
        for edge in (section.header, section.footer, section.first_page_header, section.first_page_footer)
        if not edge.is_linked_to_previous
    ]
    for holder in (made, *edges):
        yield from holder.paragraphs
        for table in holder.tables:
            for row in table.rows:
                for cell in row.cells:
                    yield from cell.paragraphs


def _move(made: Any, before: list[Any], place: Any) -> None:  # noqa: ANN401
    """Move what was written behind all else into the place of a paragraph."""
    there = {id(element) for element in before}
    new = [element for element in made.element.body if id(element) not in there]
    for element in new:
        place._p.addprevious(element)
    place._p.getparent().remove(place._p)


def _tell_of_itself(made: Any, document: Document) -> None:  # noqa: ANN401
    """Write what the file says of itself: its title, and no moment but the audit's."""
    properties = made.core_properties
    properties.title, properties.subject = printable(document.title)[:255], printable(document.fields["model"])[:255]
    properties.author = properties.last_modified_by = "nnperm"
    properties.comments, properties.revision, properties.language = "", 1, "en"
    moment = datetime.fromisoformat(document.date) if document.date else datetime(*_BEFORE_ALL)
    properties.created = properties.modified = moment


def _without_times(content: bytes) -> bytes:
    """Return a zip file whose entries tell no moment."""
    stream = BytesIO()
    with ZipFile(BytesIO(content)) as made, ZipFile(stream, "w", ZIP_DEFLATED) as kept:
        for name in made.namelist():
            entry = ZipInfo(name, _BEFORE_ALL)
            entry.compress_type, entry.create_system, entry.external_attr = ZIP_DEFLATED, 3, 0o644 << 16
            kept.writestr(entry, made.read(name))
    return stream.getvalue()
