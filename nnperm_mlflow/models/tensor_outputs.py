"""What a TensorFlow network gave, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.models.output_numbers import as_columns


def to_columns(predicted: Any, n_rows: int) -> np.ndarray:  # noqa: ANN401 - a tensor, or a list or dict of them
    """Return what a network gave as numbers of shape (n_rows, n_outputs); NumPy takes bfloat16 for none."""
    return as_columns(tf.nest.map_structure(_known_to_numpy, predicted), n_rows)


def _known_to_numpy(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor
