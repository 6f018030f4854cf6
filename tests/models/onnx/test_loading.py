"""ONNX models by their files: what they take and give, beside ONNX Runtime's own session."""

import logging

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from mlflow.models import infer_signature
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnperm_mlflow.basics.errors import ModelError, PredictionError
from tests.support.onnx_models import (
    FLOAT,
    INT64,
    STRING,
    exported_network,
    model_of,
    network_rows,
    save,
    scaled,
    served,
)
from tests.support.stored import load, predicted

ROWS = {"x": np.arange(12, dtype="float32").reshape(4, 3)}


def shown(predictor):
    return [str(spec) for spec in predictor.inputs]


def test_a_network_of_several_inputs_is_read_without_a_signature(tmp_path):
    predictor = load(save(exported_network(), tmp_path / "model"))
    assert shown(predictor) == [
        "'numbers' (rows, 5; float32)",
        "'codes' (rows, 4; int64)",
        "'history' (rows, 6, 3; float32)",
    ]
    rows = network_rows()
    (expected,) = served(exported_network(), rows).values()
    assert np.array_equal(predicted(predictor, rows), expected)
    assert predictor.outputs.names == ("sigmoid",)
    assert predictor.outputs.unit == "probability"


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"])
def test_inputs_are_handed_over_in_the_type_that_the_file_names(tmp_path, kind):
    dtype = np.dtype(kind)
    elem = helper.np_dtype_to_tensor_dtype(dtype)
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=FLOAT)]
    predictor = load(save(model_of(nodes, [("x", elem, [3])], [("y", FLOAT, [3])]), tmp_path / "model"))
    assert predictor.inputs[0].dtype == dtype
    rows = np.array([[0, 1, 0], [1, 1, 0]])
    assert np.array_equal(predicted(predictor, {"x": rows}), rows)


def test_text_is_taken(tmp_path):
    nodes = [
        helper.make_node("LabelEncoder", ["city"], ["y"], domain="ai.onnx.ml",
                         keys_strings=["Ulm", "Bonn"], values_floats=[1.5, 2.5], default_float=-1.0)
    ]  # fmt: skip
    model = model_of(nodes, [("city", STRING, [1])], [("y", FLOAT, [1])])
    predictor = load(save(model, tmp_path / "model"))
    rows = {"city": np.array([["Bonn"], ["Ulm"], ["?"]], dtype=object)}
    assert predicted(predictor, rows).ravel().tolist() == [2.5, 1.5, -1.0]


def test_an_input_that_has_its_value_in_the_file_is_none(tmp_path):
    """As files of before listed weights."""
    model = scaled()
    model.graph.input.append(helper.make_tensor_value_info("two", FLOAT, [1]))
    assert shown(load(save(model, tmp_path / "model"))) == ["'x' (rows, 3; float32)"]


@pytest.mark.parametrize("rows", [1, 8])
def test_a_model_of_so_many_rows_is_refused_in_words(tmp_path, rows):
    model = scaled()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = rows
    with pytest.raises(ModelError, match=rf"takes 'x' with exactly {rows} row\(s\).*dynamic_shapes"):
        load(save(model, tmp_path / "model"))


def test_an_input_without_rows_is_refused_in_words(tmp_path):
    model = scaled()
    del model.graph.input[0].type.tensor_type.shape.dim[:]
    with pytest.raises(ModelError, match="no row of it belongs to an observation"):
        load(save(model, tmp_path / "model"))


def test_an_input_that_is_no_tensor_of_numbers_is_refused_in_words(tmp_path):
    model = scaled()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    with pytest.raises(ModelError, match="takes 'x' of type complex64: inputs can be disturbed that are tensors of"):
        load(save(model, tmp_path / "model"))


@pytest.mark.parametrize(("part", "version"), [("ir_version", 99), ("opset", 99)])
def test_a_model_newer_than_the_runtime_is_told(tmp_path, part, version):
    path = save(scaled(), tmp_path / "model")
    model = onnx.load(path / "model.onnx")
    if part == "opset":
        model.opset_import[0].version = version
    else:
        model.ir_version = version
    (path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as refused:
        load(path)
    assert f"cannot be run by ONNX Runtime {onnxruntime.__version__}" in str(refused.value)
    assert str(version) in str(refused.value)
    assert "Install the version of onnxruntime" in str(refused.value)


@pytest.mark.parametrize("opset", [9, 11, 13, 15, 17, 21])
def test_operators_of_other_years_are_run(tmp_path, opset):
    nodes = [helper.make_node("Mul", ["x", "two"], ["m"]), helper.make_node("Softmax", ["m"], ["y"], axis=1)]
    model = model_of(nodes, [("x", FLOAT, [3])], [("y", FLOAT, [3])], {"two": np.float32([2])}, opset=opset)
    predictor = load(save(model, tmp_path / "model"))
    assert np.array_equal(predicted(predictor, ROWS), served(model, ROWS)["y"])
    assert predictor.outputs.names == ("y_0", "y_1", "y_2")
    assert predictor.outputs.heads[0].exclusive


def test_what_fails_is_told_without_data(tmp_path):
    nodes = [helper.make_node("Gather", ["table", "code"], ["y"])]
    model = model_of(nodes, [("code", INT64, [])], [("y", FLOAT, [2])], {"table": np.eye(7, 2, dtype="float32")})
    predictor = load(save(model, tmp_path / "model"))
    with pytest.raises(PredictionError, match=r"A code outside of what an embedding knows does that\.$") as failed:
        predictor.begin([{"code": np.array([0, 4711])}])
    assert "4711" not in str(failed.value)


@pytest.fixture(scope="module")
def clients():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(120, 4)), columns=["age", "dose", "bmi", "pulse"]).astype("float32")
    return table, np.array(["healthy", "ill"])[(table["age"] + table["dose"] > 0).astype(int)]


@pytest.mark.parametrize("zipmap", [True, False, "columns"])
@pytest.mark.parametrize("labels", ["text", "numbers"])
def test_a_classifier_of_scikit_learn_gives_its_probabilities(tmp_path, clients, caplog, zipmap, labels):
    table, classes = clients
    known = classes if labels == "text" else (classes == "ill").astype(int)
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)).fit(table.to_numpy(), known)
    options = {id(forest): {"zipmap": zipmap}}
    model = skl2onnx.to_onnx(forest, table.to_numpy()[:1], options=options)
    with caplog.at_level(logging.INFO, logger="nnperm_mlflow"):
        predictor = load(save(model, tmp_path / "model"))
    assert "is left out: labels, beside numbers" in caplog.text
    rows = {"X": table.to_numpy()}
    given = served(model, rows)
    label = "output_label" if zipmap else "label"
    if zipmap is True:
        names = [f"output_probability_{name}" for name in np.unique(known)]
        expected = np.array([list(row.values()) for row in given["output_probability"]], dtype="float32")
    else:
        names = [name for name in given if name != label] if zipmap else ["probabilities_0", "probabilities_1"]
        expected = np.column_stack([given[name] for name in given if name != label])
    assert np.array_equal(predicted(predictor, rows), expected)
    assert list(predictor.outputs.names) == names


def test_a_forest_takes_the_columns_of_its_signature(tmp_path, clients):
    table, _ = clients
    forest = RandomForestRegressor(10, random_state=0).fit(table.to_numpy(), table["age"])
    model = skl2onnx.to_onnx(forest, table.to_numpy()[:1])
    signature = infer_signature(table, forest.predict(table.to_numpy()))
    predictor = load(save(model, tmp_path / "model", signature=signature))
    assert shown(predictor) == ["'X' (rows, 4; float32)"]
    rows = {"X": table.to_numpy()}
    assert np.array_equal(predicted(predictor, rows), served(model, rows)["variable"])


def test_an_input_that_a_signature_leaves_unnamed_is_called_num_input(tmp_path):
    """Also inside of a branch, which takes it from outside."""
    then = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["a"])], "then", [], [helper.make_tensor_value_info("a", FLOAT, None)]
    )
    other = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["b"])], "else", [], [helper.make_tensor_value_info("b", FLOAT, None)]
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "limit"], ["is_large"]),
        helper.make_node("If", ["is_large"], ["y"], then_branch=then, else_branch=other),
    ]
    model = model_of(nodes, [("x", FLOAT, [3])], [("y", FLOAT, [3])], {"limit": np.float32(5)})
    path = save(model, tmp_path / "model", signature=infer_signature(ROWS["x"], ROWS["x"]))
    predictor = load(path)
    assert shown(predictor) == ["'num_input' (rows, 3; float32)"]
    assert np.array_equal(predicted(predictor, {"num_input": ROWS["x"]}), -ROWS["x"])


def test_a_signature_of_other_names_is_told(tmp_path):
    signature = infer_signature({"x": ROWS["x"], "z": ROWS["x"]}, ROWS["x"])
    with pytest.raises(ModelError, match=r"names 'x', 'z', and its file takes 'x'.*infer_signature\(\{'x': \.\.\."):
        load(save(scaled(), tmp_path / "model", signature=signature))


def test_a_signature_of_another_number_of_columns_is_told(tmp_path):
    table = pd.DataFrame(ROWS["x"][:, :2], columns=["a", "b"])
    with pytest.raises(ModelError, match="names 'a', 'b', and its file takes 'x'"):
        load(save(scaled(), tmp_path / "model", signature=infer_signature(table)))


def test_a_model_of_labels_alone_is_refused(tmp_path):
    nodes = [
        helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml",
                         keys_int64s=[0, 1], values_strings=["no", "yes"])
    ]  # fmt: skip
    model = model_of(nodes, [("x", INT64, [1])], [("y", STRING, [1])])
    with pytest.raises(ModelError, match="none of it is a tensor of numbers: between labels there is no distance"):
        load(save(model, tmp_path / "model"))


def test_classes_by_number_are_followed_where_there_is_nothing_else(tmp_path):
    nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)]
    predictor = load(save(model_of(nodes, [("x", FLOAT, [3])], [("y", INT64, [])]), tmp_path / "model"))
    rows = {"x": np.float32([[1, 2, 0], [3, 2, 1], [0, 1, 2]])}
    assert predicted(predictor, rows).ravel().tolist() == [1, 0, 2]
    assert predictor.fitted(rows).outputs.heads[0].classes


def test_the_label_of_a_network_is_left_out(tmp_path):
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["probability"]),
        helper.make_node("Greater", ["probability", "half"], ["is_ill"]),
        helper.make_node("Cast", ["is_ill"], ["class"], to=INT64),
    ]
    outputs = [("probability", FLOAT, [1]), ("is_ill", TensorProto.BOOL, [1]), ("class", INT64, [1])]
    model = model_of(nodes, [("x", FLOAT, [1])], outputs, {"half": np.float32(0.5)})
    predictor = load(save(model, tmp_path / "model"))
    assert predictor.outputs.names == ("probability",)
    rows = {"x": np.float32([[-1], [2]])}
    assert np.array_equal(predicted(predictor, rows), served(model, rows)["probability"])


def test_outputs_of_open_length_are_named_by_no_one(tmp_path):
    model = scaled()
    model.graph.output[0].type.tensor_type.shape.dim[1].ClearField("dim_value")
    assert load(save(model, tmp_path / "model")).outputs.names == ()


def test_rows_that_mix_are_told(tmp_path, caplog):
    nodes = [helper.make_node("ReduceMax", ["x"], ["m"], keepdims=1), helper.make_node("Sub", ["x", "m"], ["y"])]
    predictor = load(save(model_of(nodes, [("x", FLOAT, [3])], [("y", FLOAT, [3])]), tmp_path / "model"))
    predictor.fitted(ROWS)
    assert "a row's prediction depends on the rows beside it" in caplog.text


def test_weights_that_are_sparse_are_none_of_the_inputs(tmp_path):
    values = numpy_helper.from_array(np.float32([2]), "two")
    indices = numpy_helper.from_array(np.array([0]), "where")
    model = scaled()
    del model.graph.initializer[[tensor.name for tensor in model.graph.initializer].index("two")]
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1]))
    predictor = load(save(model, tmp_path / "model"))
    assert np.array_equal(predicted(predictor, ROWS), 2 * ROWS["x"].sum(axis=1, keepdims=True))
