"""The scale of deviations: a round end that versions which are alike share, so that they can be compared by eye."""

from __future__ import annotations

import math

_ROUNDING = 1e-4  # by which a deviation may exceed the axis's end, which has room for it
_SMALLEST_PROBABILITY = 0.01  # end of the shortest axis: what moves less is small, and shall look small


def axis_end(largest: float, unit: str) -> float:
    """Return a round number (1, 2 or 5 times a power of ten) that the largest deviation does not exceed.

    Below a hundredth, all probabilities share one.

    >>> axis_end(0.3, "probability"), axis_end(0.004, "probability"), axis_end(0.0, "euro")
    (0.5, 0.01, 1.0)
    """
    return round_end(max(largest, _SMALLEST_PROBABILITY) if "probability" in unit else largest)


def round_end(largest: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is no smaller, or 1 where there is nothing.

    >>> round_end(0.004), round_end(7)
    (0.005, 10.0)
    """
    if not largest > 0:
        return 1.0
    power = math.floor(math.log10(largest))
    ends = (float(f"{digit}e{power}") for digit in (1, 2, 5, 10))
    return next(end for end in ends if largest <= end * (1 + _ROUNDING))
