"""A matrix of which a network picks columns is audited as the columns are, in chunks of rows or at once."""

import keras
import numpy as np
import pytest

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from nnperm_mlflow.models.branches.columns import ColumnPredictor, Piece
from nnperm_mlflow.models.keras.framework import KerasFramework
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.keras.nodes import unfold

N_ROWS = 50
layers = keras.layers
PIECES = {"x": [Piece("numbers", 0, 3), Piece("code", 3, 4), Piece("unread", 4, 5), Piece("more", 5, 7)]}


@pytest.fixture(scope="module")
def network():
    """Return a network of pieces of one matrix, of whose column 4 it takes no notice, and of a history."""
    keras.utils.set_random_seed(2)
    inputs = [keras.Input((piece.stop - piece.start,), name=piece.name) for piece in PIECES["x"]]
    history = keras.Input((4, 2), name="history")
    numbers, code, _, more = inputs
    joined = [numbers, layers.Flatten()(layers.Embedding(6, 3)(code)), layers.Dense(4, "relu")(more)]
    joined += [layers.LSTM(5)(history)]
    found = layers.Dense(1, "sigmoid")(layers.Dense(8, "relu")(layers.Concatenate()(joined)))
    return keras.Model([*inputs, history], found)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N_ROWS, 7)).astype(np.float32)
    x[:, 3] = rng.integers(0, 6, N_ROWS)
    return {"x": x, "history": rng.normal(size=(N_ROWS, 4, 2)).astype(np.float32)}


@pytest.fixture(scope="module")
def columns(network, rows):
    """Return the network as one of the matrix, run by branches."""
    model = ColumnPredictor(
        [InputSpec("x", (7,), np.dtype("float32")), InputSpec("history", (4, 2), np.dtype("float32"))],
        PIECES,
        keras_predictor(network),
    )
    return model.fitted(rows)


@pytest.fixture(scope="module")
def whole(network):
    """Return what calls the whole network with a matrix and a history."""
    predictor = keras_predictor(network)

    def call(x, history):
        return predictor.call(
            {**{piece.name: x[:, piece.start : piece.stop] for piece in PIECES["x"]}, "history": history}
        )

    return call


def changed(rows, index, values):
    x = rows["x"].copy()
    x[(slice(None), *index)] = values
    return x


SLOTS = [(0,), (2,), (3,), (4,), (6,), (slice(1, 4),), (slice(2, 7),), (slice(None),), ()]


@pytest.mark.parametrize("index", SLOTS, ids=str)
def test_a_change_of_the_matrix_is_one_of_its_pieces(columns, whole, rows, index):
    values = rows["x"][::-1][(slice(None), *index)].copy()
    (found,) = columns.begin([rows])[0].predict([Change((Slot("x", index),), (values,))])
    assert np.array_equal(found, whole(changed(rows, index, values), rows["history"]))
    read = set(np.arange(7)[index[0] if index else slice(None)].ravel()) - {4}
    assert np.array_equal(found, whole(**rows)) == (not read)


def test_columns_and_other_inputs_change_together(columns, whole, rows):
    donors = np.random.default_rng(0).permutation(N_ROWS)
    change = Change(
        (Slot("x", (3,)), Slot("x", (5,)), Slot("history")),
        (rows["x"][donors, 3], rows["x"][donors, 5], rows["history"][donors]),
        donors,
    )
    (found,) = columns.begin([rows])[0].predict([change])
    x = changed(rows, (3,), rows["x"][donors, 3])
    x[:, 5] = rows["x"][donors, 5]
    assert np.array_equal(found, whole(x, rows["history"][donors]))


def test_a_column_costs_what_it_reaches(columns):
    assert columns.reuses
    assert columns.shares["x"] < 0.5 < columns.shares["history"]


class Chunked(KerasFramework):
    chunk_rows = 13


@pytest.fixture(scope="module")
def both(network, rows):
    """Return the network of the pieces, run in chunks and at once, and rows for it."""
    probe = {piece.name: piece.of(rows["x"]) for piece in PIECES["x"]} | {"history": rows["history"]}
    predictor = keras_predictor(network)
    found = [
        BranchPredictor(predictor.inputs, predictor.outputs, framework(unfold(network)), True)
        for framework in (Chunked, KerasFramework)
    ]
    return [model.fitted(probe) for model in found], probe


def test_chunks_of_a_block_give_what_the_block_gives(both):
    (chunked, at_once), rows = both
    halves = [{name: array[half] for name, array in rows.items()} for half in (slice(0, 30), slice(30, N_ROWS))]
    rng, slots = np.random.default_rng(1), [Slot("numbers", (1,)), Slot("code"), Slot("history", (slice(None), 1))]
    for half, block, other in zip((0, 30), chunked.begin(halves), at_once.begin(halves), strict=True):
        n_rows = len(block.baseline)
        assert np.allclose(block.baseline, other.baseline, rtol=1e-6, atol=0)
        donors = [rng.permutation(N_ROWS)[:n_rows] for _ in slots]  # of other chunks and of the other half as well
        changes = [
            Change((slot,), (rows[slot.input][drawn][(slice(None), *slot.index)],), drawn)
            for slot, drawn in zip(slots, donors, strict=True)
        ]
        found, expected = list(block.predict(iter(changes))), list(other.predict(iter(changes)))
        for change, one, another in zip(changes, found, expected, strict=True):
            assert np.allclose(one, another, rtol=1e-6, atol=0)
            assert not np.array_equal(one, block.baseline)
            inputs = {name: array[half : half + n_rows] for name, array in rows.items()}
            exact = [
                keras_rows(chunked, {**inputs, **change.on(inputs)}, part)
                for part in np.array_split(np.arange(n_rows), -(-n_rows // 13))
            ]
            assert np.allclose(one, np.concatenate(exact), rtol=1e-6, atol=0)


def keras_rows(model, inputs, part):
    return model.run({name: array[part] for name, array in inputs.items()})[2]


def test_a_block_is_cut_into_equal_chunks(both):
    (chunked, _), rows = both
    before = chunked.calls
    chunked.begin([rows])
    assert chunked.calls - before == 4
    assert [len(part["code"]) for part in chunked._chunks(rows)] == [12, 13, 13, 12]
