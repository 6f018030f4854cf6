"""Arrays that begin where numerical libraries take their memory as it is."""

from __future__ import annotations

import math

import numpy as np

ALIGNMENT = 64
"""Bytes; of an array whose address is no multiple TensorFlow makes a copy."""


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a new array of any content; of numbers it begins at a multiple of `ALIGNMENT`, which NumPy's own do not.

    >>> empty((3, 5), np.dtype(np.float32)).ctypes.data % ALIGNMENT
    0
    """
    if dtype.hasobject:
        return np.empty(shape, dtype=dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes].view(dtype).reshape(shape)
