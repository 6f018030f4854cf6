"""Names and numbers as text of a picture: every letter is a letter, on one line, no longer than there is room."""

from __future__ import annotations

import unicodedata
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from nnperm_mlflow.basics.text import cut_middle

LONGEST = 40
"""Letters of a name that a picture shows."""

LONGEST_LINE = 100
"""Letters of a line above the picture."""

TITLE_POINTS, SUBTITLE_POINTS, MUTED = 14, 10, "#5b6770"

_UNDRAWABLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of a pair, separators of lines and paragraphs
_POINTS_PER_INCH = 72
_DARKEST_UNDER_BLACK = 0.18  # relative luminance at which black and white letters can be read equally well
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green and blue: ITU-R BT.709
_HINTED = 1.05  # letters of an image are moved to whole pixels, which makes a line that much wider


def shorten(name: str, longest: int = LONGEST) -> str:
    r"""Return a name on one line, its middle left out where it is long.

    Draw it with `parse_math=False`, or a dollar sign begins a formula.

    Parameters
    ----------
    name : str
        As a stranger wrote it.
    longest : int
        Most letters of what is returned.

    Returns
    -------
    str
        Line breaks and other characters without a shape are written as Python writes them.

    Examples
    --------
    >>> shorten("amount of the bill in September", 20)
    'amount of…September'
    >>> print(shorten("two\nlines"))
    two\nlines
    """
    return cut_middle("".join(map(_drawable, name)), longest)


def fit(name: str, inches: float, points: float, weight: str = "normal", longest: int = LONGEST) -> str:
    """Shorten a name until it is no wider than `inches` in letters of `points`."""
    while longest > 3 and inches_of(shorten(name, longest), points, weight) > inches:
        longest -= 1
    return shorten(name, longest)


def inches_of(text: str, points: float, weight: str = "normal") -> float:
    """Return how wide a line is at most in letters of `points`."""
    font = FontProperties(size=points, weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is told of when it is drawn
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / _POINTS_PER_INCH * _HINTED


def three_digits(number: float) -> str:
    """Return a number with three significant digits, without powers of ten where it is short without them.

    Examples
    --------
    >>> [three_digits(number) for number in (0, 0.5, 0.12345, -31416, 0.000012345)]
    ['0', '0.5', '0.123', '-31400', '1.23e-05']
    """
    if number == 0 or 1e-4 <= abs(number) < 1e6:
        return np.format_float_positional(number, precision=3, unique=False, fractional=False, trim="-")
    return f"{number:.2e}"


def letter_colour(cell_colour: np.ndarray) -> str:
    """Return the colour of letters that can be read on red, green and blue between 0 and 1."""
    rgb = cell_colour[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # sRGB's definition
    return "black" if linear @ _LUMINANCE > _DARKEST_UNDER_BLACK else "white"


def write_title(axes: Axes, title: str, subtitle: str) -> None:
    """Write two lines above the axes, from their left edge on: ours, and a stranger's."""
    axes.set_title(title, fontsize=TITLE_POINTS, fontweight="bold", loc="left", pad=24)
    axes.annotate(
        shorten(subtitle, LONGEST_LINE),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        fontsize=SUBTITLE_POINTS,
        color=MUTED,
        parse_math=False,
    )


def _drawable(letter: str) -> str:
    is_undrawable = unicodedata.category(letter) in _UNDRAWABLE
    return letter.encode("unicode_escape").decode() if is_undrawable else letter
