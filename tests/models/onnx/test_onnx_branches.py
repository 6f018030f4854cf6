"""ONNX models run by branches: each change gives, to the last bit, what a session of the whole model gives."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from nnperm_mlflow.models.branches.columns import ColumnPredictor
from nnperm_mlflow.models.onnx.interface import input_specs
from nnperm_mlflow.models.onnx.network_predictor import OnnxPredictor
from nnperm_mlflow.models.onnx.nodes import unfold
from nnperm_mlflow.models.onnx.sessions import optimized, served_options
from tests.support.onnx_models import FLOAT, INT64, exported_network, model_of, network_rows, save, served
from tests.support.stored import load

ROWS = network_rows(300)


@pytest.fixture(scope="module", params=["dynamo", "torchscript"])
def network(request, tmp_path_factory):
    """The exported network as it stands in a store, fitted, and its file."""
    model = exported_network(request.param)
    path = save(model, tmp_path_factory.mktemp(request.param) / "model")
    return model, load(path).fitted(network_rows(64, seed=9))


def fitted(model, rows, tmp_path):
    return load(save(model, tmp_path / "model")).fitted(rows)


def shuffled(rows, *slots, seed=1):
    """Return the change that gives some slots the values of other rows."""
    donors = np.random.default_rng(seed).permutation(len(next(iter(rows.values()))))
    values = tuple(rows[slot.input][donors][(slice(None), *slot.index)] for slot in slots)
    return Change(slots, values, donors)


def whole(model, rows, change):
    (expected, *_) = served(model, {**rows, **change.on(rows)}).values()
    return expected.reshape(len(expected), -1)


CHANGES = {
    "number": (Slot("numbers", (3,)),),
    "numbers": (Slot("numbers"),),
    "code": (Slot("codes", (2,)),),
    "codes": (Slot("codes"),),
    "channel": (Slot("history", (slice(None), 1)),),
    "window": (Slot("history", (slice(2, 4), 1)),),
    "history": (Slot("history"),),
    "code and number": (Slot("codes", (0,)), Slot("numbers", (4,))),
    "all kinds": (Slot("codes", (1,)), Slot("numbers", (0,)), Slot("history", (slice(None), 2))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_gives_what_the_whole_model_gives(network, what):
    model, predictor = network
    change = shuffled(ROWS, *CHANGES[what])
    (found,) = predictor.begin([ROWS])[0].predict([change])
    assert np.array_equal(found, whole(model, ROWS, change))
    assert not np.array_equal(found, predictor.begin([ROWS])[0].baseline)


def test_rows_in_parts_have_their_donors_in_each_other(network):
    """Borders come from the donors, in whichever part they stand."""
    model, predictor = network
    parts = [{name: array[:170] for name, array in ROWS.items()}, {name: array[170:] for name, array in ROWS.items()}]
    change = shuffled(ROWS, *CHANGES["code"])
    own = [
        Change(change.slots, (change.values[0][rows],), change.donors[rows]) for rows in (slice(170), slice(170, None))
    ]
    blocks = predictor.begin(parts)
    found = [next(block.predict([part])) for block, part in zip(blocks, own, strict=True)]
    assert np.array_equal(np.concatenate(found), whole(model, ROWS, change))


def test_the_baseline_is_that_of_the_whole_model(network):
    model, predictor = network
    assert np.array_equal(predictor.begin([ROWS])[0].baseline, *served(model, ROWS).values())


def test_a_number_or_a_code_does_not_run_the_history_again(network):
    _, predictor = network
    assert isinstance(predictor, ColumnPredictor)
    assert predictor.reuses
    assert predictor.shares["numbers"] < 0.3
    assert predictor.shares["codes"] < 0.3
    assert predictor.shares["history"] > 0.7


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_shape_of_a_tensor_carries_no_value(exporter):
    """The state that an LSTM begins with hangs on how many rows there are."""
    model = exported_network(exporter)
    graph = unfold(optimized(model, served_options({})), input_specs(model, "the network"), ROWS)
    origins = graph.steps.origins
    (lstm,) = [step for step in graph.steps.steps if step.node.op_type == "LSTM"]
    assert origins[lstm.gives[0]] == {"history"}
    assert any(not origins[name] for name in lstm.takes)
    codes = [name for name in graph.steps.inputs if name.startswith("codes")]
    assert codes == ["codes[0:1]", "codes[1:2]", "codes[2:3]", "codes[3:4]"]


def test_the_shape_of_what_hangs_on_values_carries_them(tmp_path):
    """How many numbers of a row are no zeros: the length of what NonZero gives."""
    nodes = [
        helper.make_node("NonZero", ["z"], ["places"]),
        helper.make_node("Shape", ["places"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=FLOAT),
        helper.make_node("ReduceMax", ["sizes"], ["count"], keepdims=0),
        helper.make_node("Mul", ["x", "count"], ["y"]),
    ]
    model = model_of(nodes, [("x", FLOAT, [2]), ("z", FLOAT, [2])], [("y", FLOAT, [2])], opset=13)
    graph = unfold(model, input_specs(model, "the model"), {"x": np.ones((5, 2), "f4"), "z": np.ones((5, 2), "f4")})
    assert graph.steps.origins["y"] == {"x", "z"}
    assert graph.sizes == {}


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_one_tensor_that_holds_everything_is_cut_where_the_graph_cuts_it(tmp_path, opset):
    """Numbers in front, codes behind; each code is looked up by itself, and both meet in a product."""
    rng = np.random.default_rng(0)
    tables = {f"table{code}": rng.normal(size=(5, 4)).astype("float32") for code in range(2)}
    weights = {**tables, "kernel": rng.normal(size=(3, 4)).astype("float32")}

    def sliced(source, start, stop, result):
        if opset < 10:
            return helper.make_node("Slice", [source], [result], axes=[1], starts=[start], ends=[stop])
        for name, value in {"starts": start, "ends": stop, "axes": 1}.items():
            weights[f"{result}_{name}"] = np.array([value])
        return helper.make_node(
            "Slice", [source, *(f"{result}_{name}" for name in ("starts", "ends", "axes"))], [result]
        )

    weights |= {"first": np.array(0), "last": np.array(-1)}
    nodes = [
        sliced("x", 0, 3, "numbers"),
        sliced("x", 3, 5, "floats"),
        helper.make_node("Cast", ["floats"], ["codes"], to=INT64),
        helper.make_node("Gather", ["codes", "first"], ["code0"], axis=1),
        helper.make_node("Gather", ["codes", "last"], ["code1"], axis=1),
        helper.make_node("Gather", ["table0", "code0"], ["looked0"]),
        helper.make_node("Gather", ["table1", "code1"], ["looked1"]),
        helper.make_node("MatMul", ["numbers", "kernel"], ["dense"]),
        helper.make_node("Tanh", ["dense"], ["bent"]),
        helper.make_node("Mul", ["looked0", "looked1"], ["both"]),
        helper.make_node("Mul", ["both", "bent"], ["y"]),
    ]
    model = model_of(nodes, [("x", FLOAT, [5])], [("y", FLOAT, [4])], weights, opset=opset)
    rows = {"x": np.hstack([rng.normal(size=(50, 3)), rng.integers(0, 5, (50, 2))]).astype("float32")}
    predictor = fitted(model, rows, tmp_path)
    graph = unfold(optimized(model, served_options({})), input_specs(model, "the model"), rows)
    assert graph.steps.inputs == ("x[0:3]", "x[3:4]", "x[4:5]")
    assert isinstance(predictor, ColumnPredictor)
    for column in range(5):
        change = shuffled(rows, Slot("x", (column,)))
        (found,) = predictor.begin([rows])[0].predict([change])
        assert np.array_equal(found, whole(model, rows, change)), column
        assert not np.array_equal(found, predictor.begin([rows])[0].baseline)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_columns_a_graph_picks_a_change_gives_what_the_whole_model_gives(tmp_path, seed):
    """Slices, splits and picks at random places, of each other too, some through a cast, some of them overlapping."""
    rng = np.random.default_rng(seed)
    width, weights, nodes = 8, {}, []
    known, ends = [("x", width)], []

    def weight(*numbers):
        weights[name := f"w{len(weights)}"] = np.array(numbers)
        return name

    for place in range(9):
        source, n_columns = known[rng.integers(len(known))]
        kind = rng.choice(["Slice", "Split", "Gather", "Cast"]) if n_columns > 1 else "Cast"
        names = [f"t{place}"]
        if kind == "Slice":
            start = int(rng.integers(n_columns - 1))
            stop = int(rng.integers(start + 1, n_columns + 1))
            nodes.append(
                helper.make_node("Slice", [source, weight(start), weight(stop - n_columns or 99), weight(-1)], names)
            )
            known.append((names[0], stop - start))
        elif kind == "Split":
            first = int(rng.integers(1, n_columns))
            names = [f"t{place}a", f"t{place}b"]
            nodes.append(helper.make_node("Split", [source, weight(first, n_columns - first)], names, axis=1))
            known += [(names[0], first), (names[1], n_columns - first)]
        elif kind == "Gather":
            columns = rng.integers(-n_columns, n_columns, 2)
            nodes.append(helper.make_node("Gather", [source, weight(*columns)], names, axis=1))
            ends += [(names[0], 2)]
        else:
            nodes.append(helper.make_node("Cast", [source], names, to=int(rng.choice([FLOAT, TensorProto.DOUBLE]))))
            known.append((names[0], n_columns))
    ends += known[-2:]
    for place, (name, _) in enumerate(ends):
        nodes.append(helper.make_node("Cast", [name], [f"f{place}"], to=FLOAT))
        nodes.append(helper.make_node("ReduceProd", [f"f{place}"], [f"p{place}"], axes=[1], keepdims=1))
    nodes.append(helper.make_node("Concat", [f"p{place}" for place in range(len(ends))], ["joined"], axis=1))
    nodes.append(helper.make_node("Sin", ["joined"], ["y"]))
    model = model_of(nodes, [("x", FLOAT, [width])], [("y", FLOAT, [len(ends)])], weights, opset=13)
    rows = {"x": rng.normal(size=(40, width)).astype("float32")}
    predictor = fitted(model, rows, tmp_path)
    for column in range(width):
        change = shuffled(rows, Slot("x", (column,)))
        (found,) = predictor.begin([rows])[0].predict([change])
        assert np.array_equal(found, whole(model, rows, change))


def test_what_a_branch_of_the_graph_takes_from_outside_counts(tmp_path):
    """An If whose arms take another input each, beside a third that decides."""
    arms = [
        helper.make_graph(
            [helper.make_node(kind, [given], [name])], name, [], [helper.make_tensor_value_info(name, FLOAT, None)]
        )
        for kind, given, name in (("Exp", "a", "then"), ("Neg", "b", "else"))
    ]
    nodes = [
        helper.make_node("ReduceMax", ["c"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "limit"], ["go"]),
        helper.make_node("If", ["go"], ["chosen"], then_branch=arms[0], else_branch=arms[1]),
        helper.make_node("Add", ["chosen", "a"], ["y"]),
    ]
    inputs = [(name, FLOAT, [2]) for name in "abc"]
    model = model_of(nodes, inputs, [("y", FLOAT, [2])], {"limit": np.float32(99)}, opset=13)
    graph = unfold(model, input_specs(model, "the model"), {name: np.ones((4, 2), "f4") for name in "abc"})
    assert graph.steps.origins["chosen"] == {"a", "b", "c"}


def test_an_input_that_is_passed_on_or_not_taken_at_all_is_no_trouble(tmp_path):
    nodes = [
        helper.make_node("Identity", ["a"], ["same"]),
        helper.make_node("Mul", ["b", "c"], ["product"]),
    ]
    inputs = [(name, FLOAT, [2]) for name in "abcd"]
    model = model_of(nodes, inputs, [("same", FLOAT, [2]), ("product", FLOAT, [2])])
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(30, 2)).astype("float32") for name in "abcd"}
    predictor = fitted(model, rows, tmp_path)
    assert isinstance(predictor, BranchPredictor)
    for name in "abcd":
        change = shuffled(rows, Slot(name, (1,)))
        (found,) = predictor.begin([rows])[0].predict([change])
        expected = np.hstack(list(served(model, {**rows, **change.on(rows)}).values()))
        assert np.array_equal(found, expected)


def test_a_model_of_one_matrix_is_called_as_a_whole(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "kernel"], ["dense"]), helper.make_node("Tanh", ["dense"], ["y"])]
    model = model_of(nodes, [("x", FLOAT, [3])], [("y", FLOAT, [2])], {"kernel": np.eye(3, 2, dtype="float32")})
    rows = {"x": np.random.default_rng(0).normal(size=(20, 3)).astype("float32")}
    predictor = fitted(model, rows, tmp_path)
    assert isinstance(predictor, OnnxPredictor)
    assert predictor.shares == {"x": 1.0}


def test_rows_along_another_axis_give_what_the_whole_model_gives(tmp_path):
    """What meets is of shape (numbers, rows): donors' rows do not lie along its first axis."""
    nodes = [
        helper.make_node("Transpose", ["a"], ["at"], perm=[1, 0]),
        helper.make_node("Transpose", ["b"], ["bt"], perm=[1, 0]),
        helper.make_node("Mul", ["at", "bt"], ["m"]),
        helper.make_node("ReduceSum", ["m", "axes"], ["y"], keepdims=0),
    ]
    inputs = [(name, FLOAT, [3]) for name in "ab"]
    model = model_of(nodes, inputs, [("y", FLOAT, [])], {"axes": np.array([0])})
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(30, 3)).astype("float32") for name in "ab"}
    predictor = fitted(model, rows, tmp_path)
    changes = [shuffled(rows, Slot("a")), shuffled(rows, Slot("b", (1,))), shuffled(rows, Slot("a", (0,)))]
    for change, found in zip(changes, predictor.begin([rows])[0].predict(changes), strict=True):
        assert np.array_equal(found, whole(model, rows, change))


def one_number_of_all_rows():
    """Return operators, by what they are, that read one number off all rows of `x`, beside what `y` is bent to."""
    arms = [
        helper.make_graph([helper.make_node(kind, ["bent", "x"], [kind])], kind, [],
                          [helper.make_tensor_value_info(kind, FLOAT, None)])
        for kind in ("Add", "Sub")
    ]  # fmt: skip
    largest = helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0)
    return {
        "whether any is missing": [
            helper.make_node("IsNaN", ["x"], ["missing"]),
            helper.make_node("Cast", ["missing"], ["ones"], to=FLOAT),
            helper.make_node("ReduceMax", ["ones"], ["any"], keepdims=0),
            helper.make_node("Cast", ["any"], ["is_any"], to=TensorProto.BOOL),
            helper.make_node("Where", ["is_any", "zero", "bent"], ["guarded"]),
            helper.make_node("Mul", ["guarded", "x"], ["z"]),
        ],
        "without effect": [
            largest,
            helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
            helper.make_node("Add", ["bent", "nothing"], ["same"]),
            helper.make_node("Mul", ["same", "x"], ["z"]),
        ],
        "what is run": [
            largest,
            helper.make_node("Greater", ["largest", "limit"], ["go"]),
            helper.make_node("If", ["go"], ["z"], then_branch=arms[0], else_branch=arms[1]),
        ],
    }


@pytest.mark.parametrize("kind", one_number_of_all_rows())
def test_a_number_of_all_rows_is_not_taken_from_donors(tmp_path, kind):
    """It belongs to no row: the model is called as a whole."""
    own = [helper.make_node("Tanh", ["y"], ["bent"])]  # so that there is something to reuse
    weights = {"zero": np.float32(0), "limit": np.float32(100)}
    inputs = [(name, FLOAT, [3]) for name in "xy"]
    model = model_of([*own, *one_number_of_all_rows()[kind]], inputs, [("z", FLOAT, [3])], weights)
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(30, 3)).astype("float32") for name in "xy"}
    predictor = fitted(model, rows, tmp_path)
    changes = [shuffled(rows, *slots) for slots in ([Slot("x")], [Slot("y")], [Slot("x", (0,))], [Slot("y", (1,))])]
    for change, found in zip(changes, predictor.begin([rows])[0].predict(changes), strict=True):
        assert np.array_equal(found, whole(model, rows, change))
    assert isinstance(predictor, OnnxPredictor)


def test_places_that_hang_on_values_are_no_rows():
    """Where `x` is no zero: as many places as rows in what is tried, maybe fewer in others."""
    nodes = [
        helper.make_node("Tanh", ["y"], ["bent"]),
        helper.make_node("NonZero", ["x"], ["axes"]),
        helper.make_node("Transpose", ["axes"], ["places"], perm=[1, 0]),
        helper.make_node("GatherND", ["bent", "places"], ["there"]),
        helper.make_node("Neg", ["there"], ["turned"]),
        helper.make_node("ScatterND", ["bent", "places", "turned"], ["z"]),
    ]
    model = model_of(nodes, [("x", FLOAT, [1]), ("y", FLOAT, [1])], [("z", FLOAT, [1])])
    rows = {name: np.ones((5, 1), "f4") for name in "xy"}
    graph = unfold(model, input_specs(model, "the model"), rows)
    assert graph.steps.shapes["places"][0] == (None, 2)
    assert graph.by_rows == {"x", "y", "bent"}
    assert not graph.is_kept_by_rows


def test_a_constant_that_depends_on_rows_alone_is_made_in_every_part(tmp_path):
    """Zeros for each row, of a shape that is taken of one input and meets another."""
    nodes = [
        helper.make_node("Shape", ["a"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=numpy_helper.from_array(np.float32([1]))),
        helper.make_node("Sin", ["b"], ["sine"]),
        helper.make_node("Add", ["sine", "ones"], ["raised"]),
        helper.make_node("Mul", ["raised", "a"], ["m"]),
        helper.make_node("Sub", ["m", "ones"], ["y"]),
    ]
    inputs = [(name, FLOAT, [3]) for name in "ab"]
    model = model_of(nodes, inputs, [("y", FLOAT, [3])])
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(30, 3)).astype("float32") for name in "ab"}
    graph = unfold(model, input_specs(model, "the model"), rows)
    assert [np.asarray(part).tolist() for part in graph.sizes["shape"]] == [[0, 3], [1, 0]]
    assert graph.steps.origins["raised"] == {"b"}
    predictor = fitted(model, rows, tmp_path)
    assert isinstance(predictor, BranchPredictor)
    for name in "ab":
        change = shuffled(rows, Slot(name, (1,)))
        (found,) = predictor.begin([rows])[0].predict([change])
        assert np.array_equal(found, whole(model, rows, change))
