"""What a model's files would reach for beyond its inputs, found out without loading them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnperm_mlflow.models._unreached import (
    RESTORING,
    SAVING,
    called_functions,
    helper_functions,
    named_functions,
    saver_nodes,
)

_SAVER, _RESTORER = "__inference__traced_save", "__inference__traced_restore"
"""Names of the functions that each SavedModel has: for saving it again, which nobody calls, and for its weights."""

_SAVING, _RESTORING = frozenset({"SaveV2", "MergeV2Checkpoints"}), frozenset({"RestoreV2"})
"""Operations that these two are made for."""

_SAVER_OPERATIONS = {SAVING: _SAVING, RESTORING: _RESTORING}

_REACHING = re.compile(
    r"ReadFile|MatchingFiles|ImmutableConst|Restore.*|PyFunc.*|EagerPyFunc|Debug.*|.*Dataset.*|.*Iterator.*|.*Reader.*"
    r"|.*FromTextFile.*|.*Vocab.*|(De|En)codeProto.*|XlaCustomCall.*|Abort"
)
"""Operations that reach further though TensorFlow may call them stateless."""

_OWN_STATE = re.compile(
    r"Variable(V2)?|VarHandleOp|VarIsInitializedOp|ReadVariableOp|Assign\w*VariableOp|Resource(Gather|Scatter)\w*|DisableCopyOnRead"
    r"|\w*HashTable\w*|LookupTable(Find|Size|Import|Export|Insert|Remove)V2|InitializeTableV2"
    r"|(Stateful)?PartitionedCall|If|While|Case|Assert|Placeholder\w*|CudnnRNN\w*|TensorArray\w*"
    r"|Random\w*|Multinomial|TruncatedNormal|ParameterizedTruncatedNormal|Stateful(Uniform|Standard|Truncated|Random)\w*"
    r"|RngReadAndSkip|RngSkip"
)
"""Operations with a state that stays inside the model: variables, tables, calls, random numbers."""

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
    uncalled = names - named_functions(saved) - called_functions(functions)
    helpers = helper_functions(saved, functions)
    found: set[str] = set()
    for meta in saved.meta_graphs:
        savers = saver_nodes(meta)
        found.update(
            node.op
            for node in meta.graph_def.node
            if node.op not in _SAVER_OPERATIONS.get(savers.get(node.name, ""), ()) and not _stays_inside(node.op, names)
        )
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


def _stays_inside(operation: str, functions: set[str]) -> bool:
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415 - the only place that knows statefulness

    known = op_def_registry.get(operation)
    if known is None:
        return operation in functions
    return bool(_OWN_STATE.fullmatch(operation)) or (not known.is_stateful and not _REACHING.fullmatch(operation))


def only_computes(operation: str) -> bool:
    """Tell whether an operation of TensorFlow reaches for nothing beyond what it takes and a state of its own."""
    return _stays_inside(operation, set())
