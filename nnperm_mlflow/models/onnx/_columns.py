"""Columns that a graph only picks from an input: each range of them becomes an input of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from nnperm_mlflow.models.onnx._constants import AXES_ARE_INPUTS, Constants, version_of
from nnperm_mlflow.models.onnx._part import taken_by

_UNARY = frozenset({"Cast", "Identity"})
"""Operators that turn each number into one number, whatever the others are."""

Range = tuple[str, int, int]
"""Neighbouring columns of an input: their name as an input of their own, the first, and the one behind the last."""


@dataclass(frozen=True)
class View:
    """A tensor that holds columns of an input, each changed by itself at most.

    Attributes
    ----------
    input : str
    start, stop : int
    through : tuple of NodeProto
        What changes them, in order.
    """

    input: str
    start: int
    stop: int
    through: tuple[NodeProto, ...] = ()

    def part(self, start: int, stop: int) -> View:
        """Return a range of its columns, counted from its first."""
        return replace(self, start=self.start + start, stop=self.start + stop)


@dataclass(frozen=True)
class Picked:
    """A graph whose inputs are ranges of columns.

    Attributes
    ----------
    nodes : list of NodeProto
    ranges : dict of str to list of Range
        For each input that is cut its ranges, which cover it.
    weights : list of TensorProto
        What the nodes take that the model does not have.
    like : dict of str to (str, int)
        For each tensor that the model does not have, one of the model's of the same type, and its columns.
    """

    nodes: list[NodeProto]
    ranges: dict[str, list[Range]]
    weights: list[TensorProto] = field(default_factory=list)
    like: dict[str, tuple[str, int]] = field(default_factory=dict)


def pick_columns(model: onnx.ModelProto, widths: Mapping[str, int]) -> Picked:
    """Cut the inputs of a model where its graph takes them apart.

    Parameters
    ----------
    model : onnx.ModelProto
        Not modified.
    widths : mapping of str to int
        Columns of each input; of one that is no matrix, 0.

    Returns
    -------
    Picked
    """
    walk = _Walk(model, widths)
    cuts = {name: _cuts([view for view in walk.taken() if view.input == name], width) for name, width in widths.items()}
    chains = _Chains(model, {name: list(pairwise(ends)) for name, ends in cuts.items() if len(ends) > 2})
    taken = [(name, view) for name in walk.leaves if (view := walk.views.get(name)) and view.input in chains.ranges]
    nodes = [node for name, view in taken for node in chains.to(view, name)]
    for place, node in enumerate(model.graph.node):
        view = walk.views.get(node.input[0]) if node.input else None
        if view is None or view.input not in chains.ranges or not (place in walk.picks or place in walk.moving):
            nodes.append(node)
        elif place in walk.picks:
            nodes += chains.gather(node, view, walk.picks[place])
    return Picked(nodes, chains.ranges, chains.weights, chains.like)


class _Walk:
    """Goes through a model from its inputs on, as far as columns stay columns.

    Attributes
    ----------
    views : dict of str to View
        The tensors that hold columns.
    picks : dict of int to ndarray
        Operators, by their place, that pick some of them: which, counted from the first.
    moving : set of int
        Operators that only hand columns on.
    leaves : dict of str to None
        Tensors that are taken as they are, or are outputs.
    """

    def __init__(self, model: onnx.ModelProto, widths: Mapping[str, int]) -> None:
        self._constants = Constants(model)
        self._nodes = model.graph.node
        self.views = {name: View(name, 0, width) for name, width in widths.items() if width}
        self.picks: dict[int, np.ndarray] = {}
        self.moving: set[int] = set()
        self.leaves: dict[str, None] = dict.fromkeys(value.name for value in model.graph.output)
        for place, node in enumerate(model.graph.node):
            view = self.views.get(node.input[0]) if node.input else None
            if view is not None and (found := _views_of(node, view, self._constants)) is not None:
                self.views.update(found)
                self.moving.add(place)
            elif view is not None and (columns := _picked(node, view, self._constants)) is not None:
                self.picks[place] = columns
            elif node.op_type not in ("Shape", "Size"):
                self.leaves.update(dict.fromkeys(taken_by(node)))

    def taken(self) -> list[View]:
        """Return the columns that are taken together."""
        found = [self.views[name] for name in self.leaves if name in self.views]
        for place, columns in self.picks.items():
            found.append(self.views[self._nodes[place].input[0]].part(int(columns.min()), int(columns.max()) + 1))
        return found


def _cuts(views: Iterable[View], width: int) -> list[int]:
    """Return where an input can be cut: from its first column to behind its last, through no range that is taken."""
    inside = {column for view in views for column in range(view.start + 1, view.stop)}
    edges = {edge for view in views for edge in (view.start, view.stop)}
    return sorted({0, width} | (edges - inside))


def _views_of(node: NodeProto, view: View, constants: Constants) -> dict[str, View] | None:
    """Return the outputs of an operator that are columns again, or None where they are something else."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in _UNARY:
        return {node.output[0]: replace(view, through=(*view.through, node))}
    width = view.stop - view.start
    if node.op_type == "Slice" and (bounds := constants.slice_of(node, width)) is not None:
        return {node.output[0]: view.part(*bounds)}
    if node.op_type == "Split" and (ends := constants.split_of(node, width)) is not None:
        return {name: view.part(*ends_of) for name, ends_of in zip(node.output, pairwise(ends), strict=True) if name}
    return None


def _picked(node: NodeProto, view: View, constants: Constants) -> np.ndarray | None:
    """Return which columns a Gather picks, counted from the first, or None where it is something else."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if node.domain or node.op_type != "Gather" or axis not in (1, -1):
        return None
    index, width = constants.value(node.input[1]), view.stop - view.start
    if index is None or index.size == 0 or index.min() < -width or index.max() >= width:
        return None
    return index.astype(np.int64) % width


class _Chains:
    """Makes the operators that lead from a piece of an input to a tensor of the model."""

    def __init__(self, model: onnx.ModelProto, cuts: Mapping[str, list[tuple[int, int]]]) -> None:
        self.ranges = {
            name: [(f"{name}[{start}:{stop}]", start, stop) for start, stop in ends] for name, ends in cuts.items()
        }
        self.weights: list[TensorProto] = []
        self.like = {part: (name, stop - start) for name, ranges in self.ranges.items() for part, start, stop in ranges}
        self._version = version_of(model)
        self._names = {name for node in model.graph.node for name in [*node.input, *node.output]}

    def to(self, view: View, name: str) -> Iterator[NodeProto]:
        """Yield the operators that give columns of an input as a tensor of the model."""
        source, first, behind = next(
            found for found in self.ranges[view.input] if found[1] <= view.start and view.stop <= found[2]
        )
        steps = list(view.through)
        if (view.start, view.stop) != (first, behind):
            cut = name if not steps else self._new(view.input, view)
            yield self._slice(source, cut, view.start - first, view.stop - first)
            source = cut
        elif not steps:
            steps = [helper.make_node("Identity", [source], [name])]
        for place, step in enumerate(steps, start=1):
            result = name if place == len(steps) else self._new(step.output[0], view)
            moved = NodeProto()
            moved.CopyFrom(step)
            moved.input[0], moved.output[0], moved.name = source, result, ""
            yield moved
            source = result

    def gather(self, node: NodeProto, view: View, columns: np.ndarray) -> Iterator[NodeProto]:
        """Yield the operators that pick columns of an input out of the range that holds them."""
        first = int(columns.min())
        near = view.part(first, int(columns.max()) + 1)
        source = self._new(node.input[0], near)
        yield from self.to(near, source)
        moved = NodeProto()
        moved.CopyFrom(node)
        moved.input[0], moved.input[1] = source, self._weight(columns - first)
        yield moved

    def _slice(self, source: str, result: str, start: int, stop: int) -> NodeProto:
        if self._version < AXES_ARE_INPUTS["Slice"]:
            return helper.make_node("Slice", [source], [result], axes=[1], starts=[start], ends=[stop])
        bounds = [self._weight(np.array([number], dtype=np.int64)) for number in (start, stop, 1)]
        return helper.make_node("Slice", [source, *bounds], [result])

    def _weight(self, value: np.ndarray) -> str:
        name = self._unused()
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def _new(self, like: str, view: View) -> str:
        name = self._unused()
        self.like[name] = (like, view.stop - view.start)
        return name

    def _unused(self) -> str:
        name = next(name for number in range(len(self._names) + 1) if (name := f"piece_{number}") not in self._names)
        self._names.add(name)
        return name
