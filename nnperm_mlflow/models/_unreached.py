"""What of a SavedModel nothing runs on loading or predicting, found out without loading it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SAVING, RESTORING = "saving", "restoring"
_SAVERS = "savers"  # collection in which a graph of TensorFlow 1 describes its savers, and runs none

_PLAIN_OBJECTS = re.compile("_generic_user_object|_tf_keras_.*")
"""What TensorFlow makes objects without methods of: of their attributes it asks for none that has a public name."""

_ADAPTING = "_adapt_function"
"""Attribute of a layer of Keras 2 with the function that it once learned its statistics or words by."""


def helper_functions(saved: Any, functions: Sequence[Any]) -> set[str]:  # noqa: ANN401
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
    calls = {function.signature.name: called_functions([function]) for function in functions}
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


def saver_nodes(meta: Any) -> dict[str, str]:  # noqa: ANN401 - a protocol buffer
    """Return the operations of a graph of TensorFlow 1 that only its saver needs, by name, and what for.

    Saving, which nobody asks for, or restoring the weights on loading.
    """
    takes = {node.name: {name.lstrip("^").partition(":")[0] for name in node.input} for node in meta.graph_def.node}
    saver = meta.saver_def
    needs = {
        SAVING: _reached([saver.save_tensor_name.partition(":")[0]], takes),
        RESTORING: _reached([saver.restore_op_name.partition(":")[0]], takes),
    }
    own = needs[SAVING] | needs[RESTORING]
    told = [part.SerializeToString() for key, part in meta.collection_def.items() if key != _SAVERS]
    told += [signature.SerializeToString() for signature in meta.signature_def.values()]
    named = {name for name in own if any(name.encode() in part for part in told)}
    elsewhere = _reached(named | (set(takes) - own), takes)
    return {name: what for what, names in needs.items() for name in names - elsewhere}


def named_functions(saved: Any) -> set[str]:  # noqa: ANN401 - a protocol buffer
    """Return the functions that can be called once a SavedModel is loaded."""
    if not _has_objects(saved):
        return {name for meta in saved.meta_graphs for node in meta.graph_def.node for name in _callees(node)}
    objects = saved.meta_graphs[0].object_graph_def
    return set(objects.concrete_functions).union(*(_held_functions(node) for node in objects.nodes))


def called_functions(functions: Iterable[Any]) -> set[str]:
    """Return the functions that others call."""
    return {name for function in functions for node in function.node_def for name in _callees(node)}


def _has_objects(saved: Any) -> bool:  # noqa: ANN401
    """Tell whether a SavedModel is loaded as objects with functions, and not as a graph of TensorFlow 1."""
    return len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")


def _held_functions(node: Any) -> set[str]:  # noqa: ANN401
    """Return the functions that an object of a SavedModel stands for."""
    held = {node.bare_concrete_function.concrete_function_name, node.captured_tensor.concrete_function}
    return {*node.function.concrete_functions, *held} - {""}


def _callees(node: Any) -> set[str]:  # noqa: ANN401 - a protocol buffer
    """Return what an operation may call, by name."""
    attributes = list(node.attr.values())
    names = {attribute.func.name for attribute in attributes}
    return {node.op, *names, *(function.name for attribute in attributes for function in attribute.list.func)}


def _reached(names: Iterable[str], calls: Mapping[str, set[str]]) -> set[str]:
    """Return functions or operations and all that they lead to, over however many steps."""
    reached: set[str] = set()
    waiting = set(names)
    while waiting:
        reached |= waiting
        waiting = {callee for name in waiting for callee in calls.get(name, ())} - reached
    return reached & set(calls)
