"""Only what a changed input can reach is computed again.

For each cluster of inputs the network splits into a *prefix*, all that does not depend on them, and a *suffix*. The
prefix of a block of rows is run once, together with the baseline; a suffix is run once for each perturbation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.graph import Graph, Key, cluster_inputs
from nnperm_mlflow.models.predictor import OutputSpec, as_columns
from nnperm_mlflow.models.stacking import Arrays, Exactness, predict_stacked, stack
from nnperm_mlflow.models.tensors import MOST_ROWS, describe_failure, input_signature, to_tensor

_MOST_ROWS_SUFFIX = 16_384  # rows of a call of a suffix that costs little
_CHEAP = 0.1  # share of the whole network's cost below which a suffix costs little
_MOST_EXTRA = 0.25  # how much dearer a suffix may be that inputs share, since each takes a while to compile
_WORTH_IT = 0.8  # share of the whole network's cost beyond which a suffix saves too little

Kept = dict[str, list[Any]]
"""Tensors of the frontiers with their masks; an empty list of masks where a tensor has none."""


class BranchPredictor:
    """A functional Keras network that is run by branches.

    Parameters
    ----------
    inputs : sequence of InputSpec
        In the order of the graph's inputs.
    outputs : OutputSpec
    graph : Graph
    """

    def __init__(self, inputs: Sequence[InputSpec], outputs: OutputSpec, graph: Graph) -> None:
        self.inputs = tuple(inputs)
        self.outputs = outputs
        self.graph = graph
        self.key_of = dict(zip((spec.name for spec in inputs), graph.inputs, strict=True))
        self._specs = {spec.name: spec for spec in inputs}
        clusters = cluster_inputs(graph, graph.inputs, _MOST_EXTRA, _WORTH_IT)
        self._cluster_of = {key: cluster for cluster in clusters for key in cluster}
        whole = sum(step.cost for step in graph.steps)
        self._shares = {cluster: graph.cost(cluster) / whole if whole else 1.0 for cluster in clusters}
        self._frontier = tuple(dict.fromkeys(key for cluster in clusters for key in graph.frontier(cluster)))
        self._whole = tf.function(self._run_whole, input_signature=[input_signature(self.inputs)], autograph=False)
        self.calls = 0
        self.exactness = Exactness()
        self._suffixes: dict[tuple[Key, ...], Any] = {}
        self._refused: set[tuple[Key, ...]] = set()

    @property
    def shares(self) -> dict[str, float]:
        """For each input the share of the network's multiplications that are done again when it changes, about."""
        clusters = {name: self._cluster_of[key] for name, key in self.key_of.items()}
        return {name: self._shares[it] if self._is_branch(it) else 1.0 for name, it in clusters.items()}

    @property
    def reuses(self) -> bool:
        """Whether any input leaves something of the network as it was."""
        return any(share < 1 for share in self.shares.values())

    def begin(self, block: Arrays) -> BranchBlock:
        """Predict a block of rows as they are, and keep what lies on the frontiers of all suffixes."""
        tensors = {name: to_tensor(block[name], spec) for name, spec in self._specs.items()}
        self.calls += 1
        baseline, kept = self._run_prefix(tensors)
        return BranchBlock(self, dict(block), tensors, kept, baseline)

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of the whole network, of shape (n_rows, n_outputs)."""
        return self._run_prefix({name: to_tensor(inputs[name], spec) for name, spec in self._specs.items()})[0]

    def _run_prefix(self, tensors: Mapping[str, Any]) -> tuple[np.ndarray, Kept]:
        predicted, kept = self._guarded(self._whole, dict(tensors))
        return as_columns(predicted, len(next(iter(tensors.values())))), kept

    def fitted(self, probe: Arrays) -> BranchPredictor:
        """Leave alone, from now on, suffixes that do not give the whole network's numbers bit for bit on some rows."""
        turned = {name: array[::-1] for name, array in probe.items()}
        block = self.begin(probe)
        for cluster in self._shares:
            if not self._is_branch(cluster):
                continue
            change = {name: turned[name] for name, key in self.key_of.items() if key in cluster}
            found = self.run_suffix(cluster, change, block.kept, 1)
            if not np.array_equal(found, self.call({**probe, **change}), equal_nan=True):
                self._refused.add(cluster)
        return self

    def suffix_for(self, names: Iterable[str]) -> tuple[Key, ...] | None:
        """Return the cluster that holds all of the named inputs; None where only the whole network will do."""
        clusters = {self._cluster_of[self.key_of[name]] for name in names}
        cluster = next(iter(clusters)) if len(clusters) == 1 else None
        return cluster if cluster is not None and self._is_branch(cluster) else None

    def most_rows(self, cluster: tuple[Key, ...] | None) -> int:
        """Return how many rows a call shall get."""
        cheap = cluster is not None and self._shares[cluster] < _CHEAP
        return _MOST_ROWS_SUFFIX if cheap else MOST_ROWS

    def run_suffix(self, cluster: tuple[Key, ...], changed: Arrays, kept: Kept, copies: int) -> np.ndarray:
        """Return predictions for changed inputs, `copies` changes one below the other, and what was kept."""
        frontier = self.graph.frontier(cluster)
        places = [self._frontier.index(key) for key in frontier]
        own = {part: [kept[part][place] for place in places] for part in ("values", "masks")}
        tensors = {name: to_tensor(array, self._specs[name]) for name, array in changed.items()}
        if cluster not in self._suffixes:
            self._suffixes[cluster] = self._compile_suffix(cluster, own)
        predicted = self._guarded(self._suffixes[cluster], tensors, own, tf.constant(copies))
        return as_columns(predicted, len(next(iter(tensors.values()))))

    def _is_branch(self, cluster: tuple[Key, ...]) -> bool:
        return self._shares[cluster] <= _WORTH_IT and cluster not in self._refused

    def _run_whole(self, tensors: Mapping[str, Any]) -> tuple[list[Any], Kept]:
        values = {key: tensors[name] for name, key in self.key_of.items()}
        for step in self.graph.steps:
            values.update(zip(step.gives, step.run(values), strict=True))
        kept = [values[key] for key in self._frontier]
        return [values[key] for key in self.graph.outputs], {"values": kept, "masks": [_mask(value) for value in kept]}

    def _compile_suffix(self, cluster: tuple[Key, ...], kept: Kept) -> Any:  # noqa: ANN401 - a tf.function
        frontier = self.graph.frontier(cluster)
        steps = self.graph.reached_from(cluster)
        names = [name for name, key in self.key_of.items() if key in cluster]

        def run(changed: Mapping[str, Any], kept: Kept, copies: Any) -> list[Any]:  # noqa: ANN401
            values = {self.key_of[name]: changed[name] for name in names}
            for key, value, mask in zip(frontier, kept["values"], kept["masks"], strict=True):
                values[key] = _repeated(value, copies)
                for part in mask:
                    values[key]._keras_mask = _repeated(part, copies)
            for step in steps:
                values.update(zip(step.gives, step.run(values), strict=True))
            return [values[key] for key in self.graph.outputs]

        specs = input_signature([self._specs[name] for name in names])
        signature = [specs, tf.nest.map_structure(_any_rows, kept), tf.TensorSpec((), tf.int32)]
        return tf.function(run, input_signature=signature, autograph=False)

    def _guarded(self, function: Any, *given: Any) -> Any:  # noqa: ANN401
        try:
            return function(*given)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise PredictionError(describe_failure(error)) from error


@dataclass(frozen=True)
class BranchBlock:
    """A block of rows with what a network has computed for it.

    Attributes
    ----------
    predictor : BranchPredictor
    inputs : dict of str to ndarray
        The rows as they are.
    tensors : dict of str to tf.Tensor
        The same, converted once.
    kept : dict
        What lies on the frontiers.
    baseline : ndarray of shape (n_rows, n_outputs)
    """

    predictor: BranchPredictor
    inputs: dict[str, np.ndarray]
    tensors: dict[str, Any]
    kept: Kept
    baseline: np.ndarray

    def predict(self, changes: Iterable[Arrays]) -> Iterator[np.ndarray]:
        """Yield predictions of shape (n_rows, n_outputs) for each change, run through the suffix that it reaches."""
        predictor = self.predictor
        return predict_stacked(changes, len(self.baseline), predictor.most_rows, predictor.suffix_for, self._call)

    def _call(self, cluster: tuple[Key, ...] | None, changes: Sequence[Arrays]) -> np.ndarray:
        copies = len(changes)
        by_itself = cluster is None and copies == 1  # then it is the very call that gave the baseline
        if not by_itself and not self._is_exact(cluster, copies):
            if copies > 1:
                return np.concatenate([self._call(cluster, [change]) for change in changes])
            return self._call(None, changes)
        self.predictor.calls += 1
        return self._run(cluster, changes)

    def _is_exact(self, cluster: tuple[Key, ...] | None, copies: int) -> bool:
        exactness = self.predictor.exactness
        return exactness.holds(cluster, copies, self.baseline, lambda: self._run(cluster, [{}] * copies))

    def _run(self, cluster: tuple[Key, ...] | None, changes: Sequence[Arrays]) -> np.ndarray:
        unchanged = self.tensors if len(changes) == 1 else self.inputs
        if cluster is None:
            return self.predictor.call(stack(changes, unchanged, self.inputs))
        names = [name for name, key in self.predictor.key_of.items() if key in cluster]
        return self.predictor.run_suffix(cluster, stack(changes, unchanged, names), self.kept, len(changes))


def _mask(value: Any) -> list[Any]:  # noqa: ANN401
    mask = getattr(value, "_keras_mask", None)
    return [] if mask is None else [mask]


def _repeated(tensor: Any, copies: Any) -> Any:  # noqa: ANN401
    """Return copies of a block's tensor one below the other."""
    others = tf.ones([tf.rank(tensor) - 1], tf.int32)
    repeated = tf.tile(tensor, tf.concat([[copies], others], axis=0))
    repeated.set_shape([None, *tensor.shape[1:]])
    return repeated


def _any_rows(tensor: Any) -> tf.TensorSpec:  # noqa: ANN401
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
