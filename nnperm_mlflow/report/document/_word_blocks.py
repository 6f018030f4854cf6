"""Blocks of a document as paragraphs, tables and pictures of Word."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.report.document.chapters import (
    Block,
    Commands,
    Document,
    Gap,
    Heading,
    Picture,
    Table,
    Words,
)

_COLOURS = {"good": "1B6B39", "bad": "A3241C", "open": "6A5200"}
_SOFT, _HEAD_GROUND, _GAP_GROUND, _LINE = "51606D", "EEF1F4", "FBF1D5", "C5CDD4"
_TABLE_POINTS = 8.0
_ROW_FOR_PEOPLE = 9  # millimetres


class WordWriter:
    """Writes a document behind all that a file of Word holds already.

    Parameters
    ----------
    docx : module
        Of python-docx.
    made : docx.document.Document
    """

    def __init__(self, docx: Any, made: Any) -> None:  # noqa: ANN401 - python-docx, which may not be here
        self.docx, self.made = docx, made
        self.width = made.sections[-1].page_width - made.sections[-1].left_margin - made.sections[-1].right_margin

    def write(self, document: Document, *, with_title: bool) -> None:
        """Write all chapters; with a title and numbers of pages where no template has its own."""
        if with_title:
            self._own_letters()
            self._title(document)
            self._page_numbers(document)
        for place, chapter in enumerate(document.chapters, 1):
            self._heading(f"{place} {chapter.title}", 1)
            for block in chapter.blocks:
                self._block(block)

    def _own_letters(self) -> None:
        normal = self.made.styles["Normal"]
        normal.font.name, normal.font.size = "Calibri", self.docx.shared.Pt(10.5)
        normal.paragraph_format.space_after = self.docx.shared.Pt(5)
        for level, points in ((1, 15), (2, 12)):
            style = self.made.styles[f"Heading {level}"]
            style.font.name, style.font.size = "Calibri", self.docx.shared.Pt(points)
            style.font.color.rgb = self._colour("1F3B52")
            for font in style.element.iter(self.docx.oxml.ns.qn("w:rFonts")):
                for of_theme in [name for name in font.attrib if "heme" in name]:
                    del font.attrib[of_theme]  # or the theme's letters go before those that are named

    def _title(self, document: Document) -> None:
        self._say(document.title, points=24, bold=True, colour="1F3B52", after=0)
        self._say(document.subtitle, points=12, colour=_SOFT)
        self._say(document.verdict.capitalize(), points=13, bold=True, colour=_COLOURS[document.state])
        self._table(Table("At a glance", (), document.facts, (2, 7)))

    def _page_numbers(self, document: Document) -> None:
        paragraph = self.made.sections[0].footer.paragraphs[0]
        self._run(paragraph, f"{document.title}, run {document.fields['run']}, page ", points=8, colour=_SOFT)
        run = self._run(paragraph, "", points=8, colour=_SOFT)
        for kind, text in (("begin", ""), ("", "PAGE"), ("end", "")):
            tag = "w:fldChar" if kind else "w:instrText"
            element = self.docx.oxml.OxmlElement(tag)
            if kind:
                element.set(self.docx.oxml.ns.qn("w:fldCharType"), kind)
            element.text = text or None
            run._r.append(element)

    def _block(self, block: Block) -> None:
        if isinstance(block, Words):
            manner: dict[str, dict[str, Any]] = {"lead": {"points": 12}, "soft": {"colour": _SOFT}}
            self._say(block.text, **manner.get(block.manner, {}))
        elif isinstance(block, Heading):
            self._heading(block.text, 2)
        elif isinstance(block, Gap):
            self._gap(block)
        elif isinstance(block, Commands):
            for line in block.lines:
                self._say(line, points=8.5, font="Consolas", after=0)
        elif isinstance(block, Table):
            self._say(block.title, colour=_SOFT, points=9, after=2).paragraph_format.keep_with_next = True
            self._table(block)
        elif isinstance(block, Picture):
            self._picture(block)

    def _heading(self, text: str, level: int) -> None:
        style = f"Heading {level}"
        if style in self.made.styles:
            self.made.add_paragraph(printable(text), style=style)
        else:
            self._say(text, points=16 - 2 * level, bold=True)

    def _gap(self, gap: Gap) -> None:
        paragraph = self._say("To be filled in: ", bold=True, colour=_COLOURS["open"])
        self._run(paragraph, f"{gap.asked} ")
        self._run(paragraph, "[            ]", colour=_COLOURS["open"])
        self._ground(paragraph._p.get_or_add_pPr(), _GAP_GROUND)

    def _picture(self, picture: Picture) -> None:
        paragraph = self.made.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        width = min(self.docx.shared.Mm(picture.width), self.width)
        shown = paragraph.add_run().add_picture(BytesIO(picture.png), width=width)
        shown._inline.docPr.set("descr", picture.told)
        self._say(picture.caption, colour=_SOFT, points=9)

    def _table(self, table: Table) -> None:
        lines = [table.header, *table.rows] if table.header else [*table.rows]
        if not lines:
            return
        made = self.made.add_table(rows=len(lines), cols=len(table.widths))
        made.autofit = False
        self._borders(made)
        shares = [int(self.width * share / sum(table.widths)) for share in table.widths]
        for column, width in zip(made.columns, shares, strict=True):
            column.width = width
        for place, (row, line) in enumerate(zip(made.rows, lines, strict=True)):
            is_head = bool(table.header) and place == 0
            self._stay_whole(row, repeats=is_head)
            if table.is_for_people and not is_head:
                row.height = self.docx.shared.Mm(_ROW_FOR_PEOPLE)
            for at, (cell, text) in enumerate(zip(row.cells, line, strict=True)):
                cell.width = shares[at]
                self._cell(cell, text, is_head or (not table.header and at == 0), table.is_number(at))
                if is_head:
                    self._ground(cell._tc.get_or_add_tcPr(), _HEAD_GROUND)
                elif table.is_for_people and not text:
                    self._ground(cell._tc.get_or_add_tcPr(), _GAP_GROUND)
        self._say("", points=4, after=2)

    def _cell(self, cell: Any, text: str, bold: bool, is_number: bool) -> None:  # noqa: ANN401
        paragraph = cell.paragraphs[0]
        paragraph.paragraph_format.space_after = self.docx.shared.Pt(0)
        if is_number:
            paragraph.alignment = self.docx.enum.text.WD_ALIGN_PARAGRAPH.RIGHT
        self._run(paragraph, text, points=_TABLE_POINTS, bold=bold)

    def _borders(self, made: Any) -> None:  # noqa: ANN401
        """Draw thin lines, whatever styles the file has."""
        qn, element_of = self.docx.oxml.ns.qn, self.docx.oxml.OxmlElement
        borders = element_of("w:tblBorders")
        for side in ("top", "bottom", "insideH"):
            line = element_of(f"w:{side}")
            for key, value in {"val": "single", "sz": "4", "space": "0", "color": _LINE}.items():
                line.set(qn(f"w:{key}"), value)
            borders.append(line)
        properties = made._tbl.tblPr
        behind = {qn(f"w:{name}") for name in ("shd", "tblLayout", "tblCellMar", "tblLook")}  # in the format's order
        next_one = next((each for each in properties if each.tag in behind), None)
        properties.append(borders) if next_one is None else next_one.addprevious(borders)

    def _stay_whole(self, row: Any, *, repeats: bool) -> None:  # noqa: ANN401
        """Keep a row on one page; that of titles is repeated on each."""
        properties = row._tr.get_or_add_trPr()
        for tag in ("w:cantSplit", *(("w:tblHeader",) if repeats else ())):
            properties.append(self.docx.oxml.OxmlElement(tag))

    def _ground(self, properties: Any, colour: str) -> None:  # noqa: ANN401
        shade = self.docx.oxml.OxmlElement("w:shd")
        for key, value in {"val": "clear", "color": "auto", "fill": colour}.items():
            shade.set(self.docx.oxml.ns.qn(f"w:{key}"), value)
        properties.append(shade)

    def _say(self, text: str, *, after: float | None = None, **letters: Any) -> Any:  # noqa: ANN401
        paragraph = self.made.add_paragraph()
        if after is not None:
            paragraph.paragraph_format.space_after = self.docx.shared.Pt(after)
        self._run(paragraph, text, **letters)
        return paragraph

    def _run(
        self,
        paragraph: Any,  # noqa: ANN401
        text: str,
        *,
        points: float | None = None,
        bold: bool | None = None,
        colour: str = "",
        font: str = "",
    ) -> Any:  # noqa: ANN401
        run = paragraph.add_run(printable(text))
        run.bold = bold
        if points:
            run.font.size = self.docx.shared.Pt(points)
        if colour:
            run.font.color.rgb = self._colour(colour)
        if font:
            run.font.name = font
        return run

    def _colour(self, digits: str) -> Any:  # noqa: ANN401
        return self.docx.shared.RGBColor.from_string(digits)
