"""The document as a PDF of A4, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.report.document._office_libraries import office_library
from nnperm_mlflow.report.document.chapters import (
    Block,
    Chapter,
    Commands,
    Document,
    Gap,
    Heading,
    Picture,
    Table,
    Words,
)

_COLOURS = {"good": "#1b6b39", "bad": "#a3241c", "open": "#6a5200"}
_INK, _HEAD, _SOFT, _LINE, _GROUND, _GAP = "#16202a", "#1f3b52", "#51606d", "#c5cdd4", "#eef1f4", "#fbf1d5"
_LETTERS = {
    "": "DejaVuSans.ttf", "-Bold": "DejaVuSans-Bold.ttf", "-Oblique": "DejaVuSans-Oblique.ttf",
    "-Mono": "DejaVuSansMono.ttf",
}  # fmt: skip
"""Files of letters that matplotlib brings: they know most alphabets, and every machine draws the same."""
_FONT = "nnperm DejaVu"
_MARGIN, _BELOW = 22, 20  # millimetres
_ROW_FOR_PEOPLE = 26  # points
_TALLEST = 200  # millimetres of a picture
_PT_PER_MM = 72 / 25.4
_WIDTH = (210 - 2 * _MARGIN) * _PT_PER_MM


def pdf_file(document: Document) -> bytes:
    """Return the document as a PDF; from the same document it is the same, byte by byte.

    Raises
    ------
    ConfigError
        If reportlab is not here.
    """
    platypus = office_library("reportlab.platypus")
    _load_letters()
    stream = BytesIO()

    class Pages(platypus.SimpleDocTemplate):  # type: ignore[misc, name-defined]
        """Pages whose chapters stand in the reader's list of contents."""

        def afterFlowable(self, flowable: Any) -> None:  # noqa: ANN401, N802 - reportlab's name
            name = getattr(flowable, "chapter", None)
            if name:
                self.canv.bookmarkPage(name)
                self.canv.addOutlineEntry(flowable.getPlainText(), name, 0, 0)

    pages = Pages(
        stream,
        pagesize=(210 * _PT_PER_MM, 297 * _PT_PER_MM),
        leftMargin=_MARGIN * _PT_PER_MM,
        rightMargin=_MARGIN * _PT_PER_MM,
        topMargin=_BELOW * _PT_PER_MM,
        bottomMargin=_BELOW * _PT_PER_MM,
        title=printable(document.title),
        subject=printable(document.fields["model"]),
        author="nnperm",
        creator="nnperm",
        lang="en",
        invariant=1,
    )
    foot = printable(f"{document.title}, run {document.fields['run']}")

    def edge(canvas: Any, page: Any) -> None:  # noqa: ANN401
        canvas.setFont(_FONT, 7.5)
        canvas.setFillColor(_SOFT)
        canvas.drawString(page.leftMargin, page.bottomMargin / 2, foot[:110])
        canvas.drawRightString(page.leftMargin + _WIDTH, page.bottomMargin / 2, f"page {canvas.getPageNumber()}")

    pages.build([*_Story(platypus).of(document)], onFirstPage=edge, onLaterPages=edge)
    return stream.getvalue()


def _load_letters() -> None:
    from matplotlib import get_data_path  # noqa: PLC0415 - heavy, and needed for its letters alone

    metrics, fonts = office_library("reportlab.pdfbase.pdfmetrics"), office_library("reportlab.pdfbase.ttfonts")
    folder = Path(get_data_path()) / "fonts" / "ttf"
    for manner, name in _LETTERS.items():
        if _FONT + manner not in metrics.getRegisteredFontNames():
            metrics.registerFont(fonts.TTFont(_FONT + manner, str(folder / name)))
    metrics.registerFontFamily(_FONT, _FONT, f"{_FONT}-Bold", f"{_FONT}-Oblique", f"{_FONT}-Bold")


class _Story:
    """Turns blocks into what reportlab sets.

    Parameters
    ----------
    platypus : module
        Of reportlab.
    """

    def __init__(self, platypus: Any) -> None:  # noqa: ANN401 - reportlab, which may not be here
        self.platypus = platypus
        self.style_of = office_library("reportlab.lib.styles").ParagraphStyle
        self.colour = office_library("reportlab.lib.colors").HexColor

    def of(self, document: Document) -> Iterator[Any]:
        yield self._words(document.title, size=22, font="-Bold", colour=_HEAD, after=2)
        yield self._words(document.subtitle, size=11, colour=_SOFT, after=6)
        state = _COLOURS[document.state]
        yield self._words(document.verdict.capitalize(), size=12, font="-Bold", colour=state, after=8)
        yield from self._table(Table("", (), document.facts, (2, 7)))
        for place, chapter in enumerate(document.chapters, 1):
            yield from self._chapter(place, chapter)

    def _chapter(self, place: int, chapter: Chapter) -> Iterator[Any]:
        title = self._words(
            f"{place} {chapter.title}", size=14, font="-Bold", colour=_HEAD, before=14, after=5, stays=True
        )
        title.chapter = chapter.name
        yield title
        for block in chapter.blocks:
            yield from self._block(block)

    def _block(self, block: Block) -> Iterator[Any]:
        if isinstance(block, Words):
            colour = _SOFT if block.manner == "soft" else _INK
            yield self._words(block.text, size=10.5 if block.manner == "lead" else 9.5, colour=colour)
        elif isinstance(block, Heading):
            yield self._words(block.text, size=11, font="-Bold", colour=_HEAD, before=8, stays=True)
        elif isinstance(block, Gap):
            yield from self._gap(block)
        elif isinstance(block, Commands):
            for line in block.lines:
                yield self._words(line, size=7.5, font="-Mono", after=1)
        elif isinstance(block, Table):
            yield self._words(block.title, size=8.5, colour=_SOFT, before=4, after=2, stays=True)
            yield from self._table(block)
        elif isinstance(block, Picture):
            yield from self._picture(block)

    def _gap(self, gap: Gap) -> Iterator[Any]:
        """Give a box with the question, and room for an answer by hand."""
        asked = self._words(gap.asked, size=9.5, colour=_COLOURS["open"], before_all="<b>To be filled in:</b> ")
        box = self.platypus.Table([[asked], [""]], colWidths=[_WIDTH], rowHeights=[None, _ROW_FOR_PEOPLE])
        box.setStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), self.colour(_GAP)),
                ("BOX", (0, 0), (-1, -1), 0.5, self.colour("#d9c37a")),
            ]
        )
        yield self.platypus.KeepTogether([box, self.platypus.Spacer(1, 6)])

    def _picture(self, picture: Picture) -> Iterator[Any]:
        image = self.platypus.Image(BytesIO(picture.png))
        scale = min(_WIDTH / image.imageWidth, _TALLEST * _PT_PER_MM / image.imageHeight)
        image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
        image.keepWithNext = True
        yield image
        yield self._words(picture.caption, size=8.5, colour=_SOFT)

    def _table(self, table: Table) -> Iterator[Any]:
        lines = [table.header, *table.rows] if table.header else [*table.rows]
        if not lines:
            return
        cells = [
            [
                self._words(
                    text,
                    size=7.5,
                    font="-Bold" if (table.header and row == 0) or (not table.header and at == 0) else "",
                    right=table.is_number(at),
                    after=0,
                )
                for at, text in enumerate(line)
            ]
            for row, line in enumerate(lines)
        ]
        widths = [_WIDTH * share / sum(table.widths) for share in table.widths]
        heights = [None, *[_ROW_FOR_PEOPLE] * len(table.rows)] if table.is_for_people else None
        made = self.platypus.Table(cells, colWidths=widths, rowHeights=heights, repeatRows=1 if table.header else 0)
        made.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, self.colour(_LINE)),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
                ("TOPPADDING", (0, 0), (-1, -1), 2.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                *([("BACKGROUND", (0, 0), (-1, 0), self.colour(_GROUND))] if table.header else []),
                *([("BACKGROUND", (1, 1), (-1, -1), self.colour(_GAP))] if table.is_for_people else []),
            ]
        )
        yield made
        yield self.platypus.Spacer(1, 7)

    def _words(
        self,
        text: str,
        *,
        size: float,
        font: str = "",
        colour: str = _INK,
        before: float = 0,
        after: float = 5,
        right: bool = False,
        stays: bool = False,
        before_all: str = "",
    ) -> Any:  # noqa: ANN401
        """Return a paragraph; `before_all` is markup, everything else is text, whatever letters it is made of."""
        style = self.style_of(
            "nnperm",
            fontName=_FONT + font,
            fontSize=size,
            leading=size * 1.35,
            textColor=self.colour(colour),
            spaceBefore=before,
            spaceAfter=after,
            alignment=2 if right else 0,
            keepWithNext=stays,
            splitLongWords=1,
        )
        return self.platypus.Paragraph(before_all + escape(printable(text)), style)
