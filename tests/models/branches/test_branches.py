"""Running a network by branches gives the whole network's numbers, bit for bit, and runs what it must and no more."""

import gc
import weakref
from functools import cache
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.branches._branch_block import BranchBlock, Together
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.keras.nodes import unfold
from nnperm_mlflow.models.stacking import Exactness

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


def deep_static():
    """Static inputs through a tower that dwarfs what comes behind it, where the history joins late."""
    given = [numbers(), code(), history()]
    tower = layers.Concatenate()([given[0], embedded(given[1])])
    for width in (128, 128, 8):
        tower = layers.Dense(width, activation="relu")(tower)
    read = layers.GRU(4)(given[2])
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([tower, read])))


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
    deep_static,
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


@cache
def network_of(make):
    """Return the one network of a kind that is shared by the tests that leave it as it is."""
    return build(make)


@cache
def branches_of(make):
    """Return that network, fitted: it is traced once for all tests."""
    return keras_predictor(network_of(make)).fitted(rows_for(network_of(make)))


@cache
def whole_of(make):
    """Return what calls that network as a whole."""
    return keras_predictor(network_of(make))


@pytest.mark.parametrize("make", [*BRANCHING, single_input])
def test_every_input_changed_alone_gives_the_whole_network_s_numbers_bit_for_bit(make):
    network, whole, branches = network_of(make), whole_of(make), branches_of(make)
    block_rows = rows_for(network)
    assert isinstance(branches, BranchPredictor)
    others = rows_for(network, seed=1)
    changes = [{name: others[name]} for name in others]
    block = branches.begin([block_rows])[0]
    assert np.array_equal(block.baseline, whole.call(block_rows))
    for change, found in zip(changes, block.predict(map(Change.of, changes)), strict=True):
        expected = whole.call({**block_rows, **change})
        assert np.array_equal(found, expected), list(change)
        assert not np.array_equal(found, block.baseline), list(change)


@pytest.mark.parametrize("make", BRANCHING)
def test_what_an_input_cannot_reach_is_reused(make):
    assert branches_of(make).reuses


@pytest.mark.parametrize("make", BRANCHING)
def test_stacked_changes_give_the_numbers_of_single_ones(make):
    network = network_of(make)
    block = branches_of(make).begin([rows_for(network)])[0]
    changes = [{name: values} for seed in range(1, 4) for name, values in rows_for(network, seed=seed).items()]
    changes.sort(key=list)
    alone = [next(block.predict(map(Change.of, [change]))) for change in changes]
    for found, expected in zip(block.predict(map(Change.of, changes)), alone, strict=True):
        assert np.array_equal(found, expected)


def test_inputs_that_are_changed_together_across_branches_give_the_whole_network_s_numbers():
    network = network_of(dict_inputs)
    base, others = rows_for(network), rows_for(network, seed=1)
    change = {"num_input": others["num_input"], "temporal_input": others["temporal_input"]}
    (found,) = branches_of(dict_inputs).begin([base])[0].predict(map(Change.of, [change]))
    assert np.array_equal(found, whole_of(dict_inputs).call({**base, **change}))


def test_nothing_is_reused_where_everything_is_reached():
    assert not branches_of(single_input).reuses


def test_what_is_run_again_is_told_by_the_graph_and_not_by_names():
    network = network_of(dict_inputs)
    graph = unfold(network)
    by_name = dict(zip([tensor.name for tensor in network.inputs], graph.inputs, strict=True))
    number, code_key, series = (by_name[name] for name in ("num_input", "code_input", "temporal_input"))
    assert {type(step.operation).__name__ for step in graph.own_steps(series)} == {"LSTM"}
    assert {type(step.operation).__name__ for step in graph.own_steps(code_key)} == {"Embedding", "Flatten"}
    assert not graph.own_steps(number)
    assert {type(step.operation).__name__ for step in graph.joint_steps([number])} == {"Concatenate", "Dense"}
    assert graph.frontier([number]) == (*graph.border(code_key), *graph.border(series))


def test_inputs_whose_suffixes_are_nearly_the_same_share_one_and_others_do_not():
    branches = branches_of(deep_static)
    assert branches.cluster_for(["num_input"]) == branches.cluster_for(["code_input"]) == branches.every
    assert branches.cluster_for(["temporal_input"]) == ("temporal_input",)
    assert branches.cluster_for(["temporal_input", "code_input"]) == branches.every
    cheap = branches_of(dict_inputs)
    assert {cheap.cluster_for([name]) for name in cheap.every} == {cheap.every}


def test_each_function_is_traced_once_whatever_the_number_of_rows_and_of_changes():
    network = build(deep_static)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    for n_rows in (96, 50, 7, 1):
        rows = {name: values[:n_rows] for name, values in base.items()}
        changes = [{"num_input": rows["num_input"]}] * 3 + [{"temporal_input": rows["temporal_input"]}] * 2
        list(branches.begin([rows])[0].predict(map(Change.of, changes)))
    traces = {name: own._function.n_traces for name, own in branches.own.items()}
    assert traces == {"num_input": 0, "code_input": 0, "temporal_input": 1}  # an LSTM; lookups are few and not traced
    assert [joint._function.n_traces for joint in branches.joint.values()] == [1, 1]


def test_steps_that_only_move_numbers_are_traced_once_they_are_called_often():
    network = build(deep_static)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    blocks = [branches.begin([base])[0] for _ in range(40)]
    assert branches.own["code_input"]._function.n_traces == 1
    assert all(np.array_equal(block.baseline, blocks[0].baseline) for block in blocks)


ENDS = "nnperm_mlflow.models.branches.branch_predictor.ends_round_alike"


def test_small_blocks_are_stacked_and_large_ones_are_not(monkeypatch):
    monkeypatch.setattr(ENDS, lambda *_: True)  # as on processors that round each row by itself
    network = network_of(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    monkeypatch.setattr(Exactness, "holds", tried := mock.Mock(return_value=True))
    called = []
    real = BranchBlock.call
    monkeypatch.setattr(
        BranchBlock, "call", lambda self, kind, changes: called.append(len(changes)) or real(self, kind, changes)
    )
    for _ in range(2):
        list(branches.begin([base])[0].predict(map(Change.of, [{"num_input": base["num_input"]}] * 10)))
    assert called == [10, 10]
    assert [each.args[1] for each in tried.call_args_list] == [10, 10]  # each block is tried out for itself
    called.clear()
    large = {name: np.repeat(values, 200, axis=0) for name, values in base.items()}
    list(branches.begin([large])[0].predict(map(Change.of, [{"num_input": large["num_input"]}] * 3)))
    assert called == [1, 1, 1]


def test_where_a_processor_rounds_the_ends_of_calls_otherwise_each_change_has_a_call_of_its_own(monkeypatch):
    monkeypatch.setattr(ENDS, lambda *_: False)
    rows = rows_for(network_of(dict_inputs))
    block = keras_predictor(network_of(dict_inputs)).fitted(rows).begin([rows])[0]
    called, real = [], BranchBlock.call
    monkeypatch.setattr(
        BranchBlock, "call", lambda self, kind, changes: called.append(len(changes)) or real(self, kind, changes)
    )
    same = Change.of({"num_input": rows["num_input"]})
    assert all(np.array_equal(each, block.baseline) for each in block.predict([same] * 3))
    assert set(called) == {1}


def test_a_network_whose_rows_mix_is_called_as_a_whole_one_change_at_a_time(caplog):
    given = [numbers(), history()]
    centred = given[0] - keras.ops.mean(given[0], axis=0, keepdims=True)
    network = keras.Model(given, layers.Dense(1)(layers.Concatenate()([centred, layers.LSTM(4)(given[1])])))
    base = rows_for(network)
    predictor = keras_predictor(network).fitted(base)
    assert not predictor.reuses
    assert "depends on the rows beside it" in caplog.text
    assert predictor.begin([base])[0].most_rows("whole") == 0


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
    (found,) = predictor.begin([base])[0].predict(map(Change.of, [{"a": base["b"]}]))
    assert np.allclose(found, network({"a": base["b"], "b": base["b"]}), atol=1e-6)


def test_a_suffix_that_gives_other_numbers_is_not_used(monkeypatch):
    network = build(deep_static)
    base = rows_for(network)
    real = BranchBlock.call

    def off_in_the_suffix(self, kind, changes):
        return real(self, kind, changes) + np.float32(1e-6 if kind.cluster == ("temporal_input",) else 0)

    monkeypatch.setattr(BranchBlock, "call", off_in_the_suffix)
    branches = keras_predictor(network).fitted(base)
    assert branches.cluster_for(["temporal_input"]) == branches.every
    change = {"temporal_input": base["temporal_input"][::-1]}
    (found,) = branches.begin([base])[0].predict(map(Change.of, [change]))
    assert np.array_equal(found, keras_predictor(network).call({**base, **change}))


def test_the_change_that_makes_a_stacked_call_fail_is_the_one_that_fails():
    network = network_of(dict_inputs)
    base = rows_for(network)
    block = branches_of(dict_inputs).begin([base])[0]
    good, bad = {"code_input": base["code_input"]}, {"code_input": np.full_like(base["code_input"], 99)}
    found = block.predict(map(Change.of, [good, good, bad]))
    assert np.array_equal(next(found), block.baseline)
    assert np.array_equal(next(found), block.baseline)
    with pytest.raises(PredictionError):
        next(found)


def test_rows_that_mix_are_found_out_however_small_the_predictions_are():
    given = numbers()
    centred = given - keras.ops.mean(given, axis=0, keepdims=True)
    network = keras.Model(given, layers.Rescaling(1e-5)(layers.Dense(1)(centred)))
    predictor = keras_predictor(network).fitted(rows_for(network))
    assert predictor.begin([rows_for(network)])[0].most_rows("whole") == 0


def wide():
    given = [numbers(width=1500), history()]
    hidden = layers.Dense(64, activation="relu")(given[0])
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([hidden, layers.LSTM(4)(given[1])])))


@pytest.mark.parametrize("n_rows", [700, 333, 1])
def test_rows_that_stay_as_they_are_keep_their_prediction_to_the_last_bit_in_any_stack(n_rows):
    """A wide matrix product rounds a row otherwise in a larger batch; such a call is not used."""
    network = network_of(wide)
    base = rows_for(network, n_rows)
    block = branches_of(wide).begin([base])[0]
    same = {"num_input": base["num_input"].copy()}
    for found in block.predict(map(Change.of, [same] * 5)):
        assert np.array_equal(found, block.baseline)


def test_a_call_that_does_not_give_the_baseline_is_made_alone(monkeypatch):
    network = network_of(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    real = BranchBlock.call

    def rounds_in_stacks(self, kind, changes):
        return real(self, kind, changes) + np.float32(len(changes) > 1)

    monkeypatch.setattr(BranchBlock, "call", rounds_in_stacks)
    block = branches.begin([base])[0]
    for found in block.predict(map(Change.of, [{"num_input": base["num_input"].copy()}] * 5)):
        assert np.array_equal(found, block.baseline)


def test_a_network_that_computes_nothing_is_run_all_the_same():
    given = numbers(width=1)
    base = {"num_input": np.arange(10, dtype="float32")[:, None]}
    block = keras_predictor(keras.Model(given, given)).fitted(base).begin([base])[0]
    (found,) = block.predict(map(Change.of, [{"num_input": base["num_input"][::-1]}]))
    assert np.array_equal(found, base["num_input"][::-1])


def test_predictions_that_are_the_input_itself_stay_when_the_next_change_is_made():
    """Changes are written into the same memory one after the other; what was predicted before must not lie there."""
    given = numbers(width=3)
    rows = np.random.default_rng(3).normal(size=(2_000, 3)).astype(np.float32)
    block = keras_predictor(keras.Model(given, given)).fitted({"num_input": rows}).begin([{"num_input": rows}])[0]
    values = np.random.default_rng(4).normal(size=(40, 2_000)).astype(np.float32)
    changes = [Change((Slot("num_input", (number % 3,)),), (held,)) for number, held in enumerate(values)]
    for number, found in enumerate(list(block.predict(changes))):
        expected = rows.copy()
        expected[:, number % 3] = values[number]
        assert np.array_equal(found, expected)


def one_channel():
    given = [numbers(), code(), history(channels=1)]
    joined = [given[0], embedded(given[1]), layers.LSTM(8)(given[2])]
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()(joined)))


def donated(rows, names, donors):
    """Return the change in which whole inputs of a part's rows come from donors among all rows."""
    return Change(tuple(Slot(name) for name in names), tuple(rows[name][donors] for name in names), donors)


def spied(monkeypatch):
    """Return a list that is told the inputs of every call of own steps."""
    ran, real = [], BranchPredictor.run_own
    monkeypatch.setattr(
        BranchPredictor, "run_own", lambda self, name, *given: ran.append(name) or real(self, name, *given)
    )
    return ran


@pytest.mark.parametrize("names", [["code_input"], ["temporal_input"], ["code_input", "temporal_input"]])
def test_whole_inputs_of_donors_are_not_run_again_wherever_the_donors_are(names, monkeypatch):
    network = network_of(one_channel)
    rows = rows_for(network)
    branches = branches_of(one_channel)
    parts = [slice(0, 40), slice(40, 80), slice(80, N_ROWS)]
    blocks = branches.begin([{name: array[part] for name, array in rows.items()} for part in parts])
    shuffles = [np.random.default_rng(seed).permutation(N_ROWS).astype(np.uint16) for seed in range(3)]
    for _ in range(2):
        ran = spied(monkeypatch)
        for part, block in zip(parts, blocks, strict=True):
            found = list(block.predict([donated(rows, names, donors[part]) for donors in shuffles]))
            for predicted, donors in zip(found, shuffles, strict=True):
                expected = whole_of(one_channel).call({**rows, **{name: rows[name][donors] for name in names}})
                assert np.array_equal(predicted, expected[part])
    assert (
        ran == []
    )  # the first time each was run once for each size of a part, turned, to see that order means nothing


def audited(network, rows):
    """Audit a network on made-up rows; return the deviations by perturbation in the order of the rows."""
    predictor, n_rows = keras_predictor(network), len(rows["num_input"])
    table = pd.DataFrame(rows["num_input"], columns=["a", "b", "c"]).assign(code=rows["code_input"][:, 0])
    series = Series(("PAY",), rows["temporal_input"], channel_axis=2)
    inputs = bind_inputs(predictor.inputs, dataset_from(table, {"history": series}), {"num_input": ["a", "b", "c"]})
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(groups={"both": ["code", "PAY"]}))
    fitted = predictor.fitted(inputs.read(probe_rows(n_rows)))
    results = list(run_blocks(Job(fitted, inputs, perturbations, choose_measure(None, 1, ()), ""), block_rows=50))
    order = np.argsort(np.concatenate([result.rows for result in results]))
    return np.concatenate([result.deviations[0] for result in results], axis=1)[:, order]


@pytest.mark.parametrize("shuffle_block_rows", [65_536, 110])
@pytest.mark.parametrize("limit", ["inputs.row_cache.HELD_BYTES", "analysis.engine.job._KEPT_BYTES"])
def test_what_is_held_and_kept_of_rows_changes_no_number(limit, shuffle_block_rows, monkeypatch):
    """Parts of 41 and 37 rows, or of 50 and 51: the last is smaller, and donors stand in other parts."""
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", shuffle_block_rows)
    network, rows = build(one_channel), rows_for(build(one_channel), n_rows=201)
    found = audited(network, rows)
    assert (found.max(axis=1) > 0).all()
    monkeypatch.setattr(f"nnperm_mlflow.{limit}", 0)
    np.testing.assert_allclose(audited(network, rows), found, rtol=0, atol=1e-6)  # some processors round otherwise


@pytest.mark.parametrize("n_rows", [41, 50, 67, 88, 101])
def test_a_block_has_the_same_bits_whichever_blocks_came_before_it(n_rows):
    """Many processors round the last rows of a call otherwise, and some rows show it where others do not."""
    network = build(one_channel)
    first, second = (rows_for(network, n_rows, seed) for seed in (1, 2))
    found = []
    for earlier in ([], [first]):
        predictor = keras_predictor(network).fitted(rows_for(network))
        for rows in (*earlier, second):
            block, donors = predictor.begin([rows])[0], np.random.default_rng(0).permutation(n_rows)
            changes = [Change((Slot("num_input", (0,)),), (rows["num_input"][donors, 0],))] * 7
            changes += [donated(rows, ["temporal_input"], donors)] * 5
            predicted = np.stack(list(block.predict(changes)))
        found.append(predicted)
    assert np.array_equal(*found)


def test_a_block_leaves_memory_as_soon_as_it_is_done(monkeypatch):
    """Blocks hold tensors that the garbage collector does not see the size of, so none may wait for it."""
    begun, real = [], BranchPredictor.begin

    def begin(self, parts):
        blocks = real(self, parts)
        begun.extend(map(weakref.ref, blocks))
        return blocks

    monkeypatch.setattr(BranchPredictor, "begin", begin)
    gc.collect()
    gc.disable()
    try:
        audited(build(one_channel), rows_for(build(one_channel), 201))
        assert [block() for block in begun] == [None] * len(begun)
    finally:
        gc.enable()
    assert begun


def test_a_predict_that_is_not_run_to_its_end_leaves_nothing_behind():
    network = network_of(dict_inputs)
    base = rows_for(network)
    block = branches_of(dict_inputs).begin([base])[0]
    found = block.predict(map(Change.of, [{"num_input": base["num_input"]}] * 7))
    next(found)
    assert block._repeated
    found.close()
    assert not block._repeated


def test_a_trial_that_fails_leads_to_calls_of_single_changes(monkeypatch):
    network = network_of(dict_inputs)
    base = rows_for(network)
    branches = keras_predictor(network).fitted(base)
    real = BranchBlock.call

    def fits_one(self, kind, changes):
        if len(changes) > 1:
            raise PredictionError("out of memory")
        return real(self, kind, changes)

    monkeypatch.setattr(BranchBlock, "call", fits_one)
    block = branches.begin([base])[0]
    for found in block.predict(map(Change.of, [{"num_input": base["num_input"].copy()}] * 5)):
        assert np.array_equal(found, block.baseline)


def test_all_channels_together_are_a_whole_input_and_some_are_not(monkeypatch):
    network = network_of(dict_inputs)
    rows = rows_for(network)
    branches = branches_of(dict_inputs)
    donors = np.random.default_rng(0).permutation(N_ROWS)
    slots = [Slot("temporal_input", (slice(None), channel)) for channel in range(2)]
    values = [rows["temporal_input"][donors][:, :, channel] for channel in range(2)]
    block = branches.begin([rows])[0]
    for together, n_run in ((2, 0), (1, 1)):
        change = Change(tuple(slots[:together]), tuple(values[:together]), donors)
        list(block.predict([change]))
        ran = spied(monkeypatch)
        (found,) = block.predict([change])
        assert ran == ["temporal_input"] * n_run
        assert np.array_equal(found, whole_of(dict_inputs).call({**rows, **change.on(rows)}))


def test_a_network_of_one_input_predicts_for_a_donor_what_it_predicted_before():
    network = network_of(single_input)
    rows = rows_for(network)
    block = branches_of(single_input).begin([rows])[0]
    donors = np.arange(N_ROWS)[::-1]
    (found,) = block.predict([donated(rows, ["temporal_input"], donors)])
    assert np.array_equal(found, block.baseline[donors])


def test_an_input_that_the_network_does_not_use_changes_nothing():
    given = [numbers(), code(), history()]
    network = keras.Model(given, layers.Dense(1)(layers.Concatenate()([embedded(given[1]), layers.LSTM(4)(given[2])])))
    rows = rows_for(network)
    block = keras_predictor(network).fitted(rows).begin([rows])[0]
    donors = np.random.default_rng(0).permutation(N_ROWS)
    number = Change((Slot("num_input", (1,)),), (rows["num_input"][donors, 1],), donors)
    for change in (number, donated(rows, ["num_input"], donors)):
        (found,) = block.predict([change])
        assert np.array_equal(found, block.baseline)
    (found,) = block.predict([donated(rows, ["num_input", "code_input"], donors)])
    assert np.array_equal(found, keras_predictor(network).call({**rows, "code_input": rows["code_input"][donors]}))


def test_a_border_that_depends_on_the_order_of_rows_is_run_again(monkeypatch):
    network = network_of(one_channel)
    rows = rows_for(network)
    branches = branches_of(one_channel)
    monkeypatch.setattr(Together, "keeps_border", lambda *_: False)
    donors = np.random.default_rng(0).permutation(N_ROWS)
    ran = spied(monkeypatch)
    (found,) = branches.begin([rows])[0].predict([donated(rows, ["temporal_input"], donors)])
    assert ran == ["temporal_input"]
    assert np.array_equal(found, whole_of(one_channel).call({**rows, "temporal_input": rows["temporal_input"][donors]}))
