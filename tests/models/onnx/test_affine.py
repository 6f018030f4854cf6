"""Which inputs of an ONNX model never interact: told by its graph, and never where a call would tell otherwise."""

import numpy as np
import pytest
from onnx import helper

from nnperm_mlflow.inputs.slots import Feature, Slot
from nnperm_mlflow.models.onnx.affine import is_affine
from nnperm_mlflow.models.separability import never_interact
from tests.support.onnx_models import FLOAT, INT64, model_of, save
from tests.support.stored import load

RNG = np.random.default_rng(0)
ROWS = {
    "x": RNG.normal(size=(64, 3)).astype("float32"),
    "y": RNG.normal(size=(64, 2)).astype("float32"),
    "codes": RNG.integers(0, 4, (64, 2)),
}
WEIGHTS = {
    "own": RNG.normal(size=(3, 4)).astype("float32"),
    "other": RNG.normal(size=(2, 4)).astype("float32"),
    "table": RNG.normal(size=(4, 4)).astype("float32"),
    "last": RNG.normal(size=(8, 1)).astype("float32"),
    "two": np.float32([2]),
    "first": np.array(0),
    "second": np.array(1),
}


def network(*ends):
    """Return numbers and two codes that meet in sums, constants and a matrix, and then in what is given."""
    nodes = [
        helper.make_node("MatMul", ["x", "own"], ["x1"]),
        helper.make_node("Tanh", ["x1"], ["x2"]),
        helper.make_node("MatMul", ["y", "other"], ["y1"]),
        helper.make_node("Gather", ["codes", "first"], ["c0"], axis=1),
        helper.make_node("Gather", ["codes", "second"], ["c1"], axis=1),
        helper.make_node("Gather", ["table", "c0"], ["e0"], axis=0),
        helper.make_node("Gather", ["table", "c1"], ["e1"], axis=0),
        helper.make_node("Sub", ["e0", "e1"], ["e"]),
        helper.make_node("Mul", ["y1", "two"], ["y2"]),
        helper.make_node("Add", ["x2", "y2"], ["xy"]),
        helper.make_node("Concat", ["xy", "e"], ["joined"], axis=1),
        helper.make_node("MatMul", ["joined", "last"], ["value"]),
    ]
    before = "value"
    for place, kind in enumerate(ends):
        inputs = [before, before] if kind == "Mul" else [before]
        nodes.append(helper.make_node(kind, inputs, [f"end{place}"]))
        before = f"end{place}"
    inputs = [("x", FLOAT, [3]), ("y", FLOAT, [2]), ("codes", INT64, [2])]
    return model_of(nodes, inputs, [(before, FLOAT, [1])], WEIGHTS)


def feature(name, index=()):
    return Feature(f"{name}{index}", (Slot(name, index),), "number")


X, Y, FIRST, SECOND = feature("x"), feature("y"), feature("codes", (0,)), feature("codes", (1,))
PAIRS = [(X, Y), (X, FIRST), (FIRST, SECOND), (Y, SECOND)]


def fitted(tmp_path, *ends):
    return load(save(network(*ends), tmp_path / "model")).fitted(ROWS)


def second_difference(predictor, first, second):
    """By how much two features of the rows turned round move predictions together beyond each alone, at most."""

    def predict(*features):
        inputs = {name: array.copy() for name, array in ROWS.items()}
        for each in features:
            (slot,) = each.slots
            inputs[slot.input][(slice(None), *slot.index)] = ROWS[slot.input][::-1][(slice(None), *slot.index)]
        return predictor.begin([inputs])[0].baseline

    return np.abs(predict(first, second) - predict(first) - predict(second) + predict()).max()


def test_what_meets_in_affine_operators_alone_never_interacts(tmp_path):
    """Columns that are only picked out of a matrix are told apart, too."""
    predictor = fitted(tmp_path)
    for first, second in PAIRS:
        assert never_interact(predictor, first, second, scale="prediction"), (first.name, second.name)
        assert second_difference(predictor, first, second) < 1e-5
    assert not never_interact(predictor, feature("x", (0,)), feature("x", (1,)), scale="prediction")


@pytest.mark.parametrize("end", ["Relu", "Mul", "Sigmoid", "Tanh"])
def test_what_meets_before_an_activation_or_in_a_product_may_interact(end, tmp_path):
    predictor = fitted(tmp_path, end)
    assert not any(never_interact(predictor, first, second, scale="prediction") for first, second in PAIRS)
    assert second_difference(predictor, X, Y) > 1e-5


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(("Sigmoid",), True), (("Sigmoid", "Flatten"), True), (("Sigmoid", "Neg"), False), (("Tanh",), False)],
)
def test_before_the_activation_a_sigmoid_that_gives_the_output_is_looked_past_and_no_other(ends, expected, tmp_path):
    assert never_interact(fitted(tmp_path, *ends), X, Y, scale="logit") == expected


@pytest.mark.parametrize(
    ("node", "varying", "expected"),
    [
        (helper.make_node("Mul", ["a", "b"], ["c"]), {"a"}, True),
        (helper.make_node("Mul", ["a", "b"], ["c"]), {"a", "b"}, False),
        (helper.make_node("Div", ["a", "b"], ["c"]), {"b"}, False),
        (helper.make_node("Gemm", ["a", "w", "b"], ["c"]), {"a", "b"}, True),
        (helper.make_node("Cast", ["a"], ["c"], to=INT64), {"a"}, False),
        (helper.make_node("Gather", ["w", "a"], ["c"]), {"a"}, False),
        (helper.make_node("Add", ["a", "b"], ["c"], domain="com.microsoft"), {"a"}, False),
        (helper.make_node("Erf", ["a"], ["c"]), {"a"}, False),
    ],
)
def test_operators_are_affine_in_what_varies(node, varying, expected):
    assert is_affine(node, varying) == expected
