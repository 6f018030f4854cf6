"""Sums whose bits are the same on any number of cores."""

from __future__ import annotations

import numpy as np


def sum_of_products(one: np.ndarray, other: np.ndarray) -> float:
    """Return the inner product of two arrays of shape (n,), added up in pairs.

    A matrix library gives it to several threads: how it rounds depends on how many there are, and where other work
    keeps a core busy, the threads wait for each other many times longer than the sum takes.

    >>> sum_of_products(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    return float(np.multiply(one, other).sum())
