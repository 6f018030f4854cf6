"""The shortcut that is not exact: near the network's numbers, 0 where nothing is used, its error told."""

from functools import cache

import keras
import numpy as np
import pytest

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.keras._affine import find_exits
from nnperm_mlflow.models.keras._shortcut import Shortcut
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.keras.nodes import unfold
from tests.models.branches.test_branches import code, embedded, history, numbers, rows_for

layers = keras.layers


def article_like():
    given = [numbers(width=4), code(), history()]
    normal = layers.BatchNormalization(moving_mean_initializer="random_normal")(given[0])
    static = layers.Dense(8, activation="relu")(layers.Concatenate()([normal, embedded(given[1])]))
    read = layers.LSTM(8)(given[2])
    hidden = layers.Dense(8, activation="tanh")(layers.Concatenate()([read, static]))
    return keras.Model(given, layers.Dense(1, activation="sigmoid")(hidden))


def numbers_alone():
    given = numbers(width=4)
    return keras.Model(given, layers.Dense(1)(layers.Dense(8, activation="relu")(given)))


def linear_to_the_end():
    given = [numbers(width=4), history()]
    linear = layers.Dense(3)(layers.Rescaling(0.5, offset=1.0)(given[0]))
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([linear, layers.GRU(4)(given[1])])))


def around_the_tower():
    """The numbers join again behind a tower of their own, beside a branch that they do not touch."""
    given = [numbers(width=4), history()]
    tower = layers.Dense(5, activation="relu")(layers.Dense(6)(given[0]))
    joined = layers.Concatenate()([layers.Dense(2)(given[0]), layers.LSTM(3)(given[1]), tower])
    return keras.Model(given, layers.Dense(2, activation="softmax")(joined))


def activated_apart():
    given = [numbers(width=4), history()]
    hidden = layers.Activation("relu")(layers.Dense(6)(layers.Dropout(0.5)(given[0])))
    return keras.Model(given, layers.Dense(1)(layers.Add()([layers.Dense(3)(hidden), layers.GRU(3)(given[1])])))


SHORTENED = [article_like, numbers_alone, linear_to_the_end, around_the_tower, activated_apart]


def fitted(network, rows, exact=False):
    return keras_predictor(network).fitted(rows, exact)


@cache
def shortened(make):
    """Return what calls a network as a whole, some rows, and the network fitted to them: made once for all tests."""
    keras.utils.set_random_seed(1)
    network = make()
    rows = rows_for(network, n_rows=50)
    return keras_predictor(network), rows, fitted(network, rows)


def columns_of(rows):
    """Return a change of each column of the numbers: as a shuffle leaves it, in reverse order."""
    numbers = rows["num_input"]
    return [Change((Slot("num_input", (place,)),), (numbers[::-1, place].copy(),)) for place in range(numbers.shape[1])]


@pytest.mark.parametrize("make", SHORTENED)
def test_a_changed_column_gives_nearly_the_network_s_numbers(make):
    whole, rows, predictor = shortened(make)
    assert list(predictor.shortcuts) == ["num_input"]
    found = list(predictor.begin([rows])[0].predict(columns_of(rows)))
    for column, change in enumerate(columns_of(rows)):
        expected = whole.call({**rows, **change.on(rows)})
        np.testing.assert_allclose(found[column], expected, atol=1e-6)
        assert not np.allclose(expected, whole.call(rows), atol=1e-4)
    assert 0 <= predictor.largest_difference < 1e-6


@pytest.mark.parametrize("make", SHORTENED)
def test_other_changes_are_exact_as_ever(make):
    whole, rows, predictor = shortened(make)
    block = predictor.begin([rows])[0]
    for name in rows:
        (found,) = block.predict([Change.of({name: rows[name][::-1].copy()})])
        assert np.array_equal(found, whole.call({**rows, name: rows[name][::-1].copy()}))


def test_a_column_without_weight_has_its_baseline_to_the_last_bit():
    network = article_like()
    dense = next(layer for layer in network.layers if isinstance(layer, layers.Dense))
    kernel = dense.kernel.numpy()
    kernel[2] = 0
    dense.kernel.assign(kernel)
    rows = rows_for(network, n_rows=333)
    block = fitted(network, rows_for(network, 64)).begin([rows])[0]
    found = list(block.predict(columns_of(rows) * 9))
    assert all(np.array_equal(found[place], block.baseline) for place in range(2, 36, 4))
    assert not np.array_equal(found[1], block.baseline)


def test_large_numbers_lose_nothing_by_it():
    """Weights found as the difference of two predictions would drown in an offset of a million."""
    network = linear_to_the_end()
    rows = rows_for(network, n_rows=64)
    rows["num_input"] = rows["num_input"] + np.float32(1e6)
    column = Change((Slot("num_input", (0,)),), (rows["num_input"][::-1, 0].copy(),))
    predictor = fitted(network, rows)
    kernels = [layer.kernel.numpy().astype(float) for layer in network.layers if isinstance(layer, layers.Dense)]
    weight = 0.5 * kernels[0][0] @ kernels[1][:3]
    block = predictor.begin([rows])[0]
    (found,) = block.predict([column])
    moved = (rows["num_input"][::-1, :1].astype(float) - rows["num_input"][:, :1]) * weight
    np.testing.assert_allclose(found - block.baseline, moved, atol=2 * np.spacing(np.abs(found).max()))


def test_an_exact_audit_takes_no_shortcut():
    network = article_like()
    predictor = fitted(network, rows_for(network), exact=True)
    assert predictor.shortcuts == {}
    assert predictor.largest_difference == 0


def test_there_is_none_where_the_first_layer_is_not_affine():
    given = [numbers(width=4), history()]
    curved = layers.Activation("tanh")(given[0])
    network = keras.Model(given, layers.Dense(1)(layers.Concatenate()([curved, layers.GRU(4)(given[1])])))
    graph = unfold(network)
    assert [find_exits(graph, key) for key in graph.inputs] == [None, None]
    assert fitted(network, rows_for(network)).shortcuts == {}


def test_one_that_gives_other_numbers_is_not_taken(monkeypatch, caplog):
    network = article_like()
    real = Shortcut.predict
    monkeypatch.setattr(
        Shortcut, "predict", lambda self, prepared, columns, moved: real(self, prepared, columns, moved * 1.5)
    )
    rows = rows_for(network)
    predictor = fitted(network, rows)
    assert predictor.shortcuts == {}
    assert "the shortcut gives other numbers" in caplog.text
    (found, *_) = predictor.begin([rows])[0].predict(columns_of(rows))
    assert np.array_equal(found, keras_predictor(network).call({**rows, **columns_of(rows)[0].on(rows)}))
