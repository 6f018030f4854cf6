"""One observation in a report: the words and the picture of `nnperm explain`, which hold its prediction."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from markupsafe import Markup

from nnperm_mlflow.basics.text import printable

PICTURE_TOLD = "What raised and what lowered the prediction, feature by feature"
"""What is read aloud of the picture."""

_HTML = Markup(
    "<p>Of one row, asked apart from the audit of all. Whoever reads this reads its prediction.</p>\n"
    '<pre class="letter">{words}</pre>\n'
    '<figure><img src="data:image/png;base64,{picture}" alt="{told}"></figure>'
)


@dataclass(frozen=True)
class Observation:
    """What `nnperm explain` told of one observation: its letter, and the bytes of its picture (PNG)."""

    letter: str
    picture: bytes

    @property
    def title(self) -> str:
        """The first line of the letter."""
        return self.lines[0] if self.lines else ""

    @property
    def lines(self) -> list[str]:
        """The letter line by line, in which each letter is a letter."""
        return [printable(line) for line in self.letter.strip().splitlines()]

    @property
    def html(self) -> Markup:
        """Words and picture as markup, in which all that was told is text."""
        picture = base64.b64encode(self.picture).decode()
        return _HTML.format(words="\n".join(self.lines), picture=picture, told=PICTURE_TOLD)
