"""An ONNX model as a predictor, called as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from nnperm_mlflow.inputs.specs import Arrays, InputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.onnx.interface import Output, output_spec
from nnperm_mlflow.models.onnx.sessions import open_session, run, served_options
from nnperm_mlflow.models.output_numbers import are_classes, as_columns
from nnperm_mlflow.models.predictor import Predictor

_MOST_ROWS = 4_096  # of a call; more make no row cheaper


class OnnxPredictor(WholeModelPredictor):
    """An ONNX model, called as a whole.

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
        self._tensors = tuple(output.tensor for output in outputs)
        self._session = open_session(model, served_options(conf), n_threads=0)

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        feeds = {spec.name: np.asarray(inputs[spec.name], dtype=spec.dtype) for spec in self.inputs}
        return as_columns(run(self._session, self._tensors, feeds), len(next(iter(feeds.values()))))

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Stack changes in calls of the model, where some rows show that rows do not mix."""
        if are_classes(self.call(probe)):
            self.outputs = self.outputs.as_classes()
        return super().fitted(probe, exact)
