"""What people have signed about a version, as a part of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nnperm_mlflow.basics.text import printable

HEADER = ("Who", "Said", "On", "Why", "Under which conditions", "Key")
"""Of the table, in the order of `SignedWord.cells`."""

_ACTS = {"request": "asked for it", "approve": "approved", "refuse": "refused"}
_TABLE = Markup(
    "<p>As of when this was written, by the trust file of whoever wrote it: what was signed on this audit, and counts "
    "for the alias {alias}.</p>\n"
    '<div class="scroll" tabindex="0" role="region" aria-label="Signed decisions"><table>'
    "<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
)
_NOTHING = Markup("<p>Nobody has signed anything that counts for the alias {alias}.</p>")


@dataclass(frozen=True)
class SignedWord:
    """What a person has signed: who, the act, when, why, the conditions, and the key."""

    person: str
    act: str
    at: str
    reason: str
    conditions: str
    key: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row."""
        act = _ACTS.get(self.act, self.act)
        return tuple(map(printable, (self.person, act, self.at, self.reason, self.conditions, self.key)))


def decisions_html(words: Sequence[SignedWord], alias: str) -> Markup:
    """Return markup that tells what was signed, in which all that was said is text."""
    if not words:
        return _NOTHING.format(alias=printable(alias))
    rows = Markup("").join(
        Markup("<tr>{}</tr>\n").format(Markup("").join(map(Markup("<td>{}</td>").format, word.cells))) for word in words
    )
    head = Markup("").join(map(Markup('<th scope="col">{}</th>').format, HEADER))
    return _TABLE.format(alias=printable(alias), head=head, rows=rows)
