"""A network that runs on something else than TensorFlow is audited there if its numbers are the same there."""

import logging

import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.keras_backends import refuse_other_numbers
from nnperm_mlflow.models.model_uri import ModelReference
from tests.support.plain import PlainPredictor

REFERENCE = ModelReference("models:/credit/3", "models:/credit/3")
ROWS = {"num_input": np.linspace(0, 1, 40).reshape(20, 2)}


def gives(function):
    return PlainPredictor([InputSpec("num_input", (2,), np.dtype("float64"))], lambda rows: function(rows["num_input"]))


def compared(there):
    own = gives(lambda numbers: numbers.sum(axis=1))
    refuse_other_numbers(own, gives(there), ROWS, REFERENCE, backend="jax")


def test_numbers_that_rounding_alone_sets_apart_are_the_same(caplog):
    caplog.set_level(logging.INFO, "nnperm_mlflow")
    compared(lambda numbers: numbers.sum(axis=1) + 1e-6)
    assert "models:/credit/3 is audited on TensorFlow in a process of its own, which gives the same" in caplog.text


@pytest.mark.parametrize(
    ("there", "apart"),
    [
        (lambda numbers: numbers.sum(axis=1) * 1.01, r"up to 0\.0197 apart, on 20 rows"),
        (
            lambda numbers: np.where(numbers[:, 0] > 0.9, np.nan, numbers.sum(axis=1)),
            r"no finite number in 2 on one alone, on 20 rows",
        ),
        (lambda numbers: numbers, r"shapes \(20, 2\) and \(20, 1\), on 20 rows"),
    ],
)
def test_a_network_that_predicts_otherwise_on_tensorflow_is_refused_with_how_far(there, apart):
    """The largest row has a sum of 1.974, of which a hundredth is 0.0197."""
    with pytest.raises(ModelError, match=rf"than on jax, on which Keras runs here \({apart}\)"):
        compared(there)
