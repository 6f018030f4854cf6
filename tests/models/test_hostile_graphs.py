"""SavedModels that would read, write or call Python when they are loaded or predict: refused, unless trusted."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from nnperm_mlflow.basics.errors import UntrustedModelError
from nnperm_mlflow.models.trust import reaching_operations
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
