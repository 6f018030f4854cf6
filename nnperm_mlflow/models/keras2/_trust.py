"""What a network of Keras 2 would reach for beyond its inputs, found out without loading it.

The reader of Keras 2 runs what a configuration names: a Lambda's bytes, any function of TensorFlow (`io.read_file`),
any function of its own modules with any arguments. So it is handed nothing but what is known by name to compute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nnperm_mlflow.models.foreign_code import only_computes
from nnperm_mlflow.models.keras2._names import (
    ACTIVATIONS,
    FUNCTIONS,
    LAYERS,
    OLD_OPERATOR,
    OPERATORS,
    POLICIES,
    SETTINGS,
    VALUES,
)

_KERAS = re.compile(
    r"(tf_)?keras(\.(activations|constraints|initializers|layers|mixed_precision|models|regularizers|engine|src)(\.\w+)*)?"
)
"""Modules of Keras 2 that layers and networks come from."""

_CLASSES = LAYERS | OPERATORS | SETTINGS | POLICIES | VALUES | {OLD_OPERATOR}
_RUNNING = frozenset({"Lambda", "__lambda__", "ClassMethod", "InstanceMethod", "InstanceProperty"})
"""Classes of Keras that nobody else can stand for."""

_FUNCTION = "function"
_SETTING = re.compile(r"\w*(initializer|regularizer|constraint)")
_ACTIVATION = re.compile(r"\w*activation")
_COMPILED = "compile_config"
"""What a network was trained with: read by nobody who only predicts."""


def reaching_parts(config: Any) -> list[str]:  # noqa: ANN401 - nested JSON
    """Return the parts of a configuration that would run code or read files, or may do so for all that is known.

    Parameters
    ----------
    config : nested dicts and lists
        As a `.keras` or HDF5 file of Keras 2 holds it, without what `uncompiled` leaves out.

    Returns
    -------
    list of str
        Sorted; empty where the network is made of layers, weights and operators that compute.
    """
    return sorted(set(_reaching(config)))


def uncompiled(config: Any) -> Any:  # noqa: ANN401 - nested JSON
    """Return a configuration without what the network, and any network in it, was compiled with."""
    if isinstance(config, list):
        return [uncompiled(part) for part in config]
    if not isinstance(config, Mapping):
        return config
    return {key: uncompiled(value) for key, value in config.items() if key != _COMPILED}


def _reaching(config: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(config, list):
        for part in config:
            yield from _reaching(part)
    elif isinstance(config, Mapping):
        if "class_name" in config:
            yield from _reaching_class(config)
        for key, value in config.items():
            yield from _reaching_name(str(key), value)
            yield from _reaching(value)


def _reaching_class(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said of a class or function that is none of the known ones."""
    kind, settings, module = str(part["class_name"]), part.get("config"), part.get("module")
    is_function = kind == _FUNCTION
    name = str(settings) if is_function else kind
    known = ACTIVATIONS if is_function else _CLASSES
    from_keras = module is None or bool(_KERAS.fullmatch(str(module))) or (is_function and module == "builtins")
    is_known = from_keras and name in known and str(part.get("registered_name") or name) in known | {_FUNCTION}
    if not is_known and not _is_registered(name, name if is_function else str(part.get("registered_name") or name)):
        yield name if from_keras else f"{module}.{name}"
    if isinstance(settings, Mapping):
        yield from _reaching_settings(kind, settings)


def _reaching_settings(kind: str, settings: Mapping[str, Any]) -> Iterator[str]:
    if kind in OPERATORS and str(settings.get("function")) not in FUNCTIONS:
        yield f"{kind} of {settings.get('function')}"
    if kind == OLD_OPERATOR:
        operation = _operation(settings.get("node_def"))
        if not operation or not only_computes(operation):
            yield f"{kind} of {operation or 'an unknown operation'}"
    if isinstance(settings.get("vocabulary"), str):
        yield f"{kind} with its vocabulary in a file"


def _reaching_name(key: str, value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield a function that is given by its name alone, if it is none of the known ones."""
    if not isinstance(value, str):
        return
    unknown_activation = bool(_ACTIVATION.fullmatch(key)) and value not in ACTIVATIONS
    unknown_setting = bool(_SETTING.fullmatch(key)) and value not in SETTINGS
    if (unknown_activation or unknown_setting) and not _is_registered(value, value):
        yield value


def _operation(node: Any) -> str | None:  # noqa: ANN401
    """Return the operation that a layer of TensorFlow before 2.4 holds."""
    from google.protobuf import json_format, message  # noqa: PLC0415 - needed for these layers alone
    from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: PLC0415

    try:
        if isinstance(node, Mapping):
            return str(json_format.ParseDict(dict(node), NodeDef()).op)
        return str(NodeDef.FromString(str(node).encode()).op)
    except (json_format.ParseError, message.DecodeError):
        return None


def _is_registered(name: str, registered: str) -> bool:
    """Tell whether this process itself has registered a class or function of a name with Keras 2."""
    try:
        from tf_keras.saving import get_registered_object  # noqa: PLC0415 - an extra
    except ImportError:
        return False
    found = get_registered_object(registered)
    return name not in _RUNNING and getattr(found, "__name__", None) == name.rpartition(">")[2]
