"""A deviation is as large as the predictions say, whatever the type that they come in can hold."""

import keras
import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.models.keras.network_predictor import keras_predictor

ONE, L2, SUM = choose_measure(None, 1, ()), choose_measure("l2", 2, ()), choose_measure("total_variation", 2, ())


@pytest.mark.parametrize(
    ("dtype", "measure", "baseline", "perturbed", "expected"),
    [
        ("float16", L2, [0, 0], [1.5e-4, 1.5e-4], np.sqrt(2) * 1.5e-4),
        ("float16", ONE, [-60000], [60000], 120000),
        ("float16", L2, [-60000, 0], [60000, 0], 120000),
        ("float16", SUM, [0, 0], [60000, 60000], 60000),
        ("float32", L2, [0, 0], [1e-25, 1e-25], np.sqrt(2) * 1e-25),
        ("float32", L2, [0, 0], [3e19, 3e19], np.sqrt(2) * 3e19),
        ("float64", ONE, [1e300], [1e300 + 1e285], np.inf),
    ],
)
def test_neither_small_nor_large_differences_are_lost_on_the_way(dtype, measure, baseline, perturbed, expected):
    (found,) = measure.deviations(np.array([baseline], dtype), np.array([perturbed], dtype))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-3 if dtype == "float16" else 1e-6, abs=0)


def test_the_difference_of_two_float32_is_the_one_that_they_have_as_float32():
    """To the last bit, over all of their range, with neighbours and numbers of very different size."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, size=200_000, dtype=np.uint32).view(np.float32)
    finite = bits[np.isfinite(bits)]
    near = finite * np.exp2(rng.integers(-30, 1, len(finite)), dtype=np.float32)
    for other in (finite[::-1], near, np.nextafter(finite, np.float32(0))):
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.abs(other - finite)
        np.testing.assert_array_equal(ONE.deviations(finite[:, None], other[:, None]), expected)


def test_a_network_of_half_precision_is_measured_as_its_predictions_stand():
    x = keras.Input((2,), name="num_input")
    weights = keras.initializers.Constant(2e-4)
    network = keras.Model(x, keras.layers.Dense(2, kernel_initializer=weights, dtype="mixed_float16")(x))
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)).astype("float32"), columns=["a", "b"])
    predictor = keras_predictor(network)
    inputs = bind_inputs(predictor.inputs, dataset_from(table), {"num_input": ["a", "b"]})
    plan = plan_perturbations(inputs, "", AnalysisConfig(set={"a": [0.0]}, rare_below=0))
    job = Job(predictor.fitted(inputs.read(np.arange(40))), inputs, plan, L2, "")
    (result,) = run_blocks(job, 100)
    assert result.baseline.dtype == np.float16
    before, after = (
        np.asarray(network(given.to_numpy()), dtype=np.float64) for given in (table, table.assign(a=np.float32(0)))
    )
    position = [perturbation.name for perturbation in plan].index("a=0")
    expected = np.sqrt(np.square(after - before).sum(axis=1))
    assert 0 < expected.max() < 2e-3
    np.testing.assert_allclose(result.deviations[0, position], expected, rtol=1e-6)
