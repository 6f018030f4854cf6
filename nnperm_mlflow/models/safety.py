"""What a model's files would reach for beyond its inputs, found out without loading them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SAVER, _RESTORER = "__inference__traced_save", "__inference__traced_restore"
"""Names of the functions that each SavedModel has: for saving it again, which nobody calls, and for its weights."""

_REACHING = re.compile(
    r"ReadFile|MatchingFiles|ImmutableConst|Restore.*|PyFunc.*|EagerPyFunc|Debug.*|.*Dataset.*|.*Iterator.*|.*Reader.*"
)
"""Operations that reach further though TensorFlow may call them stateless."""

_OWN_STATE = re.compile(
    r"VarHandleOp|VarIsInitializedOp|ReadVariableOp|Assign\w*VariableOp|Resource(Gather|Scatter)\w*|DisableCopyOnRead"
    r"|\w*HashTable\w*|LookupTable(Find|Size|Import|Export|Insert|Remove)V2|InitializeTableV2"
    r"|(Stateful)?PartitionedCall|If|While|Case|Assert|Placeholder\w*|CudnnRNN\w*|TensorArray\w*"
    r"|Random\w*|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal|Stateful(Uniform|Standard|Truncated|Random)\w*"
)
"""Operations with a state that stays inside the model: variables, tables, calls, random numbers."""


def reaching_operations(saved_model: Path) -> list[str]:
    """Return the operations of a SavedModel that reach for files, the network or Python of the calling process.

    Parameters
    ----------
    saved_model : Path
        Directory with `saved_model.pb`; nothing in it is loaded.

    Returns
    -------
    list of str
        Sorted; empty where the graph computes and does nothing else.
    """
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    functions = {body.signature.name: body.node_def for graph in graphs for body in graph.library.function}
    named = {name for meta in saved.meta_graphs for name in meta.object_graph_def.concrete_functions}
    called = named.union(*(_called(node, functions) for body in functions.values() for node in body))
    savers = {name for name in functions if name.startswith(_SAVER) and name not in called}
    found = {node.op for graph in graphs for node in graph.node if not _stays_inside(node.op, functions)}
    for name, body in functions.items():
        if name not in savers:
            weights = {"RestoreV2"} if name.startswith(_RESTORER) else set()
            found.update(node.op for node in body if node.op not in weights and not _stays_inside(node.op, functions))
    return sorted(found)


def reaching_layers(config: Any) -> list[str]:  # noqa: ANN401 - nested JSON
    """Return the layers of a network's configuration that would run code or read files when it is loaded.

    Parameters
    ----------
    config : nested dicts and lists
        As a `.keras` or HDF5 file holds it.

    Returns
    -------
    list of str
        Classes; empty where the network is made of layers and weights alone.
    """
    if isinstance(config, list):
        return sorted({name for part in config for name in reaching_layers(part)})
    if not isinstance(config, Mapping):
        return []
    found = set(reaching_layers(list(config.values())))
    settings = config.get("config")
    if config.get("class_name") in ("Lambda", "TFSMLayer"):
        found.add(str(config["class_name"]))
    if isinstance(settings, Mapping) and isinstance(settings.get("vocabulary"), str):
        found.add(f"{config.get('class_name')} with its vocabulary in a file")
    return sorted(found)


def _called(node: Any, functions: Mapping[str, object]) -> set[str]:  # noqa: ANN401 - a protocol buffer
    attributes = list(node.attr.values())
    names = {attribute.func.name for attribute in attributes}
    names.update(function.name for attribute in attributes for function in attribute.list.func)
    return (names | {node.op}) & set(functions)


def _stays_inside(operation: str, functions: Mapping[str, object]) -> bool:
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415 - the only place that knows statefulness

    if operation in functions or _OWN_STATE.fullmatch(operation):
        return True
    known = op_def_registry.get(operation)
    return known is not None and not known.is_stateful and not _REACHING.fullmatch(operation)
