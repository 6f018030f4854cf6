"""The description of an audit's run, which MLflow shows above its numbers: a section of ours, and what people wrote."""

from __future__ import annotations

import logging
import re

logger = logging.getLogger(__name__)

NOTE_TAG = "mlflow.note.content"
"""Tag of a run with its description, as MLflow calls it."""

MOST_NOTE = 8_000
"""Letters of a tag that MLflow takes."""

_BEGIN, _END = "<!-- nnperm audit: begin -->", "<!-- nnperm audit: end -->"
_SECTION = re.compile(rf"{re.escape(_BEGIN)}(?:(?!{re.escape(_BEGIN)}).)*?{re.escape(_END)}", re.DOTALL)


def with_note(note: str, section: str) -> str:
    """Return a description in which the audit's section is replaced, or added at the end; other text stays.

    Where there is no room for the section the description is what it was, and a line is logged.

    Parameters
    ----------
    note : str
        As it is, "" where there is none.
    section : str
        Markdown.

    Examples
    --------
    >>> with_note(with_note("Ask Ada.", "old"), "new").splitlines()
    ['Ask Ada.', '', '<!-- nnperm audit: begin -->', 'new', '<!-- nnperm audit: end -->']
    """
    framed = f"{_BEGIN}\n{section}\n{_END}"
    found = _SECTION.search(note)
    if found:
        full = f"{note[: found.start()]}{framed}{_SECTION.sub('', note[found.end() :])}"
    else:
        full = f"{note.rstrip()}\n\n{framed}" if note.strip() else framed
    if len(full) <= MOST_NOTE:
        return full
    logger.warning("the description of the run is full: the audit does not show there")
    return note
