"""SavedModels that would read, write or call Python when they are loaded or predict: refused, unless trusted."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from nnperm_mlflow.basics.errors import UntrustedModelError
from nnperm_mlflow.models.foreign_code import reaching_operations
from tests.support.stored import load, numbers, predicted, save

REFUSED = r"which reach for the disk or for Python.*--trust-model"


def reads(path):
    return tf.strings.length(tf.io.read_file(path))


def writes(path):
    with tf.control_dependencies([tf.io.write_file(path, "written")]):
        return tf.constant(0)


def looks_for(path):
    return tf.size(tf.io.matching_files(path))


def reads_lines(path):
    return tf.data.TextLineDataset(path).reduce(0, lambda count, _: count + 1)


def prints_into(path):
    with tf.control_dependencies([tf.print("written", output_stream=f"file://{path}")]):
        return tf.constant(0)


def saves_tensors(path):
    with tf.control_dependencies(
        [tf.raw_ops.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[0])]
    ):
        return tf.constant(0)


def calls_python(path):
    return tf.py_function(lambda: len(path), [], tf.int32)


def calls_numpy(path):
    return tf.numpy_function(lambda: np.int32(len(path)), [], tf.int32)


class Reaching(tf.Module):
    """Does something beyond its inputs in a branch of a function inside a function."""

    def __init__(self, reach, path):
        super().__init__()
        self.reach, self.path = reach, path

    @tf.function
    def inner(self):
        return tf.cast(self.reach(self.path), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def __call__(self, x):
        return x + tf.cond(tf.reduce_sum(x) > -1e9, self.inner, lambda: 0.0)


def save_module(module, path):
    return save(module, path, saved_model_kwargs={"signatures": {"serving_default": module.__call__}})


@pytest.mark.parametrize(
    "reach", [reads, writes, looks_for, reads_lines, prints_into, saves_tensors, calls_python, calls_numpy]
)
def test_a_graph_that_reaches_for_the_disk_or_for_python_is_refused_without_trust(tmp_path, reach):
    target = tmp_path / "target.txt"
    if reach in (reads, reads_lines, looks_for):
        target.write_text("one line\n")
    module = Reaching(reach, str(target))
    path = save_module(module, tmp_path / "model")
    with pytest.raises(UntrustedModelError, match=REFUSED):
        load(path)
    assert reach not in (writes, prints_into, saves_tensors) or not list(tmp_path.glob("target*"))
    found = predicted(load(path, trust_model=True), {"x": numbers(2)})
    np.testing.assert_allclose(found, module(numbers(2)), rtol=1e-6)
    assert list(tmp_path.glob("target*")) or reach in (calls_python, calls_numpy)


def writes_records(path):
    given = tf.data.Dataset.from_tensors("a line")
    tf.raw_ops.DatasetToTFRecord(input_dataset=given._variant_tensor, filename=path, compression_type="")
    return tf.constant(1)


def writes_by_debugging(path):
    return tf.raw_ops.DebugIdentity(input=tf.constant(1), tensor_name="a:0", debug_urls=[f"file://{path}"])


def reads_words(path):
    return tf.raw_ops.GenerateVocabRemapping(
        new_vocab_file=path, old_vocab_file=path, new_vocab_offset=0, num_new_vocab=1
    ).num_present


def ends_the_process(path):
    tf.raw_ops.Abort(error_msg=path)
    return tf.constant(1)


@pytest.mark.parametrize("reach", [writes_records, writes_by_debugging, reads_words, ends_the_process])
def test_an_operation_that_is_seldom_thought_of_is_refused(tmp_path, reach):
    path = save_module(Reaching(reach, str(tmp_path / "target")), tmp_path / "model")
    with pytest.raises(UntrustedModelError, match=REFUSED):
        load(path)
    assert not list(tmp_path.glob("target*"))


def test_a_table_that_is_filled_from_a_file_is_refused(tmp_path):
    """The file may be any that the model names, and is read as soon as the model is loaded."""
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\n")

    class Looking(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    str(words),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                -1,
            )

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
        def __call__(self, x):
            return x + tf.cast(self.table.lookup(tf.constant("two")), tf.float32)

    path = save_module(Looking(), tmp_path / "model")
    with pytest.raises(UntrustedModelError, match="'InitializeTableFromTextFileV2'"):
        load(path)
    np.testing.assert_allclose(predicted(load(path, trust_model=True), {"x": numbers(2)}), numbers(2) + 1)


# Functions that bear the name of a saver, which may write since nobody calls it


def named_as_a_saver(inner):
    def _traced_save(x):
        return inner(x)

    return tf.function(_traced_save)


def writer(path):
    def write(x):
        with tf.control_dependencies([tf.io.write_file(str(path), "owned")]):
            return x * 1.0

    return named_as_a_saver(write)


class Hiding(tf.Module):
    """Writes a file in a function that bears a saver's name, called by another of that name."""

    def __init__(self, path):
        super().__init__()
        self.outer = named_as_a_saver(writer(path))

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def __call__(self, x):
        return self.outer(x)


def test_a_function_that_only_bears_a_saver_s_name_is_looked_into(tmp_path):
    path = save_module(Hiding(tmp_path / "pwned"), tmp_path / "model")
    with pytest.raises(UntrustedModelError, match="'WriteFile'"):
        load(path)
    assert not (tmp_path / "pwned").exists()
    predicted(load(path, trust_model=True), {"x": numbers(2)})
    assert (tmp_path / "pwned").exists(), "the trap is none"


def test_a_graph_of_tensorflow_1_is_looked_into_where_it_calls_a_function_of_that_name(tmp_path):
    """Its graph runs by itself, outside of functions, and so calls what no function calls."""
    path = save_module(Hiding(tmp_path / "elsewhere"), tmp_path / "model")
    folder = next(path.rglob("saved_model.pb")).parent
    shutil.rmtree(folder)
    save_as_tensorflow_1(writer(tmp_path / "pwned"), folder)
    with pytest.raises(UntrustedModelError, match="'WriteFile'"):
        load(path)
    assert not (tmp_path / "pwned").exists()
    predicted(load(path, trust_model=True), {"x": numbers(2)})
    assert (tmp_path / "pwned").exists(), "the trap is none"


def save_as_tensorflow_1(function, folder):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 2), name="x")
        tf.compat.v1.saved_model.simple_save(session, str(folder), inputs={"x": x}, outputs={"y": function(x)})


@pytest.mark.parametrize("kind", ["nobody", "function", "bare_concrete_function", "captured_tensor", "graph"])
def test_a_saver_that_something_in_the_model_names_may_not_save(tmp_path, kind):
    """An object of the model, or the graph of a model that TensorFlow 1 wrote."""
    name = "__inference__traced_save_7"
    saved = saved_model_pb2.SavedModel()
    meta = saved.meta_graphs.add()
    function = meta.graph_def.library.function.add()
    function.signature.name = name
    function.node_def.add().op = "SaveV2"
    if kind == "graph":
        node = meta.graph_def.node.add(op="PartitionedCall")
        node.attr["f"].func.name = name
    else:
        node = meta.object_graph_def.nodes.add()
    if kind == "function":
        node.function.concrete_functions.append(name)
    elif kind == "bare_concrete_function":
        node.bare_concrete_function.concrete_function_name = name
    elif kind == "captured_tensor":
        node.captured_tensor.concrete_function = name
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ([] if kind == "nobody" else ["SaveV2"])


def test_a_saver_that_nobody_calls_may_save_and_do_nothing_else(tmp_path):
    saved = saved_model_pb2.SavedModel()
    graph = saved.meta_graphs.add()
    graph.object_graph_def.nodes.add()
    function = graph.graph_def.library.function.add()
    function.signature.name = "__inference__traced_save_7"
    for operation in ("SaveV2", "MergeV2Checkpoints", "WriteFile"):
        function.node_def.add().op = operation
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ["WriteFile"]


def test_a_function_that_is_called_as_an_operation_does_not_stand_for_it(tmp_path):
    saved = saved_model_pb2.SavedModel()
    library = saved.meta_graphs.add().graph_def.library
    library.function.add().signature.name = "WriteFile"
    caller = library.function.add()
    caller.signature.name = "caller"
    caller.node_def.add().op = "WriteFile"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ["WriteFile"]


# Functions that only helpers need are left alone; whatever else leads to one, it is looked into


def as_before(x):
    return x * 1.0


GIVEN = [tf.TensorSpec((None, 2), tf.float32, name="x")]


class Holding(tf.Module):
    """Holds a function as an attribute of some name, and one that it is called by."""

    def __init__(self, held, name="helper", called=as_before):
        super().__init__()
        setattr(self, name, held)
        self.called = called

    @tf.function(input_signature=GIVEN)
    def __call__(self, x):
        return self.called(x)


def traced(function, **attributes):
    """Return a function that is part of the file, whether or not anything calls it."""
    made = tf.function(function, input_signature=GIVEN, experimental_attributes=attributes or None)
    made.get_concrete_function()
    return made


def writing(path):
    def write(x):
        with tf.control_dependencies([tf.io.write_file(str(path), "owned")]):
            return x * 3.0

    return write


def test_a_helper_that_nothing_calls_needs_no_trust(tmp_path):
    """Or layers that were adapted from data, and modules that know how to be trained, would."""
    path = save_module(Holding(traced(writing(tmp_path / "pwned"))), tmp_path / "model")
    (tmp_path / "pwned").unlink(missing_ok=True)
    np.testing.assert_allclose(predicted(load(path), {"x": numbers(2)}), numbers(2))
    assert not (tmp_path / "pwned").exists()


def by_condition(held):
    return lambda x: tf.cond(tf.reduce_sum(x) > -1e9, lambda: held(x), lambda: x)


def by_case(held):
    return lambda x: tf.switch_case(tf.constant(1), [lambda: x, lambda: held(x)])


def by_loop(held):
    return lambda x: tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, held(y)), [0, x])[1]


def by_map(held):
    return lambda x: tf.map_fn(lambda row: held(row[None])[0], x)


def by_further_functions(held):
    inner = tf.function(lambda x: held(x) + 0.0)
    return tf.function(lambda x: inner(x) + 0.0)


def by_an_attribute(held):
    function = held.get_concrete_function()
    return lambda x: tf.raw_ops.StatefulPartitionedCall(args=[x], Tout=[tf.float32], f=function)[0]


WAYS = [by_condition, by_case, by_loop, by_map, by_further_functions, by_an_attribute]


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_that_a_prediction_reaches_is_looked_into(tmp_path, way):
    held = traced(writing(tmp_path / "pwned"))
    path = save_module(Holding(held, called=way(held)), tmp_path / "model")
    (tmp_path / "pwned").unlink(missing_ok=True)
    with pytest.raises(UntrustedModelError, match="'WriteFile'"):
        load(path)
    assert not (tmp_path / "pwned").exists()
    predicted(load(path, trust_model=True), {"x": numbers(2)})
    assert (tmp_path / "pwned").exists(), "the trap is none"


def test_a_helper_that_tensorflow_may_take_for_another_function_is_looked_into(tmp_path):
    """Of functions that say they do the same, it takes the one for the processor that is there."""
    pwned = tmp_path / "pwned"
    swapped = {"api_implements": "the_same"}
    clean = traced(as_before, **swapped, api_preferred_device="GPU")
    held = traced(writing(pwned), **swapped, api_preferred_device="CPU")
    path = save_module(Holding(held, called=clean), tmp_path / "model")
    pwned.unlink(missing_ok=True)
    with pytest.raises(UntrustedModelError, match="'WriteFile'"):
        load(path)
    found = predicted(load(path, trust_model=True), {"x": numbers(2)})
    assert pwned.exists() == bool(np.allclose(found, numbers(2) * 3))


@pytest.mark.parametrize("name", ["_initialize", "_restore_from_tensors", "_trackable_children", "_create_resource"])
def test_a_helper_whose_name_tensorflow_may_look_for_is_looked_into(tmp_path, name):
    path = save_module(Holding(traced(writing(tmp_path / "pwned"))), tmp_path / "model")
    rename(path, "helper", name)
    with pytest.raises(UntrustedModelError, match="'WriteFile'"):
        load(path)


def rename(path, old, new):
    """Give attributes of a stored module another name."""
    file = next(path.rglob("saved_model.pb"))
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    for node in saved.meta_graphs[0].object_graph_def.nodes:
        for child in node.children:
            child.local_name = new if child.local_name == old else child.local_name
    file.write_bytes(saved.SerializeToString())


def object_graph(identifier="_generic_user_object", name="helper"):
    """Return a SavedModel of a root that holds one function, which writes."""
    saved = saved_model_pb2.SavedModel()
    meta = saved.meta_graphs.add()
    function = meta.graph_def.library.function.add()
    function.signature.name = "held"
    function.node_def.add().op = "WriteFile"
    root, held = meta.object_graph_def.nodes.add(), meta.object_graph_def.nodes.add()
    root.user_object.identifier = identifier
    root.children.add(node_id=1, local_name=name)
    held.function.concrete_functions.append("held")
    return saved


def by_nothing(meta):
    pass


def by_a_saver(meta):
    meta.object_graph_def.nodes[0].saveable_objects["x"].restore_function = 1


def by_a_resource(meta):
    node = meta.object_graph_def.nodes.add()
    node.resource.SetInParent()
    node.children.add(node_id=1, local_name="helper")


def by_a_variable(meta):
    node = meta.object_graph_def.nodes.add()
    node.variable.SetInParent()
    node.children.add(node_id=1, local_name="helper")


def by_the_signatures(meta):
    node = meta.object_graph_def.nodes.add()
    node.user_object.identifier = "signature_map"
    node.children.add(node_id=1, local_name="serving_default")


def by_a_registered_class(meta):
    meta.object_graph_def.nodes[0].registered_name = "tf.StaticHashTable"


def by_a_dependency(meta):
    node = meta.object_graph_def.nodes.add()
    node.resource.SetInParent()
    node.dependencies.add(node_id=1, local_name="_create_resource")


def by_the_graph(meta):
    meta.graph_def.node.add(op="PartitionedCall").attr["f"].func.name = "held"


def by_a_gradient(meta):
    meta.graph_def.library.gradient.add(function_name="other", gradient_func="held")


def by_a_function_that_nobody_holds(meta):
    other = meta.graph_def.library.function.add()
    other.signature.name = "other"
    other.node_def.add(op="PartitionedCall").attr["f"].func.name = "held"


def by_a_list_of_functions(meta):
    other = meta.graph_def.library.function.add()
    other.signature.name = "other"
    other.node_def.add(op="Case").attr["branches"].list.func.add(name="held")


def by_a_captured_tensor(meta):
    meta.object_graph_def.nodes.add().captured_tensor.concrete_function = "held"


FURTHER_WAYS = [by_nothing, by_a_saver, by_a_resource, by_a_variable, by_the_signatures, by_a_registered_class,
                by_a_dependency, by_the_graph, by_a_gradient, by_a_function_that_nobody_holds, by_a_list_of_functions,
                by_a_captured_tensor]  # fmt: skip


@pytest.mark.parametrize("lead", FURTHER_WAYS)
def test_a_helper_to_which_something_else_leads_is_none(tmp_path, lead):
    saved = object_graph()
    lead(saved.meta_graphs[0])
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ([] if lead is by_nothing else ["WriteFile"])


@pytest.mark.parametrize(
    ("identifier", "name", "is_helper"),
    [
        ("_tf_keras_layer", "_adapt_function", True),
        ("_tf_keras_layer", "_initialize", False),
        ("_generic_user_object", "__call__", False),
        ("_generic_user_object", "signatures", False),
        ("trackable_list_wrapper", "helper", False),
        ("optimizer", "add_slot", False),
    ],
)
def test_only_plain_objects_hold_helpers_and_under_names_that_are_nobody_s(tmp_path, identifier, name, is_helper):
    (tmp_path / "saved_model.pb").write_bytes(object_graph(identifier, name).SerializeToString())
    assert reaching_operations(tmp_path) == ([] if is_helper else ["WriteFile"])


def test_a_function_that_is_the_model_itself_is_no_helper(tmp_path):
    saved = object_graph()
    objects = saved.meta_graphs[0].object_graph_def
    objects.nodes[0].CopyFrom(objects.nodes[1])
    objects.nodes.add().user_object.identifier = "_generic_user_object"
    objects.nodes[2].children.add(node_id=0, local_name="helper")
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ["WriteFile"]


def test_several_graphs_have_no_helpers(tmp_path):
    """They are loaded as TensorFlow 1 did, as graphs and without objects."""
    saved = object_graph()
    saved.meta_graphs.add()
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert reaching_operations(tmp_path) == ["WriteFile"]


# Graphs of TensorFlow 1 have their saver among their operations


def save_with_weights(path, lead=None):
    """Store a graph with weights; `lead` may make something lead to its saver."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 2), name="x")
        weights = v1.get_variable("weights", initializer=[[1.0], [10.0]], use_resource=False)
        y = tf.identity(tf.matmul(x, weights), name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(path), inputs={"x": x}, outputs={"y": y})
    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    if lead is not None:
        lead(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())
    return path


def test_the_saver_of_a_graph_of_tensorflow_1_needs_no_trust(tmp_path):
    described = {"flavors": {"tensorflow": {"saved_model_dir": "network", "signature_def_key": "serving_default"}}}
    (tmp_path / "MLmodel").write_text(json.dumps(described))
    save_with_weights(tmp_path / "network")
    found = predicted(load(tmp_path), {"x": numbers(2)})
    np.testing.assert_allclose(found, numbers(2) @ [[1.0], [10.0]], rtol=1e-5)


def node_of(meta, name):
    return next(node for node in meta.graph_def.node if node.name == name)


def by_the_main_operation(meta):
    meta.collection_def["saved_model_main_op"].node_list.value.append("save/Identity")


def by_the_first_value_of_a_variable(meta):
    variable = tf.compat.v1.GraphKeys.LOCAL_VARIABLES
    meta.collection_def[variable].bytes_list.value.append(b"\n\x03w:0\x12\x0dsave/Identity")


def by_the_output(meta):
    node_of(meta, "y").input.append("^save/Identity")


def by_another_signature(meta):
    meta.signature_def["other"].outputs["y"].name = "save/Identity:0"


def by_restoring(meta):
    node_of(meta, "save/restore_all").input.append("^save/SaveV2")


def instead_of_restoring(meta):
    meta.saver_def.restore_op_name = "save/Identity"


@pytest.mark.parametrize(
    "lead",
    [by_the_main_operation, by_the_first_value_of_a_variable, by_the_output, by_another_signature, by_restoring,
     instead_of_restoring],
)  # fmt: skip
def test_a_saver_of_tensorflow_1_to_which_something_leads_may_not_save(tmp_path, lead):
    assert "SaveV2" in reaching_operations(save_with_weights(tmp_path / "network", lead))


def test_weights_that_are_read_for_a_prediction_are_no_restoring(tmp_path):
    def by_predicting(meta):
        node_of(meta, "y").input.append("^save/RestoreV2")

    assert reaching_operations(save_with_weights(tmp_path / "network", by_predicting)) == ["RestoreV2"]


def test_a_saver_does_nothing_but_save(tmp_path):
    def by_saving(meta):
        meta.graph_def.node.add(op="WriteFile", name="save/Write")
        node_of(meta, "save/Identity").input.append("^save/Write")

    assert reaching_operations(save_with_weights(tmp_path / "network", by_saving)) == ["WriteFile"]
