"""Arrays become tensors of the same numbers, and those put together for a call do so without a copy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.stacking import Stacks, stack
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


def expected_of(changes, unchanged):
    stacked = np.stack([unchanged] * len(changes))
    for part, change in zip(stacked, changes, strict=True):
        change.write("x", part)
    return stacked.reshape(-1, *unchanged.shape[1:])


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_stacks_hold_what_the_changes_of_this_call_make_and_nothing_of_earlier_ones(data):
    """Single columns, several at once, other inputs, all columns, and other numbers of copies, in any order."""
    unchanged = np.arange(12.0).reshape(4, 3)
    stacks = Stacks({"x": unchanged.copy(), "other": np.zeros((4, 1))})
    columns = st.lists(st.sampled_from([0, 1, 2]), unique=True, max_size=3)
    for _ in range(5):
        changes = []
        for places in data.draw(st.lists(columns, min_size=1, max_size=3)):
            slots = (*(Slot("x", (place,)) for place in places), Slot("other", (0,)))
            changes.append(Change(slots, tuple(data.draw(st.just(np.full(4, 7.5))) for _ in slots)))
        with stacks.lent("x", changes) as stacked:
            assert np.array_equal(stacked, expected_of(changes, unchanged))
            with stacks.lent("x", changes) as another:  # as another thread has it at the same time
                assert not np.shares_memory(stacked, another)
                assert np.array_equal(another, expected_of(changes, unchanged))


def test_a_stack_is_used_again_and_let_go_in_the_end():
    stacks = Stacks({"x": np.zeros((4, 3))})
    change = Change((Slot("x", (0,)),), (np.ones(4),))
    with stacks.lent("x", [change]) as first:
        pass
    with stacks.lent("x", [change]) as second:
        assert second is first
    stacks.clear()
    with stacks.lent("x", [change]) as third:
        assert third is not first


def test_a_stack_that_something_went_wrong_with_is_not_used_again():
    stacks = Stacks({"x": np.zeros((4, 3))})
    change = Change((Slot("x", (0,)),), (np.ones(4),))
    with pytest.raises(ValueError, match="broken"), stacks.lent("x", [change]):
        raise ValueError("broken")
    with stacks.lent("x", [Change((), ())]) as stacked:
        assert not stacked.any()


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
