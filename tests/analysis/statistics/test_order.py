"""What leads: means, unless something else is asked for; shuffles before what is set; a word where orders differ."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.statistics.order import in_words, ordered, other_leaders, places
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N = 3_000
RNG = np.random.default_rng(5)
AMOUNTS = [f"AMOUNT_{number}" for number in range(6)]
TABLE = pd.DataFrame(
    {
        **{name: RNG.normal(size=N) for name in AMOUNTS},
        "PAY": (RNG.random(N) < 0.2).astype("int64"),
        "EDUCATION": np.where(np.arange(N) < 7, 6, RNG.integers(1, 3, N)),
    }
)


def risk(inputs):
    """Jumps where the last payment was late, a little with each amount, and by much for a rare education."""
    amounts = inputs["num_input"] @ (0.01 + 0.004 * np.arange(len(AMOUNTS)))
    return 0.2 + 0.4 * inputs["PAY_input"][:, 0] + amounts + 0.5 * (inputs["EDUCATION_input"][:, 0] == 6)


@pytest.fixture
def audited(tmp_path):
    """Return a function that audits the model in some order."""

    def find_so(order_by="mean"):
        specs, inputs = bound(TABLE, numbers=AMOUNTS, codes=["PAY", "EDUCATION"])
        plan = plan_perturbations(inputs, "", AnalysisConfig())
        job = Job(PlainPredictor(specs, risk), inputs, plan, choose_measure(None, 1, ()), "", decision=Decision((0,)))
        return find(job, N, tmp_path / "t.parquet", lambda *_: None, order_by=order_by).summary

    return find_so


def test_a_value_that_seven_rows_hold_is_not_what_predictions_rest_on(audited):
    """It moves every row by more than any shuffle does: what if all were so. What leads is a shuffle all the same."""
    summary = audited()
    rows = summary.set_index("perturbation")
    assert rows["mean"].idxmax() == "EDUCATION=6"
    assert rows.loc["EDUCATION=6", "held"] == 7
    assert summary["perturbation"][0] == "PAY"
    assert summary["way"].tolist() == ["shuffle"] * 8 + ["set"]
    assert places(summary, "mean").iloc[-1] is pd.NA


def test_what_moves_few_rows_by_much_leads_although_its_median_is_zero(audited):
    """Four of five rows pay in time, and a shuffle changes a third of them: median 0, and thrice the next mean."""
    summary = audited()
    rows = summary.set_index("perturbation")
    assert rows.loc["PAY", "median"] == 0
    assert rows.loc["PAY", "mean"] > 3 * rows.loc[AMOUNTS, "mean"].max()
    assert summary["perturbation"].tolist()[:3] == ["PAY", "AMOUNT_5", "AMOUNT_4"]
    by_median = audited("median")
    assert by_median["perturbation"].tolist()[:8] == [*AMOUNTS[::-1], "PAY", "EDUCATION"]
    pd.testing.assert_frame_equal(
        by_median.set_index("perturbation").loc[summary["perturbation"]].reset_index(), summary, check_exact=True
    )


def test_it_is_told_who_would_lead_in_another_order(audited):
    summary = audited()
    assert other_leaders(summary, "mean")["median"] == ["AMOUNT_1"]
    assert other_leaders(summary, "median")["mean"] == ["PAY"]


def test_orders_of_the_same_five_do_not_differ():
    summary = pd.DataFrame(
        {
            "perturbation": [f"x{number}" for number in range(7)],
            "way": ["shuffle"] * 6 + ["set"],
            "mean": [7.0, 6, 5, 4, 3, 2, 9],
            "median": [3.0, 4, 5, 6, 7, 2, 9],
            "flipped_share": np.nan,
        }
    )
    assert other_leaders(summary, "mean") == {}


def test_a_place_is_among_shuffles_and_what_has_no_number_has_none():
    summary = pd.DataFrame(
        {
            "perturbation": ["a", "b", "c", "a=1", "c order"],
            "way": ["shuffle", "shuffle", "shuffle", "set", "order"],
            "mean": [1.0, 3.0, np.nan, 9.0, 8.0],
            "median": [1.0, 1.0, 1.0, 9.0, 8.0],
        }
    )
    assert places(summary, "mean").tolist() == [2, 1, pd.NA, pd.NA, pd.NA]
    assert places(summary, "median").tolist() == [2, 1, 3, pd.NA, pd.NA], "ties by mean"
    assert ordered(summary, "mean")["perturbation"].tolist() == ["c order", "b", "a", "c", "a=1"]


def test_orders_have_words():
    assert [in_words(name) for name in ("mean", "median", "flipped_share", "r2_drop")] == [
        "mean deviation", "median deviation", "share of decisions flipped", "drop in r2",
    ]  # fmt: skip
