"""An ONNX model as a predictor: called as a whole until it is fitted, by branches where rows show that it can be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.branches.branch_predictor import fit_branches
from nnperm_mlflow.models.branches.columns import ColumnPredictor, Piece
from nnperm_mlflow.models.onnx.framework import OnnxFramework
from nnperm_mlflow.models.onnx.interface import Output, output_spec
from nnperm_mlflow.models.onnx.nodes import comes_apart, range_specs, unfold
from nnperm_mlflow.models.onnx.sessions import FAILURES, open_session, optimized, run, served_options
from nnperm_mlflow.models.output_numbers import are_classes, as_columns
from nnperm_mlflow.models.predictor import Predictor

logger = logging.getLogger(__name__)

_MOST_ROWS = 4_096  # of a call of the whole; more make no row cheaper

_NO_GRAPH = (*FAILURES, KeyError, LookupError, PredictionError)
"""What a graph that is made of more than tensors of rows would end in."""


class OnnxPredictor(WholeModelPredictor):
    """An ONNX model, called as a whole until it is fitted.

    Parameters
    ----------
    model : onnx.ModelProto
        Whose outputs are the tensors that are followed.
    inputs : sequence of InputSpec
        By the names and in the order of the graph.
    outputs : sequence of Output
    conf : mapping
        The flavour in the MLmodel file.
    """

    _most_workers = 1  # its session has a thread for each core already

    def __init__(
        self, model: onnx.ModelProto, inputs: Sequence[InputSpec], outputs: Sequence[Output], conf: Mapping[str, Any]
    ) -> None:
        super().__init__(inputs, output_spec(outputs), _MOST_ROWS)
        self._model = model
        self._conf = conf
        self._tensors = tuple(output.tensor for output in outputs)
        self._session = open_session(model, served_options(conf), n_threads=0)

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        feeds = {spec.name: np.asarray(inputs[spec.name], dtype=spec.dtype) for spec in self.inputs}
        return as_columns(run(self._session, self._tensors, feeds), len(next(iter(feeds.values()))))

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Run the model by branches where some rows show that it can be, and as a whole otherwise."""
        if are_classes(self.call(probe)):
            self.outputs = self.outputs.as_classes()
        if branches := self._branches(probe, exact):
            return branches
        logger.info("each perturbation is a call of the whole ONNX model")
        return super().fitted(probe, exact)

    def _branches(self, probe: Arrays, exact: bool) -> Predictor | None:
        """Return the model run by branches, or None where it is not, or all of it hangs on each input."""
        if not comes_apart(self._model, self.inputs):
            return None
        try:
            graph = unfold(optimized(self._model, served_options(self._conf)), self.inputs, probe)
            if not graph.is_kept_by_rows:
                return None
            pieces = {name: [Piece(*part) for part in ranges] for name, ranges in graph.ranges.items()}
            branches = fit_branches(
                OnnxFramework(graph),
                range_specs(self.inputs, graph.ranges),
                self.outputs,
                probe=ColumnPredictor(self.inputs, pieces, self).cut(probe),
                original=lambda _: self.call(probe),
                exact=exact,
            )
        except _NO_GRAPH as error:
            logger.debug("running by branches failed: %s", type(error).__name__)  # its message may hold values
            return None
        if branches is None or not branches.reuses:
            return None
        return ColumnPredictor(self.inputs, pieces, branches) if pieces else branches
