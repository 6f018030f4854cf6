"""Arrays become tensors of the same numbers, and those put together for a call do so without a copy."""

import numpy as np
import pytest

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.stacking import stack
from nnperm_mlflow.models.tensors import lend_tensor


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("n_rows", [1, 3, 1000])
def test_what_is_stacked_for_a_call_is_the_tensor_s_own_memory(dtype, n_rows):
    """Wherever NumPy finds room for it: TensorFlow copies an array twice that begins at an odd address."""
    unchanged = np.arange(n_rows * 5).reshape(n_rows, 5).astype(dtype)
    changes = [Change((Slot("x", (place,)),), (np.full(n_rows, 7, dtype=dtype),)) for place in (0, 3)]
    kept = [stack(changes, "x", unchanged) for _ in range(5)]
    for stacked in kept:
        tensor = lend_tensor(stacked, InputSpec("x", (5,), np.dtype(dtype)))
        assert tensor.dtype.as_numpy_dtype == dtype
        expected = np.concatenate([unchanged, unchanged])
        expected[:n_rows, 0], expected[n_rows:, 3] = 7, 7
        assert np.array_equal(tensor.numpy(), expected)
        stacked[0, 1] = 99
        assert tensor.numpy()[0, 1] == 99, "a copy"


def read_only(array):
    array.flags.writeable = False
    return array


NUMBERS = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (read_only(NUMBERS.copy()), "float64"),
        (np.asfortranarray(NUMBERS), "float64"),
        (np.lib.stride_tricks.as_strided(np.zeros(99), (2, 3), (24, 8)), "float64"),
        (np.frombuffer(bytearray(49), dtype=np.float64, offset=1, count=6).reshape(2, 3), "float64"),
        (NUMBERS.astype(np.float32), "float64"),
        (NUMBERS > 2, "bool"),
        (np.array([["a"], ["b"]], dtype=object), "object"),
    ],
    ids=["read-only", "by columns", "a view", "at an odd address", "of another type", "yes and no", "text"],
)
def test_what_tensorflow_cannot_take_as_it_is_is_a_copy_of_the_same_values(array, dtype):
    tensor = lend_tensor(array, InputSpec("x", array.shape[1:], np.dtype(dtype)))
    text = array.dtype == object
    expected = np.char.encode(array.astype(str)).astype(object) if text else array
    assert np.array_equal(tensor.numpy(), expected)
    assert text or tensor.numpy().dtype == dtype
