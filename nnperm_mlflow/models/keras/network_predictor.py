"""A Keras network as a predictor: called as a whole until it is fitted, by branches where rows show that it can be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec
from nnperm_mlflow.models.branches.branch_predictor import fit_branches
from nnperm_mlflow.models.keras._domains import with_domains
from nnperm_mlflow.models.keras.framework import KerasFramework
from nnperm_mlflow.models.keras.interface import input_structure, outputs_of, specs_of
from nnperm_mlflow.models.keras.nodes import KerasGraph, unfold, with_lengths
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.tensor_predictor import TensorPredictor
from nnperm_mlflow.models.tensors import Tensors, guarded, to_tensor

logger = logging.getLogger(__name__)

_OTHER_GRAPH = (AttributeError, KeyError, TypeError, ValueError, PredictionError)
"""What a Keras that keeps its graph in another way than the ones known would end in."""


class KerasPredictor(TensorPredictor):
    """A Keras network, called as a whole until it is fitted.

    Parameters
    ----------
    network : keras.Model
    inputs : sequence of InputSpec
        In the order in which the network flattens its inputs.
    feed : callable
        Puts tensors by name into the structure that the network takes.
    unfolded : callable
        Returns the network's graph, or None for one that has none.
    """

    def __init__(
        self,
        network: keras.Model,
        inputs: Sequence[InputSpec],
        feed: Callable[[Tensors], Any],
        unfolded: Callable[[Any], KerasGraph | None] = unfold,
    ) -> None:
        own_predict = self._predict if _predicts_otherwise(network) else None
        super().__init__(inputs, outputs_of(network), self._run, own_predict)
        self._network = network
        self._feed = feed
        self._unfolded = unfolded

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Run the network by branches where some rows show that it can be, and as a whole otherwise."""
        try:
            graph = self._unfolded(self._network)
            if graph is None or len(graph.inputs) != len(self.inputs):
                logger.info("the network has no graph of layers: each perturbation is a call of the whole")
                return super().fitted(probe, exact)
            rows = [to_tensor(probe[spec.name][:1], spec) for spec in self.inputs]
            framework = KerasFramework(guarded(with_lengths, graph, rows))
            branches = fit_branches(
                framework, self.inputs, self.outputs, probe=probe, original=self.call_original, exact=exact
            )
            if branches is not None:
                return branches
        except _OTHER_GRAPH as error:
            logger.debug("running by branches failed: %s", type(error).__name__)  # its message may hold values
        logger.info("the network cannot be run by branches: each perturbation is a call of the whole")
        return super().fitted(probe, exact)

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the network predicts rows in which something is missing by finite numbers, compiled or not.

        A compiled ReLU may make a number of what is none, which would look like a prediction.
        """
        return super().takes(rows) and bool(np.isfinite(self.call_original(rows)).all())

    def _run(self, tensors: Tensors) -> list[Any]:
        """Return the outputs in the order of their names."""
        return list(keras.tree.flatten(self._network(self._feed(tensors), training=False)))

    def _predict(self, tensors: Tensors) -> list[Any]:
        """Return what the network's own `predict` gives, which is what MLflow calls."""
        n_rows = len(next(iter(tensors.values())))
        return list(keras.tree.flatten(self._network.predict(self._feed(tensors), batch_size=n_rows, verbose=0)))


def keras_predictor(
    network: keras.Model,
    specs: Sequence[InputSpec] | None = None,
    unfolded: Callable[[Any], KerasGraph | None] = unfold,
) -> KerasPredictor:
    """Return a network as a predictor.

    Parameters
    ----------
    network : keras.Model
        Of Keras 3, or of Keras 2 with its own way to unfold it.
    specs : sequence of InputSpec, optional
        Inputs of a network that does not say them itself (a subclass).
    unfolded : callable
        Returns the network's graph, or None for one that has none.

    Returns
    -------
    KerasPredictor
    """
    structure = input_structure(network)
    if structure is None:
        return KerasPredictor(
            network,
            specs or [],
            lambda tensors: dict(tensors) if len(tensors) > 1 else next(iter(tensors.values())),
            unfolded,
        )
    own = with_domains(network, specs_of(structure))
    return KerasPredictor(
        network,
        own,
        lambda tensors: keras.tree.pack_sequence_as(structure, [tensors[spec.name] for spec in own]),
        unfolded,
    )


def _predicts_otherwise(network: keras.Model) -> bool:
    """Tell whether what a call of a network gives need not be what `predict` gives.

    It may bring a `predict` of its own; and where layers compute in a coarse type, compiled they round otherwise.
    """
    own = (getattr(type(network), name).__module__ for name in ("predict", "predict_step", "make_predict_function"))
    layers = network._flatten_layers() if hasattr(network, "_flatten_layers") else network.layers
    is_coarse = any(getattr(layer, "compute_dtype", None) in ("float16", "bfloat16") for layer in layers)
    return is_coarse or not all(module.startswith(("keras.", "tf_keras.")) for module in own)
