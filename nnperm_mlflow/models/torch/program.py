"""An exported program as steps: which operator takes what and gives what, read from its graph as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nnperm_mlflow.models.torch.archive import Archive, ForeignPartError, tensor_type
from nnperm_mlflow.models.torch.operators import find_operator

_MEMORY_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format,
}  # fmt: skip
_STRIDED = 7  # the only layout of tensors that is no sparse one

Length = int | str
"""Of an axis: a number, or the expression by which the program calls one that varies."""


@dataclass(frozen=True)
class Value:
    """Stands among a step's arguments for what another step gives, an input or a weight.

    Attributes
    ----------
    name : str
    """

    name: str


@dataclass(frozen=True)
class Call:
    """One call of an operator.

    Attributes
    ----------
    function : torch.ops.OpOverload or callable
    arguments : tuple
        Numbers, types, `Value`s, lists of them.
    options : mapping of str to the same
    gives : tuple of str
    gives_several : bool
        Whether the operator returns a list or tuple.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    gives: tuple[str, ...]
    gives_several: bool

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of all values that it takes."""
        return tuple(dict.fromkeys(_values_in([*self.arguments, *self.options.values()])))

    def run(self, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield what it gives, by name, for values of all that it uses."""
        arguments = [_filled_in(argument, values) for argument in self.arguments]
        found = self.function(*arguments, **{name: _filled_in(it, values) for name, it in self.options.items()})
        return zip(self.gives, found if self.gives_several else [found], strict=False)


def _values_in(part: Any) -> Iterator[str]:  # noqa: ANN401 - nested arguments
    if isinstance(part, Value):
        yield part.name
    elif isinstance(part, list):
        for inner in part:
            yield from _values_in(inner)


def _filled_in(part: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if isinstance(part, Value):
        return values[part.name]
    return [_filled_in(inner, values) for inner in part] if isinstance(part, list) else part


@dataclass(frozen=True)
class Program:
    """A network as torch.export writes it.

    Attributes
    ----------
    calls : tuple of Call
        In an order in which they can be run.
    inputs : tuple of str
    outputs : tuple of str
        Values that the network returns, but for numbers of all rows together (as a loss).
    output_names : tuple of str
        What it calls them, where it returns a dict; empty otherwise.
    constants : mapping of str to Tensor, number or None
        Weights, buffers, and inputs that were fixed when it was logged.
    shapes : mapping of str to tuple of (int or str)
        Of each tensor.
    types : mapping of str to torch.dtype
    written : frozenset of str
        Inputs and buffers that it says it writes into.
    """

    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    constants: Mapping[str, Any]
    shapes: Mapping[str, tuple[Length, ...]]
    types: Mapping[str, torch.dtype]
    written: frozenset[str]


def read_program(archive: Archive) -> Program:
    """Return the program of an archive.

    Parameters
    ----------
    archive : Archive

    Returns
    -------
    Program

    Raises
    ------
    ForeignPartError
        If it calls anything but operators that compute.
    """
    try:
        module = archive.program["graph_module"]
        graph, signature = module["graph"], module["signature"]
        if graph.get("custom_obj_values"):
            raise ForeignPartError("holds objects of classes of its own")
        inputs, constants = _inputs(signature["input_specs"], archive.tensors)
        outputs, written = _outputs(signature["output_specs"])
        names = _output_names(module["module_call_graph"], len(outputs))
        shapes = {name: tuple(_length(it) for it in meta["sizes"]) for name, meta in graph["tensor_values"].items()}
        of_rows = [place for place, name in enumerate(outputs) if shapes[name]]
        return Program(
            calls=tuple(_call(node) for node in graph["nodes"]),
            inputs=tuple(inputs),
            outputs=tuple(outputs[place] for place in of_rows),
            output_names=tuple(names[place] for place in of_rows if names),
            constants=constants,
            shapes=shapes,
            types={name: tensor_type(meta["dtype"]) for name, meta in graph["tensor_values"].items()},
            written=frozenset(written),
        )
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration) as error:
        raise ForeignPartError(f"holds a graph of an unknown form ({type(error).__name__})") from error


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the kind and the content of what can be one of several kinds."""
    ((kind, content),) = union.items()
    return kind, content


def _inputs(
    specs: Sequence[Mapping[str, Any]], tensors: Mapping[str, torch.Tensor]
) -> tuple[list[str], dict[str, Any]]:
    inputs: list[str] = []
    constants: dict[str, Any] = {}
    for spec in specs:
        kind, told = _only(spec)
        if kind == "constant_input":
            constants[told["name"]] = _only(told["value"])[1]
            continue
        if kind not in ("user_input", "parameter", "buffer", "tensor_constant"):
            raise ForeignPartError(f"takes an input of the kind '{kind}'")
        if kind != "user_input":
            constants[told["arg"]["name"]] = tensors[told[f"{kind}_name"]]
            continue
        argument, content = _only(told["arg"])
        if argument != "as_tensor":
            raise ForeignPartError(f"takes an input that is no tensor ('{argument.removeprefix('as_')}')")
        inputs.append(content["name"])
    return inputs, constants


def _outputs(specs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    outputs, written = [], []
    for spec in specs:
        kind, told = _only(spec)
        if kind == "user_output":
            argument, content = _only(told["arg"])
            if argument == "as_none":
                continue
            if argument != "as_tensor":
                raise ForeignPartError(f"returns what is no tensor ('{argument.removeprefix('as_')}')")
            outputs.append(content["name"])
        elif kind in ("buffer_mutation", "user_input_mutation"):
            written.append(told.get("buffer_name", told.get("user_input_name")))
        else:
            raise ForeignPartError(f"returns an output of the kind '{kind}'")
    return outputs, written


def _output_names(calls: Sequence[Mapping[str, Any]], n_outputs: int) -> tuple[str, ...]:
    """Return the keys of the dict that a network returns."""
    whole = next(call["signature"] for call in calls if call["fqn"] == "" and call["signature"])
    _, tree = json.loads(whole["out_spec"])
    if tree["type"] not in ("builtins.dict", "collections.OrderedDict"):
        return ()
    names = json.loads(tree["context"]) if tree["context"] else []
    return tuple(names) if len(names) == n_outputs else ()


def _length(union: Mapping[str, Any]) -> Length:
    kind, content = _only(union)
    return int(content) if kind == "as_int" else str(content["expr_str"])


def _call(node: Mapping[str, Any]) -> Call:
    function = find_operator(str(node["target"]))
    if function is None:
        raise ForeignPartError(f"calls '{node['target']}', which is not known to compute and do nothing else")
    arguments = [argument for argument in node["inputs"] if argument.get("kind") != _KEYWORD]
    options = {
        argument["name"]: _argument(argument["arg"]) for argument in node["inputs"] if argument.get("kind") == _KEYWORD
    }
    gives, several = _given(node["outputs"])
    return Call(function, tuple(_argument(argument["arg"]) for argument in arguments), options, gives, several)


_KEYWORD = 2  # the kind of an argument that is handed over by name


def _given(outputs: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], bool]:
    """Return what a node gives, and whether its operator returns several; what is None gets a name of its own."""
    names: list[str] = []
    for position, output in enumerate(outputs):
        kind, content = _only(output)
        if kind == "as_tensors":
            return tuple(each["name"] for each in content), True
        names.append(content["name"] if kind == "as_tensor" else _symbol(kind, content, position))
    return tuple(names), len(names) > 1


def _symbol(kind: str, content: Any, position: int) -> str:  # noqa: ANN401 - nested JSON
    return f"none {position}" if kind == "as_none" else str(content["as_name"])


_AS_THEY_ARE = ("as_int", "as_ints", "as_bool", "as_bools", "as_string")
_OF_LENGTHS = ("as_sym_int", "as_sym_bool", "as_sym_float")


def _argument(union: Mapping[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - one kind of argument after the other
    """Return an argument as operators take it."""
    kind, content = _only(union)
    if kind in _AS_THEY_ARE:
        return content
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return Value(content["name"])
    if kind in ("as_tensors", "as_floats", "as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats"):
        single = kind.removesuffix("s")
        return [_argument(part if single == "as_optional_tensor" else {single: part}) for part in content]
    if kind == "as_optional_tensor":
        return _argument(content)
    if kind == "as_float":
        return float(content)
    if kind in _OF_LENGTHS:
        name, value = _only(content)
        return Value(value) if name == "as_name" else value
    return _setting(kind, content)


def _setting(kind: str, content: Any) -> Any:  # noqa: ANN401 - nested JSON
    """Return what an argument says of types, layouts and devices."""
    if kind == "as_scalar_type":
        return tensor_type(content)
    if kind == "as_memory_format":
        return _MEMORY_FORMATS[content]
    if kind == "as_layout" and content == _STRIDED:
        return torch.strided
    if kind == "as_device" and content["type"] == "cpu":
        return torch.device("cpu")
    raise ForeignPartError(f"has an argument of the kind '{kind.removeprefix('as_')}' ({str(content)[:40]!r})")
