"""A window's change runs a recurrent branch from the window on, and gives the whole network's numbers bit for bit."""

import keras
import numpy as np
import pytest

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.keras import _tails
from nnperm_mlflow.models.keras.network_predictor import keras_predictor

N_ROWS, N_STEPS, N_CHANNELS = 64, 12, 3
layers = keras.layers


def network(branch, dtype="float32"):
    keras.utils.set_random_seed(6)
    history = keras.Input((N_STEPS, N_CHANNELS), name="history", dtype=dtype)
    numbers = keras.Input((4,), name="numbers")
    joined = layers.Concatenate()([branch(history), numbers])
    return keras.Model([history, numbers], layers.Dense(1, "sigmoid")(layers.Dense(8, "relu")(joined)))


def codes():
    """Return a network of a series of codes, of which 0 stands for none."""
    keras.utils.set_random_seed(6)
    history, numbers = keras.Input((N_STEPS,), name="history", dtype="int32"), keras.Input((4,), name="numbers")
    state = layers.GRU(8)(layers.Embedding(5, 4, mask_zero=True)(history))
    return keras.Model([history, numbers], layers.Dense(1)(layers.Concatenate()([state, numbers])))


def stacked(history):
    first = layers.LSTM(16, return_sequences=True)(layers.Dense(6, "tanh")(layers.LayerNormalization()(history)))
    return layers.Dense(5)(layers.GRU(16)(first))


FORWARDS = {
    "LSTM": layers.LSTM(32),
    "GRU": layers.GRU(32),
    "GRU, reset before": layers.GRU(16, reset_after=False),
    "simple": layers.SimpleRNN(16),
    "masked": lambda history: layers.LSTM(16)(layers.Masking()(history)),
    "one on the other": stacked,
}
OTHERWISE = {
    "backwards": layers.LSTM(8, go_backwards=True),
    "both ways": layers.Bidirectional(layers.LSTM(8)),
    "pooled": lambda history: layers.GlobalMaxPooling1D()(layers.GRU(8, return_sequences=True)(history)),
    "convolved": lambda history: layers.LSTM(8)(layers.Conv1D(4, 3, padding="same")(history)),
    "attended": lambda history: layers.LSTM(8)(layers.MultiHeadAttention(2, 4)(history, history)),
    "normed over steps": lambda history: layers.LSTM(8)(layers.LayerNormalization(axis=1)(history)),
    "soft over steps": lambda history: layers.LSTM(8)(layers.Softmax(axis=1)(history)),
    "masked sequences": lambda history: layers.LSTM(8)(
        layers.LSTM(8, return_sequences=True)(layers.Masking()(history))
    ),
    "read twice": lambda history: layers.Concatenate()([layers.LSTM(8)(history), layers.Flatten()(history)]),
    "begun elsewhere": lambda history: layers.LSTM(8)(
        history, initial_state=[layers.Dense(8)(layers.Flatten()(history)) for _ in range(2)]
    ),
    "unrolled": layers.LSTM(8, unroll=True),
    "scaled by steps": lambda history: layers.LSTM(8)(
        layers.Rescaling(np.linspace(1, 2, N_STEPS, dtype=np.float32)[:, None])(history)
    ),
    "activated by a layer": lambda history: layers.LSTM(8)(layers.Activation(layers.LeakyReLU())(history)),
}


def rows(seed=0, of_codes=False):
    rng = np.random.default_rng(seed)
    history = rng.normal(size=(N_ROWS, N_STEPS, N_CHANNELS)).astype(np.float32)
    history[rng.random((N_ROWS, N_STEPS)) < 0.3] = 0
    history[:5, 3:] = 0  # rows of which a whole tail is masked
    if of_codes:
        history = (history[..., 0] != 0) * rng.integers(0, 5, (N_ROWS, N_STEPS), dtype=np.int32)
    return {"history": history, "numbers": rng.normal(size=(N_ROWS, 4)).astype(np.float32)}


def changes_of(base):
    donors = np.random.default_rng(1).permutation(N_ROWS)
    channel = base["history"].ndim > 2
    for start, stop in [(0, 4), (4, 8), (8, 12), (7, 8), (11, 12)]:
        index = (slice(start, stop), 1) if channel else (slice(start, stop),)
        yield Change((Slot("history", index),), (base["history"][(donors, *index)].copy(),), donors)
    index = (5, slice(None)) if channel else (5,)
    yield Change((Slot("history", index),), (base["history"][(donors, *index)].copy(),), donors)
    yield Change(
        (Slot("history", (slice(9, 12),)), Slot("history", (slice(2, 4),))),
        (base["history"][donors, 9:12], base["history"][donors, 2:4]),
        donors,
    )
    late = Slot("history", (slice(10, 12),))
    yield Change((Slot("numbers"), late), (base["numbers"][donors], base["history"][donors, 10:12]), donors)


def check(made, base, has_tail):
    whole = keras_predictor(made)
    branches = keras_predictor(made).fitted(base)
    assert set(branches.tails) == ({"history"} if has_tail else set())
    block, changes = branches.begin([base])[0], list(changes_of(base))
    for change, found in zip(changes, block.predict(iter(changes)), strict=True):
        expected = whole.call({**base, **change.on(base)})
        assert np.array_equal(found, expected), change.slots
        assert not np.array_equal(found, block.baseline), change.slots
    return branches


@pytest.mark.parametrize("name", FORWARDS)
def test_a_series_that_is_read_forwards_is_run_from_the_window_on(name):
    check(network(FORWARDS[name]), rows(), has_tail=True)


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_series_that_is_read_otherwise_is_run_as_a_whole(name):
    check(network(OTHERWISE[name]), rows(), has_tail=False)


def test_a_series_of_codes_is_run_from_the_window_on():
    check(codes(), rows(of_codes=True), has_tail=True)


def test_only_the_steps_from_the_window_on_are_run(monkeypatch):
    asked = []
    real = _tails.Tail.__call__

    def counted(self, given, states):
        asked.append(given.shape)
        return real(self, given, states)

    base = rows()
    branches = keras_predictor(network(FORWARDS["LSTM"])).fitted(base)
    block = branches.begin([base])[0]
    monkeypatch.setattr(_tails.Tail, "__call__", counted)
    changes = [change for change in changes_of(base) if change.inputs == ("history",)][:3]  # windows of 4 of 12 steps
    list(block.predict(iter(changes)))
    steps = [shape[1] for shape in asked]
    assert sorted(steps) == [4, 4, 4, 4, 8, 8]  # for each window: up to its edge, the rows as they are and as changed


def test_a_tail_that_gives_other_numbers_is_not_used(monkeypatch):
    real = _tails.Tail.__call__

    def off(self, given, states):
        border, after = real(self, given, states)
        return [[part + 1e-6 for part in each] for each in border], after

    monkeypatch.setattr(_tails.Tail, "__call__", off)
    check(network(FORWARDS["GRU"]), rows(), has_tail=False)
