"""Numbers as a page writes them: three digits, their interval behind them, nothing where there is none."""

from __future__ import annotations

import math

_DIGITS = 3
_PLAIN = (1e-5, 1e7)  # between which no power of ten is written


def number(value: float, digits: int = _DIGITS) -> str:
    """Return a number with so many significant digits.

    >>> [number(value) for value in (0.0, 0.5, 0.12345, -31416.0, 0.0000012345, float("nan"))]
    ['0', '0.500', '0.123', '-31,416', '1.23e-06', '']
    """
    if math.isnan(value):
        return ""
    if value.is_integer() and abs(value) < _PLAIN[1]:
        return f"{value:,.0f}"
    if not _PLAIN[0] <= abs(value) < _PLAIN[1]:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def share(value: float) -> str:
    """Return a share of rows in percent.

    >>> share(0.1234), share(0.0004), share(1.0), share(float("nan"))
    ('12.3 %', '0.04 %', '100 %', '')
    """
    if math.isnan(value):
        return ""
    percent = 100 * value
    if percent in (0.0, 100.0):
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if abs(percent) >= 1 else f"{percent:.2g} %"


def count(value: float) -> str:
    """Return how many.

    >>> count(12345.0), count(float("nan"))
    ('12,345', '')
    """
    return "" if math.isnan(value) else f"{value:,.0f}"


def interval(low: float, high: float) -> str:
    """Return between which numbers something lies; nothing where it is not known, or the number is exact.

    >>> interval(0.1, 0.25), interval(0.5, 0.5)
    ('0.100 to 0.250', '')
    """
    return "" if math.isnan(low) or math.isnan(high) or low == high else f"{number(low)} to {number(high)}"


def several(n: int, what: str) -> str:
    """Return how many of what.

    >>> several(1, "shuffle"), several(2_000, "shuffle")
    ('1 shuffle', '2,000 shuffles')
    """
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def moment(stamp: str) -> str:
    """Return a moment as people write it.

    >>> moment("2026-11-24T10:05:00Z")
    '2026-11-24 10:05 UTC'
    """
    return f"{stamp[:10]} {stamp[11:16]} UTC" if len(stamp) > 16 and stamp.endswith("Z") else stamp
