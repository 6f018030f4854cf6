"""What a model's files would reach for beyond its inputs, found out without loading them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_SAVER, _RESTORER = "__inference__traced_save", "__inference__traced_restore"
"""Names of the functions that each SavedModel has: for saving it again, which nobody calls, and for its weights."""

_SAVING, _RESTORING = frozenset({"SaveV2", "MergeV2Checkpoints"}), frozenset({"RestoreV2"})
"""Operations that these two are made for."""

_REACHING = re.compile(
    r"ReadFile|MatchingFiles|ImmutableConst|Restore.*|PyFunc.*|EagerPyFunc|Debug.*|.*Dataset.*|.*Iterator.*|.*Reader.*"
    r"|.*FromTextFile.*|.*Vocab.*|(De|En)codeProto.*|XlaCustomCall.*|Abort"
)
"""Operations that reach further though TensorFlow may call them stateless."""

_OWN_STATE = re.compile(
    r"VarHandleOp|VarIsInitializedOp|ReadVariableOp|Assign\w*VariableOp|Resource(Gather|Scatter)\w*|DisableCopyOnRead"
    r"|\w*HashTable\w*|LookupTable(Find|Size|Import|Export|Insert|Remove)V2|InitializeTableV2"
    r"|(Stateful)?PartitionedCall|If|While|Case|Assert|Placeholder\w*|CudnnRNN\w*|TensorArray\w*"
    r"|Random\w*|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal|Stateful(Uniform|Standard|Truncated|Random)\w*"
    r"|RngReadAndSkip|RngSkip"
)
"""Operations with a state that stays inside the model: variables, tables, calls, random numbers."""

_PLAIN_OBJECTS = re.compile("_generic_user_object|_tf_keras_.*")
"""What TensorFlow makes objects without methods of: of their attributes it asks for none that has a public name."""

_ADAPTING = "_adapt_function"
"""Attribute of a layer of Keras 2 with the function that it once learned its statistics or words by."""

_MODELLING = re.compile(
    r"keras(\.(activations|constraints|dtype_policies|initializers|layers|losses|metrics|models|ops|optimizers"
    r"|quantizers|random|regularizers|src|_legacy\.layers)(\.\w+)*)?"
)
"""Modules of Keras that networks are made of; others read files, download, or change how Keras loads."""

_RUNNING = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")
"""Classes of Keras that bring code or another model with them."""


def reaching_operations(saved_model: Path) -> list[str]:
    """Return the operations of a SavedModel that reach for files, the network or Python of the calling process.

    Parameters
    ----------
    saved_model : Path
        Directory with `saved_model.pb`; nothing in it is loaded.

    Returns
    -------
    list of str
        Sorted; empty where what runs on loading or predicting computes and does nothing else.
    """
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    functions = [function for graph in graphs for function in graph.library.function]
    names = {function.signature.name for function in functions}
    uncalled = names - _named_functions(saved) - _called_functions(functions)
    helpers = _helper_functions(saved, functions)
    found = {node.op for graph in graphs for node in graph.node if not _stays_inside(node.op, names)}
    for function in functions:
        name = function.signature.name
        if name in helpers:
            continue
        expected = _SAVING if name.startswith(_SAVER) and name in uncalled else frozenset()
        expected = _RESTORING if name.startswith(_RESTORER) else expected
        found.update(
            node.op for node in function.node_def if node.op not in expected and not _stays_inside(node.op, names)
        )
    return sorted(found)


def reaching_layers(config: Any) -> list[str]:  # noqa: ANN401 - nested JSON
    """Return the parts of a network's configuration that would run code or read files when it is loaded.

    Parameters
    ----------
    config : nested dicts and lists
        As a `.keras` or HDF5 file holds it.

    Returns
    -------
    list of str
        Classes and functions that are neither Keras's own nor registered in this process, and those of Keras that
        reach further; empty where the network is made of layers and weights alone.
    """
    if isinstance(config, list):
        return sorted({name for part in config for name in reaching_layers(part)})
    if not isinstance(config, Mapping):
        return []
    found = set(reaching_layers(list(config.values())))
    settings = config.get("config")
    kind = str(config.get("class_name"))
    if kind.rpartition(".")[2] in _RUNNING:
        found.add(kind)
    elif config.get("module") and "class_name" in config and not _belongs_to_keras(config):
        found.add(f"{config['module']}.{settings if kind == 'function' else kind}")
    if isinstance(settings, Mapping) and isinstance(settings.get("vocabulary"), str):
        found.add(f"{kind} with its vocabulary in a file")
    return sorted(found)


def _belongs_to_keras(part: Mapping[str, Any]) -> bool:
    """Tell whether a class or function is a piece of networks in Keras, or one that this process has registered."""
    import keras  # noqa: PLC0415 - a configuration is read before anything is loaded

    is_function = part["class_name"] == "function"
    name = str(part.get("config") if is_function else part["class_name"])
    registered = name if is_function else part.get("registered_name", name)
    if registered and keras.saving.get_registered_object(str(registered)) is not None:
        return True
    module = str(part["module"])
    known = bool(_MODELLING.fullmatch(module)) or (is_function and module == "builtins")
    return known and name.isidentifier()


def _named_functions(saved: Any) -> set[str]:  # noqa: ANN401 - a protocol buffer
    """Return the functions that can be called once a SavedModel is loaded."""
    if not _has_objects(saved):
        return {name for meta in saved.meta_graphs for node in meta.graph_def.node for name in _callees(node)}
    objects = saved.meta_graphs[0].object_graph_def
    return set(objects.concrete_functions).union(*(_held_functions(node) for node in objects.nodes))


def _has_objects(saved: Any) -> bool:  # noqa: ANN401
    """Tell whether a SavedModel is loaded as objects with functions, and not as a graph of TensorFlow 1."""
    return len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")


def _held_functions(node: Any) -> set[str]:  # noqa: ANN401
    """Return the functions that an object of a SavedModel stands for."""
    held = {node.bare_concrete_function.concrete_function_name, node.captured_tensor.concrete_function}
    return {*node.function.concrete_functions, *held} - {""}


def _helper_functions(saved: Any, functions: Sequence[Any]) -> set[str]:  # noqa: ANN401
    """Return functions that nothing calls on loading or predicting: attributes of plain objects, and what these call.

    Whatever has another way to them is none: the objects that TensorFlow looks into, the graph, gradients, and
    implementations that it may take for one another.
    """
    if not _has_objects(saved):
        return set()
    (meta,) = saved.meta_graphs
    helpers = _helper_objects(meta.object_graph_def)
    nodes = enumerate(meta.object_graph_def.nodes)
    held = {name for number, node in nodes if number in helpers for name in _held_functions(node)}
    calls = {function.signature.name: _called_functions([function]) for function in functions}
    theirs = _reached(held, calls)
    others = {name for node in meta.graph_def.node for name in _callees(node)}
    nodes = enumerate(meta.object_graph_def.nodes)
    others |= {name for number, node in nodes if number not in helpers for name in _held_functions(node)}
    others |= {gradient.gradient_func for gradient in meta.graph_def.library.gradient}
    others |= {function.signature.name for function in functions if "api_implements" in function.attr}
    return theirs - _reached(others | (set(calls) - theirs), calls)


def _helper_objects(objects: Any) -> set[int]:  # noqa: ANN401
    """Return the functions among a SavedModel's objects that are attributes of plain objects and nothing else."""
    holders: dict[int, list[tuple[int, str]]] = {}
    for number, node in enumerate(objects.nodes):
        for child in (*node.children, *node.dependencies):
            holders.setdefault(child.node_id, []).append((number, child.local_name))
        for saver in node.saveable_objects.values():
            for function in (saver.save_function, saver.restore_function):
                holders.setdefault(function, []).append((number, "_saver"))
    kinds = [node.WhichOneof("kind") for node in objects.nodes]
    found = {number for number in holders if number and kinds[number] in ("function", "bare_concrete_function")}

    def is_helper(holder: int, attribute: str) -> bool:
        node = objects.nodes[holder]
        is_plain = kinds[holder] == "user_object" and _PLAIN_OBJECTS.fullmatch(node.user_object.identifier)
        is_public = not attribute.startswith("_") and attribute != "signatures"
        is_attribute = is_plain and not node.registered_name and (is_public or attribute == _ADAPTING)
        return bool(is_attribute) or holder in found

    while more := {number for number in found if not all(is_helper(*holder) for holder in holders[number])}:
        found -= more
    return found


def _reached(names: Iterable[str], calls: Mapping[str, set[str]]) -> set[str]:
    """Return functions and all that they call, over however many steps."""
    reached: set[str] = set()
    waiting = set(names)
    while waiting:
        reached |= waiting
        waiting = {callee for name in waiting for callee in calls.get(name, ())} - reached
    return reached & set(calls)


def _called_functions(functions: Iterable[Any]) -> set[str]:
    """Return the functions that others call."""
    return {name for function in functions for node in function.node_def for name in _callees(node)}


def _callees(node: Any) -> set[str]:  # noqa: ANN401 - a protocol buffer
    """Return what an operation may call, by name."""
    attributes = list(node.attr.values())
    names = {attribute.func.name for attribute in attributes}
    return {node.op, *names, *(function.name for attribute in attributes for function in attribute.list.func)}


def _stays_inside(operation: str, functions: set[str]) -> bool:
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415 - the only place that knows statefulness

    known = op_def_registry.get(operation)
    if known is None:
        return operation in functions
    return bool(_OWN_STATE.fullmatch(operation)) or (not known.is_stateful and not _REACHING.fullmatch(operation))


def only_computes(operation: str) -> bool:
    """Tell whether an operation of TensorFlow reaches for nothing beyond what it takes and a state of its own."""
    return _stays_inside(operation, set())
