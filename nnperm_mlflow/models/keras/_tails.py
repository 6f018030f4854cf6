"""Series from some step on: a recurrent layer is run again from the first step that changed, not from the beginning.

What a layer that goes through a series once, forwards, holds before a step depends on the steps before it alone. Where
a window is disturbed, the states at its edge are those of the undisturbed rows, and only the rest is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.framework import Border
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras.nodes import KerasGraph, KerasStep, packed
from nnperm_mlflow.models.tensors import Compiled, any_rows, to_tensor

_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})

_STEP_BY_STEP = frozenset(
    {
        "Activation",
        "Dense",
        "Dropout",
        "ELU",
        "GaussianDropout",
        "GaussianNoise",
        "Identity",
        "LeakyReLU",
        "Masking",
        "ReLU",
        "Rescaling",
        "SpatialDropout1D",
    }
)
"""Layers that make of a step of a series what they would make of it among any others."""

_ALONG_CHANNELS = frozenset({"BatchNormalization", "LayerNormalization", "Normalization"})
"""Layers that do so where their axis is the last one."""

_States = list[list[Any]]


class Tail:
    """The own steps of a series from any of its steps on.

    Parameters
    ----------
    steps : sequence of KerasStep
        All own steps, in order.
    recurrent : sequence of KerasStep
        Those among them that go through the series.
    key : Key
        The input.
    border : tuple of Key
    spec : InputSpec
    """

    def __init__(
        self,
        steps: list[KerasStep],
        recurrent: list[KerasStep],
        *,
        key: Key,
        border: tuple[Key, ...],
        spec: InputSpec,
    ) -> None:
        self._steps = steps
        self._places = {step.gives[0]: place for place, step in enumerate(recurrent)}
        self._recurrent = recurrent
        self._key = key
        self._border = border
        self._spec = spec
        self._function: Compiled | None = None

    def begin(self, n_rows: int) -> _States:
        """Return the states before the first step."""
        return [[*step.operation.get_initial_state(batch_size=n_rows)] for step in self._recurrent]

    def __call__(self, rows: Any, states: _States) -> tuple[Border, _States]:  # noqa: ANN401
        """Run the steps over a part of the series.

        Parameters
        ----------
        rows : array or tensor of shape (n_rows, n_steps, ...)
            As many steps as there are; the border is the input's where they are the last ones.
        states : nested list of tensors of shape (n_rows, n_units)
            Before the first of them, for each layer that goes through the series.

        Returns
        -------
        border : Border
        states : nested list of tensors of shape (n_rows, n_units)
            Behind the last of them.
        """
        tensor = to_tensor(rows, self._spec)
        if self._function is None:
            shape = [None, None, *tensor.shape[2:]]
            signature = [tf.TensorSpec(shape, tensor.dtype), tf.nest.map_structure(any_rows, states)]
            self._function = Compiled(self._run, signature)
        border, after = self._function(tensor, states)
        return border, after

    def _run(self, rows: Any, states: _States) -> tuple[Border, _States]:  # noqa: ANN401
        values, after = {self._key: rows}, []
        for step in self._steps:
            place = self._places.get(step.gives[0])
            if place is None:
                values.update(zip(step.gives, step.run(values), strict=True))
                continue
            layer = step.operation
            given = _given(step, *step.filled(values))
            _, sequences, found = layer.inner_loop(
                sequences=given["sequences"], initial_state=list(states[place]), mask=given.get("mask"), training=False
            )
            values[step.gives[0]] = sequences if layer.return_sequences else found[0]
            after.append(list(found))
        return [packed(values[key]) for key in self._border], after


def find_tails(graph: KerasGraph, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> dict[str, Tail]:
    """Return what runs series from some step on, by the input's name; not for those that are read in another way."""
    found = {}
    for name, key in inputs.items():
        steps = graph.own_steps(key)
        recurrent = _recurrent_steps(graph, key, steps)
        if recurrent:
            border = graph.border(key)
            found[name] = Tail(steps, recurrent, key=key, border=border, spec=specs[name])
    return found


def _recurrent_steps(graph: KerasGraph, key: Key, steps: list[KerasStep]) -> list[KerasStep]:
    """Return the layers that go through a series; none where anything else needs more of it than a step at a time."""
    series, recurrent = {key}, []
    for step in steps:
        if series.isdisjoint(step.takes):
            continue
        if not series.issuperset(step.takes) or len(step.gives) != 1:
            return []
        if step.kind in _RECURRENT and _goes_through(step):
            recurrent.append(step)
            if step.operation.return_sequences:
                series.update(step.gives)
        elif _is_step_by_step(graph, step):
            series.update(step.gives)
        else:
            return []
    return recurrent if series.isdisjoint(graph.border(key)) else []


def _goes_through(step: KerasStep) -> bool:
    """Tell whether a layer's state behind a step is all that what follows needs of what came before.

    Where steps are masked, its sequences need more: a masked step has the output of the last one that is not.
    """
    layer = step.operation
    if not hasattr(layer, "inner_loop"):  # Keras 2 has none
        return False
    given = _given(step, step.node.arguments.args, step.node.arguments.kwargs)
    forwards = not (layer.go_backwards or layer.stateful or layer.unroll or layer.return_state)
    from_nothing = given.get("initial_state") is None and layer.compute_dtype == "float32"
    return forwards and from_nothing and not (layer.return_sequences and given.get("mask") is not None)


def _given(step: KerasStep, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer's call by name."""
    return dict(inspect.signature(step.operation.call).bind(*args, **kwargs).arguments)


def _is_step_by_step(graph: KerasGraph, step: KerasStep) -> bool:
    """Tell whether a step of what is given depends on the same step of what is taken alone."""
    taken, given = (len(graph.shapes[key][0]) for key in (step.takes[0], step.gives[0]))
    if step.kind == "Embedding":
        return taken == 2
    axis = getattr(step.operation, "axis", None)
    along_channels = taken > 2 and set(axis if isinstance(axis, (list, tuple)) else [axis]) <= {-1, taken - 1}
    if _is_of_a_mask(step):
        return given == taken or along_channels
    if taken < 3:
        return False
    if step.kind in _ALONG_CHANNELS:
        return along_channels
    return step.kind in _STEP_BY_STEP and (step.kind != "Activation" or _is_elementwise(step.operation.activation))


def _is_of_a_mask(step: KerasStep) -> bool:
    """Tell whether a step is one of those by which Keras finds what is masked: a comparison, and over channels."""
    own = type(step.operation)
    return own.__module__.startswith("keras.src.ops.") and own.__name__ in ("Any", "NotEqual")


def _is_elementwise(activation: Any) -> bool:  # noqa: ANN401
    """Tell whether an activation is one of Keras's own: it looks at one number, or at one step's channels."""
    return getattr(keras.activations, getattr(activation, "__name__", ""), None) is activation
