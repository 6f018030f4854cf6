"""What PyTorch's own reader of an exported program evaluates as Python, wherever MLflow serves the model.

An audit evaluates none of it: it reads the graph alone. What is more than arithmetic on lengths would nevertheless run
where the model is served, and could make another model of it there than the one that was audited.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nnperm_mlflow.models.torch.archive import ForeignPartError

_FUNCTIONS_OF_LENGTHS = """
    Symbol Integer Float Rational Mul Add Pow Mod PythonMod FloorDiv CleanDiv ModularIndexing Max Min Eq Ne
    Unequality Equality Le Lt Ge Gt LessThan StrictLessThan GreaterThan StrictGreaterThan And Or Not Where CeilToInt
    FloorToInt TruncToInt TruncToFloat RoundToInt ToFloat IntTrueDiv FloatTrueDiv FloatPow PowByNatural Identity
    true false min max
"""
_LENGTH_FUNCTIONS = frozenset(_FUNCTIONS_OF_LENGTHS.split())
_GUARD_NAMES = frozenset({"L", "size", "stride", "storage_offset", "math", "torch", "sym_min", "sym_max", "sym_float"})
_ARITHMETIC = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.UnaryOp, ast.BinOp, ast.BoolOp,
    ast.Compare, ast.Subscript, ast.Attribute, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.IfExp,
)  # fmt: skip
_MOST_OF_AN_EXPRESSION = 10_000  # characters
_TREE_TYPES: tuple[str | None, ...] = (
    None,
    "builtins.tuple",
    "builtins.list",
    "builtins.dict",
    "collections.OrderedDict",
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_NAME_KEYS = frozenset({"name", "as_name"})
_TREE_KEYS = frozenset({"in_spec", "out_spec"})
_TABLES_OF_NAMES = frozenset({"tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values"})
_WEIGHT_KEYS = frozenset({"parameter_name", "buffer_name", "tensor_constant_name"})
_PATH = re.compile(r"\w+(\.\w+)*")


def check_evaluated_text(program: Mapping[str, Any]) -> None:
    """Refuse a program of which PyTorch's reader would evaluate anything but arithmetic on lengths.

    Parameters
    ----------
    program : mapping
        An exported program as nested JSON.

    Raises
    ------
    ForeignPartError
    """
    guards = program.get("guards_code") or []
    if not isinstance(guards, list):
        raise ForeignPartError("says in an unknown form what it guards")
    for guard in guards:
        _check_expression(guard, _GUARD_NAMES, "a guard")
    for key, value in _pairs(program):
        if key == "expr_str":
            _check_expression(value, _LENGTH_FUNCTIONS, "a length")
        elif (key in _NAME_KEYS and value not in (None, "")) or key == "forward_arg_names":
            for name in value if isinstance(value, list) else [value]:
                _check_name(name)
        elif key in _TABLES_OF_NAMES and isinstance(value, dict):
            for name in value:
                _check_name(name)
        elif key in _TREE_KEYS:
            _check_tree(value)
        elif key in _WEIGHT_KEYS and not _PATH.fullmatch(str(value)):
            raise ForeignPartError(f"names a weight {str(value)[:40]!r}, which is no path of names")
        elif key == "source_fn_stack":
            _check_origins(value)


def _pairs(part: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - nested JSON
    """Yield all keys of nested JSON with what stands under them."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from part.items()
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _check_name(name: object) -> None:
    """PyTorch writes the names of a graph into Python code, which it then runs."""
    if not isinstance(name, str) or not name.isascii() or not _NAME.fullmatch(name):
        raise ForeignPartError(f"names a part of its graph {str(name)[:40]!r}, which is no identifier")


def _check_expression(text: object, names: frozenset[str], what: str) -> None:
    """Sympy evaluates a length as Python, and guards are compiled."""
    try:
        if not isinstance(text, str) or len(text) > _MOST_OF_AN_EXPRESSION:
            raise ValueError
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ForeignPartError(f"has {what} that is no expression: {str(text)[:60]!r}") from error
    for node in nodes:
        named = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
        is_known = named is None or named in names or bool(re.fullmatch(r"[suz]\d+", named))
        if not isinstance(node, _ARITHMETIC) or not is_known:
            raise ForeignPartError(f"has {what} that is more than arithmetic: {text[:60]!r}")


def _check_tree(text: object) -> None:
    """PyTorch makes the nest of inputs and outputs anew, of types that are named."""
    try:
        parts = list(_pairs(json.loads(str(text))))
        contexts = [json.loads(value) for key, value in parts if key == "context" and value is not None]
    except (ValueError, TypeError, RecursionError) as error:
        raise ForeignPartError("says in an unknown form how its inputs and outputs are nested") from error
    kinds = [value for key, value in parts if key == "type"]
    for kind in kinds:
        if kind not in _TREE_TYPES:
            raise ForeignPartError(f"takes or gives tensors in a {kind!r}, which is no tuple, list or dict")
    if any(not isinstance(part, str) for context in contexts if context is not None for part in context):
        raise ForeignPartError("calls a part of its inputs or outputs by something that is no name")


def _check_origins(text: object) -> None:
    """PyTorch looks up where a step came from, by attributes of its own modules."""
    for origin in str(text).split(";"):
        if not all(_PATH.fullmatch(part) for part in origin.split(",")):
            raise ForeignPartError(f"says of a step that it came from {origin[:60]!r}, which is no name")
