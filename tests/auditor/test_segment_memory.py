"""What telling of segments takes of memory is in what is found out before an audit begins."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats import repeat_loop
from nnperm_mlflow.analysis.segments.segmentation import part_rows
from nnperm_mlflow.auditor.resources import check_memory, memory_bytes
from nnperm_mlflow.basics.errors import RoomError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

WHAT = "segments (analysis: segments)"


def job_of(n_rows, repeats, clusters):
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=n_rows)})
    specs, inputs = bound(table, numbers=["x"])
    predictor = PlainPredictor(specs, lambda given: given["num_input"][:, 0])
    plan = plan_perturbations(inputs, "the model", AnalysisConfig(rare_below=0.0))
    return Job(predictor, inputs, plan, choose_measure(None, 1, ()), "the model", 0, repeats,
               decision=Decision((0,), 0.5), clusters=clusters)  # fmt: skip


def parts_of(n_rows, n_segments=20):
    return part_rows({"part": None}, {"part": np.arange(n_rows) % n_segments})


@pytest.mark.parametrize(("n_rows", "repeats", "of_cluster"), [(90_000, 1, 0), (90_000, 4, 0), (90_000, 2, 50)])
def test_what_segments_take_is_about_what_was_foretold(n_rows, repeats, of_cluster, tmp_path, monkeypatch):
    job = job_of(n_rows, repeats, np.arange(n_rows) // of_cluster if of_cluster else None)
    peaks, told = [], repeat_loop.describe_segments

    def measured(*given, **named):
        tracemalloc.start()
        found = told(*given, **named)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return found

    monkeypatch.setattr(repeat_loop, "describe_segments", measured)
    repeat_loop.find(job, 20_000, tmp_path / "table", lambda *_: None, segmentations=parts_of(n_rows))
    foretold = memory_bytes(job, 20_000, segmentations=parts_of(n_rows))[WHAT]
    assert 0.8 * peaks[0] < foretold < 2 * peaks[0], (peaks, foretold)


def test_what_they_take_grows_with_the_repeats_that_may_be_made_and_is_refused_by_its_name():
    job, parts = job_of(1_000, 2, None), parts_of(1_000)
    assert memory_bytes(job, 1_000)[WHAT] == 0
    few, many = (memory_bytes(job, 1_000, segmentations=parts, most_repeats=most) for most in (None, 50))
    assert many[WHAT] > 10 * few[WHAT]
    with pytest.raises(RoomError, match=r"is for segments \(analysis: segments\)"):
        check_memory({WHAT: 2**40, "tables and pictures": 2**20}, 2**30)
