"""Conditional shuffling: a row's donor is alike in the columns asked for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import Strata, stratify
from nnperm_mlflow.basics.errors import ConfigError, DataError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N_ROWS = 300
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "band": RNG.integers(0, 4, N_ROWS),
        "town": RNG.choice(["Ulm", "Bonn", None], N_ROWS),
        "dose": RNG.normal(size=N_ROWS),
        "age": RNG.normal(size=N_ROWS),
    }
)
COLUMNS = {name: TABLE[name].to_numpy() for name in TABLE}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**63 - 1))
def test_donors_are_a_permutation_that_leaves_each_row_in_its_stratum(strata, seed):
    strata = np.array(strata)
    donors = donor_positions(ShuffleBlock(0, np.arange(len(strata))), seed, "dose", 0, strata)
    assert sorted(donors) == list(range(len(strata)))
    np.testing.assert_array_equal(strata[donors], strata)


def test_all_permutations_inside_strata_come_equally_often():
    strata = np.array([1, 0, 1, 0, 1])
    block = ShuffleBlock(0, np.arange(5))
    found = [tuple(donor_positions(block, seed, "dose", 0, strata).tolist()) for seed in range(6000)]
    counts = np.array(list(pd.Series(found).value_counts()))
    assert len(counts) == 12  # 3! of one stratum times 2! of the other
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_one_stratum_of_all_rows_is_an_ordinary_shuffle():
    block = ShuffleBlock(3, np.arange(1000))
    np.testing.assert_array_equal(
        donor_positions(block, 1, "dose", 2, np.zeros(1000, dtype=int)), donor_positions(block, 1, "dose", 2)
    )


def seen(within, block_rows=1000, **analysis):
    """Return what the model was given for each perturbation: the column `dose`, `age` and `band` of all rows."""
    specs, inputs = bound(TABLE, numbers=["dose", "age", "band"])
    settings_ = AnalysisConfig(rare_below=0.0, **analysis)
    plan = plan_perturbations(inputs, "", settings_)
    predictor = PlainPredictor(specs, lambda given: given["num_input"][:, 0])
    job = Job(predictor, inputs, plan, choose_measure(None, 1, ()), "", strata=stratify(within, COLUMNS))
    results = list(run_blocks(job, block_rows))
    given = [inputs["num_input"] for inputs in predictor.seen]
    step = 1 + len(plan)
    return {
        done.name: np.concatenate([given[start + 1 + number] for start in range(0, len(given), step)])
        for number, done in enumerate(plan)
    }, results


@pytest.mark.parametrize("block_rows", [41, 1000])
def test_values_move_only_between_rows_that_are_alike(block_rows):
    given, _ = seen(["band", "town"], block_rows)
    towns = TABLE["town"].fillna("none")
    for stratum in set(zip(TABLE["band"], towns, strict=True)):
        rows = np.flatnonzero((TABLE["band"] == stratum[0]) & (towns == stratum[1]))
        np.testing.assert_array_equal(np.sort(given["dose"][rows, 0]), np.sort(TABLE["dose"].to_numpy()[rows]))
    assert (given["dose"][:, 0] != TABLE["dose"]).mean() > 0.9


def test_a_column_that_makes_the_strata_is_shuffled_within_the_others():
    given, _ = seen(["band", "town"])
    towns = TABLE["town"].fillna("none").to_numpy()
    shuffled = given["band"][:, 2]
    assert (shuffled != TABLE["band"]).any()
    for town in set(towns):
        assert sorted(shuffled[towns == town]) == sorted(TABLE["band"][towns == town])
    alone, _ = seen(["band"])
    free, _ = seen([])
    np.testing.assert_array_equal(alone["band"], free["band"])


def test_a_group_with_such_a_column_is_shuffled_as_one_within_the_others():
    given, _ = seen(["band"], groups={"both": ["band", "age"]})
    pairs = set(map(tuple, TABLE[["age", "band"]].to_numpy()))
    assert set(map(tuple, given["both"][:, 1:])) == pairs
    assert (given["both"][:, 2] != TABLE["band"]).mean() > 0.5


def test_missing_values_are_a_stratum_of_their_own():
    sizes = Strata({"town": COLUMNS["town"]}).sizes
    assert (
        dict(zip(sizes["town"].fillna("none"), sizes["rows"], strict=True))
        == TABLE["town"].fillna("none").value_counts().to_dict()
    )


def test_small_strata_are_named_and_counted(caplog):
    band = np.repeat([1, 2, 3, 4], [3, 200, 1, 96])
    strata = stratify(["band"], {"band": band})
    assert strata.sizes[["band", "rows", "small"]].values.tolist() == [
        [3, 1, True],
        [1, 3, True],
        [4, 96, False],
        [2, 200, False],
    ]
    assert "2 of 4 strata hold fewer than 10 rows (4 rows in all)" in caplog.text
    assert "strata.csv names them. 1 of 300 rows are alone in theirs: they have no donor, and" in caplog.text
    assert "band=" not in caplog.text  # values of the data are no matter for a log
    caplog.clear()
    stratify(["band"], {"band": np.repeat([1, 2], [2, 100])})
    assert "alone" not in caplog.text
    caplog.clear()
    stratify(["band"], {"band": np.repeat([1, 2], 100)})
    assert not caplog.text


def test_strata_of_single_rows_are_refused():
    with pytest.raises(ConfigError, match="no two rows are alike in 'dose'.*bands of a number"):
        stratify(["dose"], COLUMNS)


def test_an_unknown_column_is_refused_by_name():
    with pytest.raises(DataError, match="within names the column 'bnd', which .* Did you mean 'band'"):
        stratify(["bnd"], COLUMNS)


def test_nothing_asked_for_makes_no_strata():
    assert stratify([], COLUMNS) is None


def test_a_group_named_like_a_column_is_shuffled_within_it_all_the_same():
    given, _ = seen(["band"], groups={"band of two": ["dose", "age"]})
    named, _ = seen(["town"], groups={"town": ["dose", "age"]})
    towns = TABLE["town"].fillna("none").to_numpy()
    for town in set(towns):
        rows = towns == town
        assert sorted(named["town"][rows, 0]) == sorted(TABLE["dose"][rows])
    assert set(given) == {"dose", "age", "band", "band of two"}


def test_a_step_of_a_series_makes_no_strata():
    with pytest.raises(ConfigError, match="'band' is a step of a series"):
        stratify(["band"], COLUMNS, {"band"})
