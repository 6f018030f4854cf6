"""The document in the format that somebody asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.report.document.chapters import Document
from nnperm_mlflow.report.document.pdf_file import pdf_file
from nnperm_mlflow.report.document.web_file import web_file
from nnperm_mlflow.report.document.word_file import word_file

Format = Literal["docx", "pdf", "html"]
FORMATS: tuple[Format, ...] = ("docx", "pdf", "html")


def format_of(to: str | None, template: Path | None) -> Format:
    """Return the format that is meant: the one that is named, else that of the template.

    Raises
    ------
    ConfigError
        If there is no such format, or the template is not for it.
    """
    of_template: Format | None = None if template is None else "docx" if template.suffix == ".docx" else "html"
    for known in FORMATS:
        if (to or of_template) == known:
            break
    else:
        raise ConfigError(f"a report is written to {', '.join(FORMATS)}; not to {to!r}.")
    if of_template is not None and known != of_template:
        raise ConfigError(
            f"the template '{template}' is not for {known}: a .docx is for docx, any other for html, and pdf has none "
            "(print the html)."
        )
    return known


def document_file(document: Document, to: Format, template: Path | None = None) -> bytes:
    """Return the bytes of a document's file.

    Parameters
    ----------
    document : Document
    to : {"docx", "pdf", "html"}
    template : Path, optional
        For the format, see `format_of`.

    Raises
    ------
    ConfigError
        If the library for it is not here, or the template is none.
    """
    if to == "docx":
        return word_file(document, template)
    if to == "pdf":
        return pdf_file(document)
    return web_file(document, template).encode("utf-8")
