"""`repeats: auto` goes on until the intervals that matter are narrow enough, and says where that cannot be had."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.stopping_rule import DIFFERENCE, Number, Precision, widths_that_matter
from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SegmentTables
from nnperm_mlflow.analysis.segments.segmentation import part_rows
from nnperm_mlflow.analysis.statistics.order import ordered
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(150, 3)), columns=["dose", "age", "bmi"])


def linear(inputs):
    return inputs["num_input"] @ [1.0, 0.5, 0.0]


def audit(tmp_path, precision=None, repeats=1, function=linear, order_by="median"):
    specs, inputs = bound(TABLE, numbers=list(TABLE))
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(PlainPredictor(specs, function), inputs, plan, choose_measure(None, 1, ()), "", repeats=repeats)
    path = tmp_path / f"{repeats}-{hash(precision)}.parquet"
    told = []
    found = find(job, 40, path, lambda *done: told.append(done), precision=precision, order_by=order_by)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(path.name)] == [path.name]
    return found, pd.read_parquet(path)


def test_it_stops_with_the_first_number_that_does(tmp_path, caplog):
    caplog.set_level("INFO")
    widths = {n: audit(tmp_path, repeats=n)[0].widest for n in (2, 3, 4, 6, 9)}
    target = min(widths.values())
    assert target < widths[2]
    found, _ = audit(tmp_path, Precision(target, 50))
    assert found.repeats == next(n for n, width in widths.items() if width <= target)
    assert f"{found.repeats} repeats: the intervals of the top 20 (median deviation) are at most" in caplog.text


def test_its_numbers_are_those_of_as_many_repeats_asked_for(tmp_path):
    by_itself, its_table = audit(tmp_path, Precision(1e-9, 6))
    asked_for, table = audit(tmp_path, repeats=6)
    assert by_itself.repeats == 6
    pd.testing.assert_frame_equal(by_itself.summary, asked_for.summary, check_exact=True)
    order = ["repeat", "row"]
    pd.testing.assert_frame_equal(
        its_table.sort_values(order).reset_index(drop=True), table.sort_values(order).reset_index(drop=True)
    )


def test_a_p_value_that_a_check_rests_on_has_no_interval_to_wait_for(tmp_path):
    """It is told when all repeats are made, so that none of the passes before has its column."""
    watched = frozenset({Number("age", "roc_auc_p"), Number("age", "roc_auc_q")})
    plain, by_p = audit(tmp_path, Precision(0.5, 4))[0], audit(tmp_path, Precision(0.5, 4, watched))[0]
    assert (by_p.repeats, by_p.widest) == (plain.repeats, plain.widest)


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
    assert "there is no interval that could be narrowed" in caplog.text


def told(**columns):
    """Return a summary of three shuffles with some of its columns."""
    return pd.DataFrame({"perturbation": ["dose", "age", "bmi"], "way": "shuffle", **columns})


def test_what_a_check_looks_at_matters_however_small_it_is(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.repeats.stopping_rule.TOP", 1)
    medians = {"median_low": [8.0, 1.0, 0.0], "median_high": [9.0, 4.0, 2.0]}
    summary = told(**medians, mean_low=[0.0, 0.0, 0.0], mean_high=[0.5, 7.0, 3.0])
    tally = Tally.empty(3)
    assert Findings(summary, tally, 1, order_by="median").widest == 1
    assert Findings(summary, tally, 1).widest == 0.5
    assert Findings(summary, tally, 1, order_by="median", watched=frozenset({Number("bmi", "median")})).widest == 2
    assert Findings(summary, tally, 1, order_by="median", watched=frozenset({Number("bmi", "mean")})).widest == 3


def test_the_interval_of_a_drop_is_as_wide_as_its_error_says():
    summary = told(roc_auc_drop=[0.5, 0.1, 0.0], roc_auc_drop_error=[0.01, 0.02, np.nan])
    assert Findings(summary, Tally.empty(3), 1, order_by="roc_auc_drop").widest == pytest.approx(
        2 * 1.95996 * 0.02, rel=1e-5
    )


def test_more_repeats_are_made_for_what_a_check_looks_at(tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.repeats.stopping_rule.TOP", 0)
    assert audit(tmp_path, Precision(1e-9, 3))[0].repeats == 2
    assert audit(tmp_path, Precision(1e-9, 3, frozenset({Number("age", "median")})))[0].repeats == 3


def with_a_flag(inputs):
    """Moves little with numbers, and by how many of them the flag is multiplied with where it is raised."""
    return 0.01 * inputs["num_input"][:, 0] + inputs["flag_input"][:, 0] * inputs["num_input"][:, 1]


def audit_with_a_flag(tmp_path, precision, **settings):
    """Audit 400 rows of which one in twelve has the flag: its median is 0, and what a shuffle changes varies much."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"dose": rng.normal(size=400), "age": rng.normal(size=400), "flag": rng.random(400) < 1 / 12})
    specs, inputs = bound(table.astype({"flag": "int64"}), numbers=["dose", "age"], codes=["flag"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=settings.pop("rare_below", 0)))
    job = Job(PlainPredictor(specs, with_a_flag), inputs, plan, choose_measure(None, 1, ()), "")
    found = find(job, 400, tmp_path / "flag.parquet", lambda *_: None, precision=precision, **settings)
    return found, found.summary.set_index("perturbation")


def test_precision_holds_for_what_a_check_rests_on_and_not_for_medians_alone(tmp_path, caplog):
    """By medians two repeats are enough, and the check on `changed_median` gets a wider interval than was asked."""
    caplog.set_level("INFO")
    by_medians, rows = audit_with_a_flag(tmp_path, Precision(0.35, 50), order_by="median")
    assert by_medians.repeats == 2
    assert rows.loc["flag", "changed_median_high"] - rows.loc["flag", "changed_median_low"] > 0.4
    rests_on = frozenset({Number("flag", "changed_median")})
    found, rows = audit_with_a_flag(tmp_path, Precision(0.35, 50, rests_on), order_by="median")
    assert 2 < found.repeats < 50
    assert rows.loc["flag", "changed_median_high"] - rows.loc["flag", "changed_median_low"] <= 0.35
    assert "(median deviation) and of what checks rest on are at most" in caplog.text


def test_what_stays_wider_than_asked_is_named(tmp_path, caplog):
    rests_on = frozenset({Number("flag", "changed_median"), Number("flag", "mean")})
    found, rows = audit_with_a_flag(tmp_path, Precision(0.05, 4, rests_on), order_by="median")
    wide = [
        name
        for name in ("changed_median", "mean")
        if rows.loc["flag", f"{name}_high"] - rows.loc["flag", f"{name}_low"] > 0.05
    ]
    assert found.repeats == 4
    assert f"not 0.05: {', '.join(repr(f'{name} of flag') for name in wide)}" in caplog.text


def test_no_repeat_is_made_for_a_set_value_which_is_the_same_in_all(tmp_path, caplog):
    rests_on = frozenset({Number("flag=1", "mean")})
    found, rows = audit_with_a_flag(tmp_path, Precision(0.09, 50, rests_on), order_by="median", rare_below=0.5)
    assert rows.loc["flag=1", "mean_high"] - rows.loc["flag=1", "mean_low"] > 0.09
    assert found.repeats == 2
    assert "more repeats hardly narrow them; more rows would: 'mean of flag=1'" in caplog.text


def test_the_mean_leads_where_nothing_else_is_asked_for(tmp_path):
    """The medians of the top are as narrow as asked after two repeats, their means are not."""
    by_medians, _ = audit_with_a_flag(tmp_path, Precision(0.05, 9), order_by="median")
    found, rows = audit_with_a_flag(tmp_path, Precision(0.05, 9))
    assert by_medians.repeats == 2
    assert found.repeats > 2
    assert found.widest == (rows["mean_high"] - rows["mean_low"]).max()


@pytest.mark.parametrize("leads", [True, False])
def test_where_precision_rests_on_drops_they_are_told_after_each_pass(leads, tmp_path):
    """Drops whose errors are 1 / repeats: the interval of one is at most 0.9 wide from 5 repeats on, so at 6."""

    def scored(found):
        passes.append(found.repeats)
        drops = {"roc_auc_drop": [0.3, 0.1, 0.2], "roc_auc_drop_error": 1 / found.repeats}
        return replace(found, summary=ordered(found.summary.assign(**drops), found.order_by))

    passes = []
    order_by = "roc_auc_drop" if leads else "median"
    watched = frozenset() if leads else frozenset({Number("age", "roc_auc_drop")})
    specs, inputs = bound(TABLE, numbers=list(TABLE))
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(PlainPredictor(specs, linear), inputs, plan, choose_measure(None, 1, ()), "")
    precision = Precision(0.9, 50, watched)
    assert precision.rests_on_scores(order_by)
    assert not Precision(0.9, 50).rests_on_scores("mean")
    path = tmp_path / "t.parquet"
    found = find(job, 40, path, lambda *_: None, precision=precision, order_by=order_by, scored=scored)
    assert passes == [2, 3, 4, 6]
    assert found.widest == pytest.approx(2 * 1.95996 / 6, rel=1e-5)
    if leads:
        assert found.summary["roc_auc_drop"].tolist() == [0.3, 0.2, 0.1]


def in_segments(*rows):
    """Write what is told of segments as segment, perturbation, ends of the mean."""
    named = ("segment", "perturbation", "mean_low", "mean_high")
    rows = [{"column": "SEX", **dict(zip(named, row, strict=True))} for row in rows]
    return pd.DataFrame([dict.fromkeys(COLUMNS, np.nan) | row for row in rows])


def test_the_segments_that_a_check_rests_on_matter():
    summary = told(median_low=[0.0] * 3, median_high=[0.1] * 3)
    segments = in_segments(("SEX=1", "dose", 0, 2), ("SEX=2", "dose", 0, 5), ("SEX=1", "age", 0, 7),
                           ("SEX=2", "age", np.nan, np.nan))  # fmt: skip
    pair = ("SEX", "SEX=1", "SEX=2", "dose", 40, 0.0, -2.0, 4.0)
    tables = SegmentTables(segments, pd.DataFrame([pair], columns=list(DIFFERENCE_COLUMNS)))

    def widths(*watched):
        found = widths_that_matter(summary, "median", frozenset(watched), tables)
        return found[found["statistic"] != "median"].set_index("perturbation")["width"].to_dict()

    assert widths() == {}
    assert widths(Number("dose", "mean", "SEX=1")) == {"dose in SEX=1": 2}
    assert widths(Number("dose", "mean", "SEX")) == {"dose in SEX=1": 2, "dose in SEX=2": 5}
    assert widths(Number("age", "mean", "any")) == {"age in SEX=1": 7}  # what is below the floor has no interval
    assert widths(Number("dose", DIFFERENCE, "SEX")) == {"dose between SEX=1 and SEX=2": 6}
    assert Findings(summary, Tally.empty(3), 1, order_by="median", segments=tables,
                    watched=frozenset({Number("dose", "mean", "SEX=2")})).widest == 5  # fmt: skip


def test_more_repeats_are_made_for_segments_and_they_are_told_of_all_repeats(tmp_path):
    """The mean of a segment of 100 rows is less sure than that of all 400 rows, and gets surer with repeats."""
    parts = part_rows({"part": None}, {"part": np.arange(400) % 4})
    alone, _ = audit_with_a_flag(tmp_path, Precision(0.02, 30), order_by="median", segmentations=parts)

    def width(found):
        rows = found.segments.segments.set_index(["segment", "perturbation"])
        return (rows["mean_high"] - rows["mean_low"])["part=1", "flag"]

    asked = 0.8 * width(alone)
    rests_on = frozenset({Number("flag", "mean", "part=1")})
    found, _ = audit_with_a_flag(tmp_path, Precision(asked, 30, rests_on), order_by="median", segmentations=parts)
    assert found.repeats > alone.repeats
    assert width(found) <= asked

    same = audit_with_a_flag(tmp_path, Precision(asked, 30), order_by="median", segmentations=parts)[0]
    assert same.repeats == alone.repeats
