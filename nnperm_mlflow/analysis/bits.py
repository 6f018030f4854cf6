"""Whether a value changed, the prediction fell and the decision flipped, in one byte for each deviation."""

from __future__ import annotations

import numpy as np

_MOVED, _FELL, _FLIPPED = (np.uint8(1 << bit) for bit in range(3))


def pack(moved: np.ndarray, fell: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Return three arrays of bool, of one shape, as one of uint8."""
    return moved * _MOVED + fell * _FELL + flipped * _FLIPPED


def unpack(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `pack` took: moved, fell, flipped."""
    return (marks & _MOVED) > 0, (marks & _FELL) > 0, (marks & _FLIPPED) > 0
