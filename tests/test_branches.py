"""Running a network by branches gives the whole network's numbers, bit for bit, and runs what it must and no more."""

import keras
import numpy as np
import pytest

from nnperm_mlflow.models.branches import BranchPredictor
from nnperm_mlflow.models.graph import unfold
from nnperm_mlflow.models.keras_network import keras_predictor

N_ROWS = 96
layers = keras.layers


def numbers(name="num_input", width=3):
    return keras.Input((width,), name=name)


def code(name="code_input"):
    return keras.Input((1,), name=name, dtype="int32")


def history(name="temporal_input", steps=5, channels=2):
    return keras.Input((steps, channels), name=name)


def embedded(tensor):
    return layers.Flatten()(layers.Embedding(5, 2)(tensor))


def dict_inputs():
    given = {"num_input": numbers(), "code_input": code(), "temporal_input": history()}
    joined = [given["num_input"], embedded(given["code_input"]), layers.LSTM(16)(given["temporal_input"])]
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()(joined)))


def list_inputs():
    given = [history(), numbers(), code()]
    joined = [layers.GRU(16)(given[0]), given[1], embedded(given[2])]
    return keras.Model(given, layers.Dense(1, activation="sigmoid")(layers.Concatenate()(joined)))


def single_input():
    given = history()
    return keras.Model(given, layers.Dense(1)(layers.LSTM(4)(given)))


def nested():
    inner_history, inner_numbers = history("inner_history"), numbers("inner_numbers")
    inner = keras.Model(
        [inner_history, inner_numbers], [layers.LSTM(16)(inner_history), layers.Dense(4)(inner_numbers)]
    )
    given = [history(), numbers(), code()]
    read, dense = inner(given[:2])
    tail = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)])
    return keras.Model(given, tail(layers.Concatenate()([read, dense, embedded(given[2])])))


def nested_twice():
    inner_history = history("inner")
    inner = keras.Model(inner_history, layers.LSTM(16)(inner_history))
    given = [history("first_input"), history("second_input"), numbers()]
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([inner(given[0]), inner(given[1]), given[2]])))


def shared_layers():
    given = [code("a_input"), code("b_input"), history()]
    shared, tower = layers.Embedding(5, 3), layers.Dense(4, activation="tanh")
    joined = [
        tower(layers.Flatten()(shared(given[0]))),
        tower(layers.Flatten()(shared(given[1]))),
        layers.LSTM(16)(given[2]),
    ]
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()(joined)))


def several_outputs():
    given = [numbers(), history()]
    read = layers.LSTM(16)(given[1])
    return keras.Model(
        given, {"risk": layers.Dense(1)(layers.Concatenate()([given[0], read])), "trend": layers.Dense(2)(read)}
    )


def masked_on_the_frontier():
    given = [code("numbers_input"), history(steps=6, channels=1)]
    read = layers.LSTM(16, return_sequences=True)(layers.Masking()(given[1]))
    joined = layers.Concatenate()([read, layers.RepeatVector(6)(embedded(given[0]))])
    return keras.Model(given, layers.Dense(1)(layers.LSTM(2)(joined)))


def residual_with_normalization_and_dropout():
    given = [numbers(width=4), history()]
    normal = layers.BatchNormalization()(given[0])
    hidden = layers.Dropout(0.5)(layers.Dense(4, activation="relu")(normal))
    together = layers.Add()([hidden, given[0]])
    read = layers.Bidirectional(layers.LSTM(8))(given[1])
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([together, read])))


def attention():
    given = [numbers(), history(steps=6, channels=4)]
    seen = layers.MultiHeadAttention(2, 8)(given[1], given[1])
    read = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([seen, given[1]])))
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([given[0], read])))


def operations_without_layers():
    given = [numbers(width=2), history()]
    read = layers.LSTM(16)(given[1])
    return keras.Model(given, keras.ops.sigmoid(keras.ops.sum(given[0], axis=1, keepdims=True) + read[:, :1] * 2.0))


BRANCHING = [
    dict_inputs,
    list_inputs,
    nested,
    nested_twice,
    shared_layers,
    several_outputs,
    masked_on_the_frontier,
    residual_with_normalization_and_dropout,
    attention,
    operations_without_layers,
]


def rows_for(network, n_rows=N_ROWS, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for tensor in network.inputs:
        shape = (n_rows, *tensor.shape[1:])
        values = rng.integers(0, 5, shape) if tensor.dtype == "int32" else rng.normal(size=shape).round(1)
        made[tensor.name] = values.astype(tensor.dtype)
    if "temporal_input" in made:
        made["temporal_input"][::3, :2] = 0  # steps for a mask to hide
    return made


def build(make):
    keras.utils.set_random_seed(4)
    return make()


@pytest.mark.parametrize("make", [*BRANCHING, single_input])
def test_every_input_changed_alone_gives_the_whole_network_s_numbers_bit_for_bit(make):
    network = build(make)
    whole, block_rows = keras_predictor(network), rows_for(network)
    branches = keras_predictor(network).fitted(block_rows)
    assert isinstance(branches, BranchPredictor)
    others = rows_for(network, seed=1)
    changes = [{name: others[name]} for name in others]
    block = branches.begin(block_rows)
    assert np.array_equal(block.baseline, whole.call(block_rows))
    for change, found in zip(changes, block.predict(changes), strict=True):
        expected = whole.call({**block_rows, **change})
        assert np.array_equal(found, expected), list(change)
        assert not np.array_equal(found, block.baseline), list(change)


@pytest.mark.parametrize("make", BRANCHING)
def test_what_an_input_cannot_reach_is_reused(make):
    network = build(make)
    branches = keras_predictor(network).fitted(rows_for(network))
    assert branches.reuses


@pytest.mark.parametrize("make", BRANCHING)
def test_stacked_changes_give_the_numbers_of_single_ones(make):
    network = build(make)
    base = rows_for(network)
    block = keras_predictor(network).fitted(base).begin(base)
    changes = [{name: values} for seed in range(1, 4) for name, values in rows_for(network, seed=seed).items()]
    changes.sort(key=list)
    alone = [next(block.predict([change])) for change in changes]
    for found, expected in zip(block.predict(changes), alone, strict=True):
        assert np.array_equal(found, expected)


def test_inputs_that_are_changed_together_across_branches_give_the_whole_network_s_numbers():
    network = build(dict_inputs)
    base, others = rows_for(network), rows_for(network, seed=1)
    change = {"num_input": others["num_input"], "temporal_input": others["temporal_input"]}
    (found,) = keras_predictor(network).fitted(base).begin(base).predict([change])
    assert np.array_equal(found, keras_predictor(network).call({**base, **change}))


def test_nothing_is_reused_where_everything_is_reached():
    network = build(single_input)
    assert not keras_predictor(network).fitted(rows_for(network)).reuses


def test_static_inputs_share_a_suffix_that_leaves_the_recurrent_branch_out():
    network = build(dict_inputs)
    graph = unfold(network)
    branches = keras_predictor(network).fitted(rows_for(network))
    static = branches.suffix_for(["num_input"])
    assert static == branches.suffix_for(["code_input"])
    assert {step.operation.name for step in graph.reached_from(static)}.isdisjoint({"lstm"})


def test_each_function_is_traced_once_whatever_the_number_of_rows_and_of_changes():
    network = build(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    for n_rows in (96, 50, 7, 1):
        rows = {name: values[:n_rows] for name, values in base.items()}
        block = branches.begin(rows)
        list(block.predict([{"num_input": rows["num_input"]}] * 3 + [{"temporal_input": rows["temporal_input"]}] * 2))
    assert branches._whole.experimental_get_tracing_count() == 1
    assert [suffix.experimental_get_tracing_count() for suffix in branches._suffixes.values()] == [1]


def test_small_blocks_are_stacked_and_large_ones_are_not(monkeypatch):
    network = build(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    called = []
    real = BranchPredictor.run_suffix
    monkeypatch.setattr(
        BranchPredictor, "run_suffix", lambda self, *given: called.append(given[3]) or real(self, *given)
    )
    for _ in range(2):
        list(branches.begin(base).predict([{"num_input": base["num_input"]}] * 10))
    assert called == [10, 10, 10]  # two blocks, and once the rows as they are, to see that ten copies give the baseline
    called.clear()
    large = {name: np.repeat(values, 200, axis=0) for name, values in base.items()}
    list(branches.begin(large).predict([{"num_input": large["num_input"]}] * 3))
    assert called == [1, 1, 1, 1]


def test_a_network_whose_rows_mix_is_called_as_a_whole_one_change_at_a_time(caplog):
    given = [numbers(), history()]
    centred = given[0] - keras.ops.mean(given[0], axis=0, keepdims=True)
    network = keras.Model(given, layers.Dense(1)(layers.Concatenate()([centred, layers.LSTM(4)(given[1])])))
    base = rows_for(network)
    predictor = keras_predictor(network).fitted(base)
    assert not predictor.reuses
    assert "depends on the rows beside it" in caplog.text
    block = predictor.begin(base)
    assert block.most_rows == 0


class ByHand(keras.Model):
    """A network without a graph."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, given):
        return self.dense(keras.ops.concatenate([given["a"], given["b"]], axis=1))


def test_a_network_without_a_graph_is_called_as_a_whole(caplog):
    caplog.set_level("INFO")
    network = ByHand()
    base = {name: np.random.default_rng(0).normal(size=(20, 2)).astype("float32") for name in "ab"}
    network(base)
    from nnperm_mlflow.inputs.specs import InputSpec

    specs = [InputSpec(name, (2,), np.dtype("float32")) for name in "ab"]
    predictor = keras_predictor(network, specs).fitted(base)
    assert not predictor.reuses
    assert "no graph" in caplog.text
    (found,) = predictor.begin(base).predict([{"a": base["b"]}])
    assert np.allclose(found, network({"a": base["b"], "b": base["b"]}), atol=1e-6)


def test_a_suffix_that_gives_other_numbers_is_not_used(monkeypatch):
    network = build(dict_inputs)
    base = rows_for(network)
    real = BranchPredictor.run_suffix
    monkeypatch.setattr(BranchPredictor, "run_suffix", lambda self, *given: real(self, *given) + np.float32(1e-6))
    branches = keras_predictor(network).fitted(base)
    assert not branches.reuses
    change = {"num_input": base["num_input"][::-1]}
    (found,) = branches.begin(base).predict([change])
    assert np.array_equal(found, keras_predictor(network).call({**base, **change}))


def test_the_change_that_makes_a_stacked_call_fail_is_the_one_that_fails():
    from nnperm_mlflow.errors import PredictionError

    network = build(dict_inputs)
    base = rows_for(network)
    block = keras_predictor(network).fitted(base).begin(base)
    good, bad = {"code_input": base["code_input"]}, {"code_input": np.full_like(base["code_input"], 99)}
    found = block.predict([good, good, bad])
    assert np.array_equal(next(found), block.baseline)
    assert np.array_equal(next(found), block.baseline)
    with pytest.raises(PredictionError):
        next(found)


def test_rows_that_mix_are_found_out_however_small_the_predictions_are():
    given = numbers()
    centred = given - keras.ops.mean(given, axis=0, keepdims=True)
    network = keras.Model(given, layers.Rescaling(1e-5)(layers.Dense(1)(centred)))
    predictor = keras_predictor(network).fitted(rows_for(network))
    assert predictor.begin(rows_for(network)).most_rows == 0


def wide():
    given = [numbers(width=1500), history()]
    hidden = layers.Dense(64, activation="relu")(given[0])
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([hidden, layers.LSTM(4)(given[1])])))


@pytest.mark.parametrize("n_rows", [700, 333, 1])
def test_rows_that_stay_as_they_are_keep_their_prediction_to_the_last_bit_in_any_stack(n_rows):
    """A wide matrix product rounds a row otherwise in a larger batch; such a call is not used."""
    network = build(wide)
    base = rows_for(network, n_rows)
    block = keras_predictor(network).fitted(rows_for(network, 64)).begin(base)
    same = {"num_input": base["num_input"].copy()}
    for found in block.predict([same] * 5):
        assert np.array_equal(found, block.baseline)


def test_a_call_that_does_not_give_the_baseline_is_made_alone(monkeypatch):
    network = build(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    real = BranchPredictor.run_suffix

    def rounds_in_stacks(self, cluster, changed, kept, copies):
        return real(self, cluster, changed, kept, copies) + np.float32(copies > 1)

    monkeypatch.setattr(BranchPredictor, "run_suffix", rounds_in_stacks)
    block = branches.begin(base)
    for found in block.predict([{"num_input": base["num_input"].copy()}] * 5):
        assert np.array_equal(found, block.baseline)


def test_a_network_that_computes_nothing_is_run_all_the_same():
    given = numbers(width=1)
    base = {"num_input": np.arange(10, dtype="float32")[:, None]}
    block = keras_predictor(keras.Model(given, given)).fitted(base).begin(base)
    (found,) = block.predict([{"num_input": base["num_input"][::-1]}])
    assert np.array_equal(found, base["num_input"][::-1])
