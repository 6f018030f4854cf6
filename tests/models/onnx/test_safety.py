"""What an ONNX model may hold without trust; every file here is harmless, and refused before ONNX Runtime reads it."""

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.models.onnx.safety import reaching_operators, unbounded_forests
from nnperm_mlflow.models.onnx.sessions import served_options
from tests.support.onnx_models import FLOAT, model_of, save, scaled
from tests.support.stored import change_mlmodel, load, predicted

ROWS = {"x": np.arange(12, dtype="float32").reshape(4, 3)}
DOUBLED = 2 * ROWS["x"].sum(axis=1, keepdims=True)


@pytest.fixture
def unread(monkeypatch):
    """ONNX Runtime is not asked to read anything."""

    def refuse(*given, **named):
        raise AssertionError("the file was read")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)


def with_weights(path, **told):
    """Save a model whose factor is said to lie elsewhere."""
    model = scaled()
    save(model, path)
    (factor,) = [tensor for tensor in model.graph.initializer if tensor.name == "two"]
    (path / "weights.bin").write_bytes(factor.raw_data)
    factor.ClearField("raw_data")
    factor.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        factor.external_data.add(key=key, value=value)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    return path


def test_a_model_of_operators_needs_no_trust(tmp_path):
    assert np.array_equal(predicted(load(save(scaled(), tmp_path / "model")), ROWS), DOUBLED)


def test_weights_in_a_file_beside_the_model_are_read(tmp_path):
    path = with_weights(tmp_path / "model", location="weights.bin", offset="0", length="4")
    assert np.array_equal(predicted(load(path), ROWS), DOUBLED)


def test_weights_as_mlflow_stores_them_apart_are_read(tmp_path):
    wide = scaled()
    wide.graph.initializer.append(numpy_helper.from_array(np.zeros(4096, dtype="float32"), "unused"))
    path = save(wide, tmp_path / "model")
    stored = onnx.load(path / "model.onnx", load_external_data=False)
    assert any(tensor.data_location == TensorProto.EXTERNAL for tensor in stored.graph.initializer)
    assert np.array_equal(predicted(load(path), ROWS), DOUBLED)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/weights.bin", "none.bin", "*", "", "."])
def test_weights_elsewhere_are_not_opened(tmp_path, unread, location):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    path = with_weights(tmp_path / "model", location=location)
    (path / "a").mkdir()
    (path / "a" / "weights.bin").write_bytes(b"\0" * 4)
    for trust_model in (False, True):
        with pytest.raises(ModelError, match="which is no file beside the model"):
            load(path, trust_model)


def test_weights_behind_a_link_are_not_opened(tmp_path, unread):
    path = with_weights(tmp_path / "model", location="link.bin")
    (path / "link.bin").symlink_to(path / "weights.bin")
    with pytest.raises(ModelError, match=r"in 'link\.bin', which is no file"):
        load(path)


@pytest.mark.parametrize(
    "told",
    [{"offset": "1"}, {"offset": "4"}, {"length": "8"}, {"length": "3"}, {"offset": "-4"}, {"offset": "0x0"}],
)
def test_weights_are_read_where_the_file_holds_them_alone(tmp_path, unread, told):
    path = with_weights(tmp_path / "model", location="weights.bin", **told)
    with pytest.raises(ModelError, match="at a place that does not hold them: expected 4 bytes"):
        load(path)


@pytest.mark.parametrize("place", ["attribute", "branch", "training"])
def test_weights_are_found_wherever_they_lie(tmp_path, unread, place):
    """A constant in an operator, in a branch of one, or in what is kept of the training."""
    outside = numpy_helper.from_array(np.float32([1]), "outside")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret")
    constant = helper.make_node("Constant", [], ["unused"], value=outside)
    model = scaled()
    if place == "attribute":
        model.graph.node.append(constant)
    elif place == "branch":
        value = helper.make_tensor_value_info("unused", FLOAT, [1])
        branch = helper.make_graph([constant], "branch", [], [value])
        model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    else:
        model.training_info.add().algorithm.node.append(constant)
    path = save(scaled(), tmp_path / "model")
    (path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"'\.\./secret'"):
        load(path)


def with_operator(kind, domain, functions=()):
    """Return the model with another operator in its first place."""
    model = scaled(domains=[helper.make_opsetid(domain, 1)], functions=functions)
    model.graph.node[0].op_type, model.graph.node[0].domain = kind, domain
    return model


@pytest.mark.parametrize(
    ("kind", "domain"), [("Mul", "my.company"), ("EPContext", "com.microsoft"), ("Mul", "com.microsoft.experimental")]
)
def test_operators_that_are_not_known_need_trust(tmp_path, unread, kind, domain):
    path = save(scaled(), tmp_path / "model")
    (path / "model.onnx").write_bytes(with_operator(kind, domain).SerializeToString())
    with pytest.raises(UntrustedModelError, match=rf"holds '{domain}\.{kind}', which may do more than compute"):
        load(path)


def test_operators_are_found_inside_of_branches_and_functions():
    hidden = helper.make_node("Mul", ["a", "b"], ["c"], domain="my.company")
    graph = helper.make_graph([hidden], "body", [], [])
    outer = helper.make_node("Loop", ["n", "go"], ["y"], body=graph)
    body = helper.make_function("own", "Twice", ["a"], ["c"], [outer], [helper.make_opsetid("", 17)])
    assert reaching_operators(with_operator("Twice", "own", [body])) == ["my.company.Mul"]


def test_a_function_that_the_model_defines_is_known(tmp_path):
    """Older exporters of PyTorch write such, in a domain of their own."""
    add = helper.make_node("Add", ["a", "a"], ["c"])
    body = helper.make_function("pkg.onnxscript", "Twice", ["a", "b"], ["c"], [add], [helper.make_opsetid("", 17)])
    path = save(with_operator("Twice", "pkg.onnxscript", [body]), tmp_path / "model")
    assert np.array_equal(predicted(load(path), ROWS), DOUBLED)


def test_operators_that_onnx_runtime_adds_and_that_compute_are_known():
    for kind in ("FusedGemm", "SkipLayerNormalization", "MultiHeadAttention", "FastGelu", "QLinearAdd", "MatMulNBits"):
        assert reaching_operators(with_operator(kind, "com.microsoft")) == []


REGRESSOR, CLASSIFIER = "TreeEnsembleRegressor", "TreeEnsembleClassifier"


def forest(kind=REGRESSOR, feature=2, target=0, width=3, scaler=False):
    """Return one tree with two leaves that compares a column with 0."""
    given = "scaled" if scaler else "x"
    tree = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [feature, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
    }
    part, outputs = ("target", ["y"]) if kind == REGRESSOR else ("class", ["label", "y"])
    tree |= {f"{part}_{what}": values for what, values in
             {"treeids": [0, 0], "nodeids": [1, 2], "weights": [1.0, 3.0], "ids": [target, 1]}.items()}  # fmt: skip
    tree |= {"n_targets": 2} if kind == REGRESSOR else {"classlabels_int64s": [0, 1]}
    nodes = [helper.make_node(kind, [given], outputs, domain="ai.onnx.ml", **tree)]
    if scaler:
        scale = helper.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[0.0], scale=[1.0])
        nodes.insert(0, scale)
    return model_of(nodes, [("x", FLOAT, [width])], [("y", FLOAT, [2])])


@pytest.mark.parametrize("kind", [REGRESSOR, CLASSIFIER])
@pytest.mark.parametrize("scaler", [False, True])
def test_a_forest_of_columns_that_there_are_needs_no_trust(kind, scaler):
    assert unbounded_forests(forest(kind, scaler=scaler)) == []


@pytest.mark.parametrize("kind", [REGRESSOR, CLASSIFIER])
@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"feature": 3}, "reads column 3 of a table of 3"),
        ({"feature": -1}, "reads column -1 of a table of 3"),
        ({"target": 2}, "gives output 2 of 2"),
        ({"target": -1}, "gives output -1 of 2"),
        ({"width": "any"}, "of a width that the file does not tell"),
    ],
)
def test_a_forest_that_reads_or_writes_where_nothing_is_needs_trust(tmp_path, unread, kind, tree, says):
    path = save(scaled(), tmp_path / "model")
    (path / "model.onnx").write_bytes(forest(kind, **tree).SerializeToString())
    with pytest.raises(UntrustedModelError, match=says):
        load(path)


def test_a_width_that_the_file_claims_of_a_table_in_between_is_not_believed():
    model = forest(feature=8, scaler=True)
    model.graph.value_info.append(helper.make_tensor_value_info("scaled", FLOAT, [None, 9]))
    assert unbounded_forests(model) == ["a forest (TreeEnsembleRegressor) reads column 8 of a table of 3"]


def test_a_width_is_not_taken_from_an_input_that_has_its_value_in_the_file():
    model = forest(feature=8, width=9)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3), dtype="float32"), "x"))
    (told,) = unbounded_forests(model)
    assert "of a width that the file does not tell" in told


def test_a_forest_inside_of_a_branch_needs_trust():
    inner = forest()
    branch = helper.make_graph(inner.graph.node, "branch", [], inner.graph.output)
    node = helper.make_node("If", ["go"], ["y"], then_branch=branch, else_branch=branch)
    model = model_of([node], [("x", FLOAT, [3]), ("go", TensorProto.BOOL, [])], [("y", FLOAT, [2])])
    assert unbounded_forests(model) == ["a forest stands inside of a function or a branch"]


def test_code_beside_a_model_needs_trust(tmp_path, unread):
    path = save(scaled(), tmp_path / "model")
    (path / "code").mkdir()
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update(code="code"))
    with pytest.raises(UntrustedModelError, match="beside the model lies 'code', which would run"):
        load(path)


def test_settings_that_may_name_files_need_trust(tmp_path, unread):
    extra = {"session.model_external_initializers_file_folder_path": "x", "session.set_denormal_as_zero": "1"}
    path = save(scaled(), tmp_path / "model", onnx_session_options={"extra_session_config": extra})
    with pytest.raises(UntrustedModelError, match=r"settings 'session\.model_external_initializers_file_folder_path',"):
        load(path)


def test_settings_of_how_it_computes_need_none(tmp_path):
    told = {"intra_op_num_threads": 3, "execution_mode": "parallel", "graph_optimization_level": 1,
            "extra_session_config": {"session.set_denormal_as_zero": "1"}}  # fmt: skip
    path = save(scaled(), tmp_path / "model", onnx_session_options=told)
    assert np.array_equal(predicted(load(path), ROWS), DOUBLED)


@pytest.mark.parametrize("trust_model", [False, True])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"graph_optimization_level": "all"}, r"'graph_optimization_level: all', where .* takes 1, 2, 3 or 99"),
        ({"graph_optimization_level": 1.5}, r"'graph_optimization_level: 1\.5'"),
        ({"extra_session_config": {"session.set_denormal_as_zero": 1}},
         r"'extra_session_config: session\.set_denormal_as_zero: 1', where .* a value that are text, as '1'"),
    ],
)  # fmt: skip
def test_a_setting_that_is_none_is_named(tmp_path, told, expected, trust_model):
    path = save(scaled(), tmp_path / "model")
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["onnx"].update(onnx_session_options=told))
    with pytest.raises(ModelError, match=expected) as refused:
        load(path, trust_model)
    assert "Log it again with other onnx_session_options" in str(refused.value)
    assert "IR version" not in str(refused.value)


@pytest.mark.parametrize("told", ["fast", ["fast"]])
def test_settings_without_names_are_told(tmp_path, told):
    path = save(scaled(), tmp_path / "model")
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["onnx"].update(onnx_session_options=told))
    with pytest.raises(ModelError, match=r"setting 'onnx_session_options: .*fast.*', where .* takes settings by name"):
        load(path, trust_model=True)


@pytest.mark.parametrize("level", [None, 0, 1, 2, 99])
def test_optimizations_are_those_that_mlflow_serves_with(tmp_path, level):
    """Which takes level 0 for no setting."""
    told = {} if level is None else {"graph_optimization_level": level}
    path = save(scaled(), tmp_path / "model", onnx_session_options=told)
    session = mlflow.pyfunc.load_model(str(path))._model_impl.rt
    expected = session.get_session_options().graph_optimization_level
    assert served_options({"onnx_session_options": told}).graph_optimization_level == expected


@pytest.mark.parametrize("trust_model", [False, True])
@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("onnx", {"data": "data/model.onnx"}),
        ("onnx", {"data": "other.onnx"}),
        ("onnx", {"data": None}),
        ("python_function", {"data": "other.onnx"}),
    ],
)
def test_a_model_is_read_where_mlflow_serves_it(tmp_path, unread, where, told, trust_model):
    path = save(scaled(), tmp_path / "model")
    (path / "data").mkdir()
    (path / "data" / "model.onnx").write_bytes((path / "model.onnx").read_bytes())
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"][where].update(told))
    with pytest.raises(ModelError, match=r"names no file beside|these may be two models"):
        load(path, trust_model)


@pytest.mark.parametrize("content", [b"", b"\x08\x09", b"hello, this is no model", b"\xff" * 100])
def test_what_is_no_model_is_told(tmp_path, unread, content):
    path = save(scaled(), tmp_path / "model")
    (path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="ONNX model"):
        load(path)


def test_a_model_larger_than_a_message_is_told(tmp_path, unread):
    path = with_weights(tmp_path / "model", location="weights.bin", length=str(2**31))
    stored = onnx.load(path / "model.onnx", load_external_data=False)
    (factor,) = [tensor for tensor in stored.graph.initializer if tensor.name == "two"]
    factor.dims[:] = [2**29]
    (path / "model.onnx").write_bytes(stored.SerializeToString())
    with (path / "weights.bin").open("wb") as weights:
        weights.truncate(2**31)  # a hole, which takes no room
    with pytest.raises(ModelError, match="takes more than 2 GiB"):
        load(path)


def test_numbers_of_four_bits_share_a_byte(tmp_path):
    path = with_weights(tmp_path / "model", location="weights.bin", length="4")
    stored = onnx.load(path / "model.onnx", load_external_data=False)
    packed = stored.graph.initializer.add(name="packed", data_type=TensorProto.INT4, dims=[7])
    packed.data_location = TensorProto.EXTERNAL
    packed.external_data.add(key="location", value="weights.bin")
    packed.external_data.add(key="length", value="4")
    (path / "model.onnx").write_bytes(stored.SerializeToString())
    assert np.array_equal(predicted(load(path), ROWS), DOUBLED)
