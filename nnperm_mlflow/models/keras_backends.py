"""Networks of a Keras that runs on something else than TensorFlow: audited there if the numbers are the same.

By branches a network is run on TensorFlow alone. What Keras runs on is settled for a process when Keras is imported, so
that another process runs the network on TensorFlow, and some rows tell whether it is the same network there.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np

from nnperm_mlflow.basics.errors import ModelError, PredictionError
from nnperm_mlflow.inputs.specs import Arrays
from nnperm_mlflow.models.isolation.isolated_predictor import load_isolated
from nnperm_mlflow.models.isolation.process import ModelProcess
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.output_numbers import same_numbers
from nnperm_mlflow.models.predictor import Predictor

logger = logging.getLogger(__name__)

TENSORFLOW = "tensorflow"


class OnTensorFlow:
    """Loads a network on TensorFlow that was loaded on something else, and ends the process that it runs in."""

    def __init__(self) -> None:
        self._process: ModelProcess | None = None

    def load(self, own: Predictor, files: ModelFiles, reference: ModelReference, *, trust_model: bool) -> Predictor:
        """Return a network on TensorFlow; as it was where TensorFlow is not here, or does not run it.

        Parameters
        ----------
        own : Predictor
            The network on its own backend, which it names as `backend`; any other predictor is returned as it is.
        files : ModelFiles
        reference : ModelReference
            For messages.
        trust_model : bool
            Allow code that came with the model to run there.

        Returns
        -------
        Predictor
            Which fits rows only if they give the numbers of `own`.
        """
        backend = getattr(own, "backend", None)
        if backend is None:
            return own
        told = f"Keras runs on {backend} here: %s is called as a whole for each perturbation, since %s"
        if find_spec(TENSORFLOW) is None:
            logger.warning(told, reference, "TensorFlow is not installed (pip install 'nnperm_mlflow[tensorflow]')")
            return own
        self._process = ModelProcess(backend=TENSORFLOW)

        def check(there: Predictor, probe: Arrays) -> None:
            refuse_other_numbers(own, there, probe, reference, backend=backend)

        try:
            return load_isolated(self._process, files, reference, trust_model=trust_model, check=check)
        except (ModelError, PredictionError) as error:
            logger.warning(told, reference, f"on TensorFlow it cannot be loaded ({error})")
            self.close()
            return own

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.close()


def refuse_other_numbers(
    own: Predictor, there: Predictor, probe: Arrays, reference: ModelReference, *, backend: str
) -> None:
    """Refuse a network that predicts some rows otherwise on TensorFlow than on what Keras runs on.

    Parameters
    ----------
    own, there : Predictor
        The network on its own backend, and on TensorFlow.
    probe : mapping of str to ndarray of shape (n_rows, ...)
    reference : ModelReference
        For messages.
    backend : str
        Its own backend.

    Raises
    ------
    ModelError
        The message says by how much.
    """
    expected, found = (each.begin([probe])[0].baseline for each in (own, there))
    if found.shape == expected.shape and same_numbers(found, expected):
        logger.info(
            "Keras runs on %s here: %s is audited on TensorFlow in a process of its own, which gives the same "
            "predictions of %d rows, up to rounding",
            backend, reference, len(found),
        )  # fmt: skip
        return
    raise ModelError(
        f"{reference} predicts otherwise on TensorFlow, by which networks are audited, than on {backend}, on which "
        f"Keras runs here ({_apart(found, expected)}, on {len(expected)} rows). If TensorFlow is what serves it, start "
        "the audit with KERAS_BACKEND=tensorflow; otherwise look for the layer that is not the same on both."
    )


def _apart(found: np.ndarray, expected: np.ndarray) -> str:
    """Return in words what sets predictions of the same rows apart."""
    if found.shape != expected.shape:
        return f"shapes {found.shape} and {expected.shape}"
    other = (np.isfinite(found) != np.isfinite(expected)).any(axis=1)
    if other.any():
        return f"no finite number in {np.count_nonzero(other)} on one alone"
    known = np.isfinite(expected)
    return f"up to {np.abs(found[known].astype(np.float64) - expected[known]).max(initial=0.0):.3g} apart"
