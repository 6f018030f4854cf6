"""`repeats: auto` goes on until the intervals that matter are narrow enough, and says where that cannot be had."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.statistics.findings import Findings
from nnperm_mlflow.analysis.statistics.repeat_loop import find
from nnperm_mlflow.analysis.statistics.stopping_rule import Precision
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(150, 3)), columns=["dose", "age", "bmi"])


def audit(tmp_path, precision=None, repeats=1, function=lambda inputs: inputs["num_input"] @ [1.0, 0.5, 0.0]):
    specs, inputs = bound(TABLE, numbers=list(TABLE))
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(PlainPredictor(specs, function), inputs, plan, choose_measure(None, 1, ()), "", repeats=repeats)
    path = tmp_path / f"{repeats}-{precision}.parquet"
    told = []
    found = find(job, 40, path, lambda *done: told.append(done), precision=precision)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(path.name)] == [path.name]
    return found, pd.read_parquet(path)


def test_it_stops_with_the_first_number_that_does(tmp_path, caplog):
    caplog.set_level("INFO")
    widths = {n: audit(tmp_path, repeats=n)[0].widest for n in (2, 3, 4, 6, 9)}
    target = min(widths.values())
    assert target < widths[2]
    found, _ = audit(tmp_path, Precision(target, 50))
    assert found.repeats == next(n for n, width in widths.items() if width <= target)
    assert f"{found.repeats} repeats: the intervals of the top 20 are at most" in caplog.text


def test_its_numbers_are_those_of_as_many_repeats_asked_for(tmp_path):
    by_itself, its_table = audit(tmp_path, Precision(1e-9, 6))
    asked_for, table = audit(tmp_path, repeats=6)
    assert by_itself.repeats == 6
    pd.testing.assert_frame_equal(by_itself.summary, asked_for.summary, check_exact=True)
    order = ["repeat", "row"]
    pd.testing.assert_frame_equal(
        its_table.sort_values(order).reset_index(drop=True), table.sort_values(order).reset_index(drop=True)
    )


def test_it_never_exceeds_the_most_allowed_and_says_what_it_reached(tmp_path, caplog):
    found, table = audit(tmp_path, Precision(1e-9, 5))
    assert found.repeats == 5
    assert sorted(table["repeat"].unique()) == [0, 1, 2, 3, 4]
    assert f"5 repeats, the most allowed: intervals are up to {found.widest:.3g} wide, not 1e-09" in caplog.text
    assert audit(tmp_path, Precision(1e-9, 1))[0].repeats == 1


def test_it_gives_up_where_more_repeats_do_not_help(tmp_path, caplog):
    """What is left of an interval comes from the number of rows."""
    found, _ = audit(tmp_path, Precision(1e-9, 1000))
    assert 8 <= found.repeats < 1000
    assert "more repeats hardly narrow them; more rows would" in caplog.text


def test_a_precise_median_needs_no_more_than_the_first_repeats(tmp_path):
    found, _ = audit(tmp_path, Precision(0.1, 50), function=lambda inputs: 0 * inputs["num_input"][:, 0])
    assert found.repeats == 2
    assert found.widest == 0


def test_what_is_left_of_a_failed_audit_is_nothing(tmp_path):
    def fails(inputs):
        if len(seen) == 9:
            raise RuntimeError("stop")
        seen.append(1)
        return inputs["num_input"][:, 0]

    seen = []
    specs, inputs = bound(TABLE, numbers=list(TABLE))
    job = Job(
        PlainPredictor(specs, fails), inputs, plan_perturbations(inputs, "", AnalysisConfig()),
        choose_measure(None, 1, ()), "",
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="stop"):
        find(job, 40, tmp_path / "t.parquet", lambda *_: None, precision=Precision(1e-9, 9))
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_measured_it_says_so(tmp_path, caplog):
    specs, inputs = bound(TABLE, numbers=list(TABLE))
    nothing = PlainPredictor(specs, lambda inputs: np.full(len(inputs["num_input"]), np.nan))
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(nothing, inputs, plan, choose_measure(None, 1, ()), "", skips_missing=True)
    found = find(job, 40, tmp_path / "t.parquet", lambda *_: None, precision=Precision(0.1, 9))
    assert found.repeats == 2
    assert "there is no median whose interval could be narrowed" in caplog.text


def test_what_a_check_looks_at_matters_however_small_it_is(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.statistics.findings.TOP", 1)
    summary = pd.DataFrame(
        {"perturbation": ["dose", "age", "bmi"], "median_low": [8.0, 1.0, 0.0], "median_high": [9.0, 4.0, 2.0]}
    )
    tally = Tally.empty(3)
    assert Findings(summary, tally, 1).widest == 1
    assert Findings(summary, tally, 1, watched=frozenset({"bmi"})).widest == 2


def test_more_repeats_are_made_for_what_a_check_looks_at(tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.statistics.findings.TOP", 0)
    assert audit(tmp_path, Precision(1e-9, 3))[0].repeats == 2
    assert audit(tmp_path, Precision(1e-9, 3, frozenset({"age"})))[0].repeats == 3
