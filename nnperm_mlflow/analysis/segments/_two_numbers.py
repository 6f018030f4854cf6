"""How far the difference of two numbers may lie off, each of which has an interval of its own.

The distances from two numbers to the ends of their intervals are put together with the correlation of their errors
(Zou, "Toward Using Confidence Intervals to Compare Correlations", Psychological Methods, 2007; Zou and Donner,
"Construction of Confidence Limits about Effect Measures", Statistics in Medicine, 2008), so that what is said of a
number that few rows make is said of the difference, too.
"""

from __future__ import annotations

import numpy as np

Number = tuple[float, float, float] | tuple[np.ndarray, np.ndarray, np.ndarray]
"""A number and the ends of its interval, or arrays of such."""


def ends_of_difference(one: Number, other: Number, together: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval of `one` less `other`, the errors of which are correlated so.

    Examples
    --------
    >>> low, high = ends_of_difference((0.8, 0.77, 0.83), (0.7, 0.66, 0.74), 0.0)
    >>> round(float(low), 4), round(float(high), 4)
    (0.05, 0.15)
    """
    (value, low, high), (of_other, other_low, other_high) = one, other
    difference = value - of_other
    down = _both(value - low, other_high - of_other, together)
    return difference - down, difference + _both(high - value, of_other - other_low, together)


def _both(one: float | np.ndarray, other: float | np.ndarray, together: float | np.ndarray) -> np.ndarray:
    """Return how far the difference of two numbers may lie off, that do so and are correlated so."""
    return np.sqrt(np.maximum(0.0, one**2 + other**2 - 2 * together * one * other))
