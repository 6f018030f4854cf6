"""Tables whose cells are arrays: which columns and temporal data they become."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.cells import read_cells
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec

N_ROWS = 5


def frame(**columns):
    return pd.DataFrame({name: list(values) for name, values in columns.items()})


def history(*shape):
    return np.arange(N_ROWS * np.prod(shape), dtype=np.float32).reshape(N_ROWS, *shape)


def fed(table, channels, spec, said=None):
    """Return what an input receives, and the place of each feature in it."""
    cells = read_cells(table, channels)
    inputs = bind_inputs([spec], dataset_from(cells.columns, cells.series), cells.bind(said or {}, [spec.name]))
    places = {name: feature.slots[0].index for name, feature in inputs.features.items()}
    return inputs.read(np.arange(len(table)))[spec.name], places


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, lambda cell: tuple(cell.tolist())])
def test_a_cell_of_numbers_is_an_input_of_several_columns(kind):
    numbers = history(3)
    spec = InputSpec("num_input", (3,), np.dtype(np.float32))
    array, places = fed(frame(num_input=map(kind, numbers)), {}, spec)
    assert np.array_equal(array, numbers)
    assert places == {"num_input 1": (0,), "num_input 2": (1,), "num_input 3": (2,)}
    _, places = fed(frame(num_input=map(kind, numbers)), {"num_input": ["a", "b", "c"]}, spec)
    assert list(places) == ["a", "b", "c"]


def test_a_cell_of_one_number_is_called_as_its_column_and_keeps_its_type():
    cells = read_cells(frame(region=history(1).astype("int32")), {})
    assert list(cells.columns) == ["region"]
    assert cells.columns["region"].dtype == np.int32
    assert cells.columns["region"].tolist() == [0, 1, 2, 3, 4]
    assert cells.bind({}, ["region_input"]) == {"region_input": "region"}


def test_what_is_said_of_an_input_goes_first_and_may_name_columns_of_arrays():
    cells = read_cells(frame(age=np.zeros(N_ROWS), block=history(2), num_input=history(2)), {})
    assert cells.bind({"num_input": ["age", "block"]}, ["num_input"]) == {"num_input": ["age", "block 1", "block 2"]}
    assert cells.bind({"num_input": "block"}, ["num_input"]) == {"num_input": ["block 1", "block 2"]}
    assert cells.bind({"num_input": ["age"]}, ["num_input"]) == {"num_input": ["age"]}


def test_a_cell_of_two_axes_has_its_channels_last():
    steps = history(4, 2)
    array, places = fed(frame(temporal_input=steps), {}, InputSpec("temporal_input", (4, 2), np.dtype(np.float32)))
    assert np.array_equal(array, steps)
    assert places == {
        "temporal_input channel 1": (slice(None), 0),
        "temporal_input channel 2": (slice(None), 1),
    }


def test_channels_come_first_where_their_names_fit_there_alone():
    """And the model gets the order of axes that it takes."""
    spec = InputSpec("h", (4, 2), np.dtype(np.float32))
    array, places = fed(frame(h=history(2, 4)), {"h": ["PAY", "BILL"]}, spec)
    assert np.array_equal(array, np.moveaxis(history(2, 4), 1, 2))
    assert places == {"PAY": (slice(None), 0), "BILL": (slice(None), 1)}


def test_a_square_cell_has_its_channels_last_here_and_in_the_model():
    spec = InputSpec("h", (2, 2), np.dtype(np.float32))
    array, places = fed(frame(h=history(2, 2)), {"h": ["PAY", "BILL"]}, spec)
    assert np.array_equal(array, history(2, 2))
    assert places == {"PAY": (slice(None), 0), "BILL": (slice(None), 1)}


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_name_for_several_numbers_makes_them_the_steps_of_a_channel(shape):
    array, places = fed(frame(h=history(4)), {"h": ["PAY"]}, InputSpec("h", shape, np.dtype(np.float32)))
    assert np.array_equal(array.reshape(N_ROWS, 4), history(4))
    assert list(places) == ["PAY"]


def test_nested_lists_and_arrays_of_arrays_are_read_as_they_are_meant():
    """As Parquet files give them."""
    steps = history(4, 2)
    nested = [np.array([*row, None], dtype=object)[:-1] for row in steps]
    for column in (steps.tolist(), nested):
        assert np.array_equal(read_cells(pd.DataFrame({"h": column}), {}).series["h"].array, steps)


def test_text_and_missing_values_are_no_arrays():
    table = pd.DataFrame({"text": ["a", None, "abc"], "none": [None, None, None], "number": pd.array([1, 2, None])})
    cells = read_cells(table, {})
    assert list(cells.columns) == ["text", "none", "number"]
    assert np.isnan(cells.columns["number"][2])


@pytest.mark.parametrize(
    ("columns", "channels", "error", "message"),
    [
        ({"h": [np.zeros(2), np.zeros(3)]}, {}, ShapeError, r"'h' differ: .*\(2,\) in row 0, of shape \(3,\) in row 1"),
        ({"h": [np.zeros(2), None]}, {}, ShapeError, r"of shape \(\) in row 1"),
        ({"h": [[[1, 2], [3]]]}, {}, ShapeError, "'h' holds lists of different lengths within row 0"),
        ({"h": np.zeros((2, 3, 3, 3))}, {}, ShapeError, r"have the shape \(3, 3, 3\)"),
        ({"h": np.zeros((2, 0))}, {}, ShapeError, r"have the shape \(0,\)"),
        ({"h": np.zeros((2, 3))}, {"h": ["a", "b"]}, ShapeError, "2 names for 'h' .*, whose cells are 3 numbers"),
        ({"hist": np.zeros((2, 3))}, {"hits": ["a"]}, ConfigError, "'hits' is no column of arrays.* mean 'hist'"),
        ({"h": np.zeros(2)}, {"h": ["a"]}, ConfigError, "'h' is no column of arrays; those are none"),
        ({"a": np.zeros(2), "h": np.zeros((2, 1))}, {"h": ["a"]}, DataError, "name 'a' twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_refused(columns, channels, error, message):
    with pytest.raises(error, match=message):
        read_cells(frame(**columns), channels)


def test_a_name_that_stands_twice_in_the_table_is_refused():
    with pytest.raises(DataError, match="name 'a' twice"):
        read_cells(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), {})
