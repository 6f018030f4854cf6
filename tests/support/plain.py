"""Plain functions in the place of models, for tests of numbers."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.specs import InputSpec, OutputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.output_numbers import as_columns

Function = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class PlainPredictor(WholeModelPredictor):
    """A function of named arrays as a predictor, one call per change; remembers what it was given."""

    def __init__(self, specs, function: Function):
        super().__init__(specs, OutputSpec(), most_rows=0)
        self._function = function
        self.seen = []

    def call(self, inputs):
        self.seen.append({name: array.copy() for name, array in inputs.items()})
        given = {name: array.copy() for name, array in inputs.items()}  # as pyfunc models get them
        return as_columns(self._function(given), len(next(iter(inputs.values()))))


def bound(
    table: pd.DataFrame | None = None,
    history: np.ndarray | None = None,
    numbers: list[str] = (),
    codes: list[str] = (),
    channels: list[str] = (),
) -> tuple[list[InputSpec], BoundInputs]:
    """Bind a table and a history (n_rows, n_steps, n_channels) to inputs named by the article's convention."""
    specs, said = [], {}
    if numbers:
        specs.append(InputSpec("num_input", (len(numbers),), np.dtype("float64")))
        said["num_input"] = list(numbers)
    for name in codes:
        specs.append(InputSpec(f"{name}_input", (1,), np.dtype("int64")))
        said[f"{name}_input"] = name
    temporal = {}
    if history is not None:
        specs.append(InputSpec("temporal_input", history.shape[1:], np.dtype("float64")))
        temporal["history"] = Series(tuple(channels), history, channel_axis=2, model_channel_axis=2)
    return specs, bind_inputs(specs, dataset_from(table, temporal), said)


def deviations(
    function: Function, bindings: tuple[list[InputSpec], BoundInputs], block_rows: int = 1000, **analysis
) -> dict[str, np.ndarray]:
    """Run the engine; return each perturbation's deviations in the order of the rows, one repeat after another."""
    return run(function, bindings, block_rows, **analysis)[0]


def run(
    function: Function, bindings: tuple[list[InputSpec], BoundInputs], block_rows: int = 1000, **analysis
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], PlainPredictor, list[Perturbation]]:
    """Run the engine; return deviations and moved rows by perturbation, the predictor, and the perturbations."""
    specs, inputs = bindings
    settings = AnalysisConfig(**{"rare_below": 0.0, **analysis})
    perturbations = plan_perturbations(inputs, "the model", settings)
    predictor = PlainPredictor(specs, function)
    measure = choose_measure(None, 1, ())
    job = Job(predictor, inputs, perturbations, measure, "the model", settings.seed, settings.repeats)
    results = list(run_blocks(job, block_rows))
    order = np.argsort(np.concatenate([result.rows for result in results]))
    found = np.concatenate([result.deviations for result in results], axis=2)[:, :, order]
    moved = np.concatenate([result.moved for result in results], axis=2)[:, :, order]
    names = [perturbation.name for perturbation in perturbations]
    return (
        {name: found[:, position].ravel() for position, name in enumerate(names)},
        {name: moved[:, position].ravel() for position, name in enumerate(names)},
        predictor,
        perturbations,
    )


def tallied(job: Job, block_rows: int) -> Tally:
    """Run the engine and count what comes of it."""
    tally = Tally.empty(len(job.perturbations), job.measure.distance is None)
    for result in run_blocks(job, block_rows):
        for repeat in range(job.repeats):
            tally.add(*(each[repeat] for each in (result.deviations, result.moved, result.fell, result.flipped)))
    return tally
