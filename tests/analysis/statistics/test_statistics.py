"""What the statistics say of deviations: numbers equal to numpy's and to exact sums, however the rows are cut."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import SetTo, Shuffle
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.statistics import tally as tally_module
from nnperm_mlflow.analysis.statistics.summary import summarize
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES, SUMMARY_COLUMNS
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.slots import Feature
from tests.support.plain import PlainPredictor, bound

TINY = np.finfo(np.float32).smallest_subnormal
HUGE = np.finfo(np.float32).max
GENERATOR = np.random.default_rng(11)
DATA = {
    "one row": [0.25],
    "two rows": [0.25, 4.0],
    "zeros": [0.0] * 50,
    "zeros and one more": [0.0] * 50 + [1.0],
    "half zeros": [0.0] * 50 + [0.1] * 50,
    "ties": [0.3] * 33 + [0.1] * 34 + [0.7] * 33,
    "subnormals": TINY * GENERATOR.integers(0, 1000, 101),
    "subnormal and normal": [TINY, np.finfo(np.float32).tiny, 0.0, 1e-40, 1e-37],
    "huge": HUGE * GENERATOR.random(100),
    "all the largest": [HUGE] * 7,
    "neighbours in the last bit": np.float32(0.7) + np.arange(64, dtype=np.float32) * np.spacing(np.float32(0.7)),
    "neighbours of a power of two": np.nextafter(np.float32(1), np.array([0, 2] * 20, dtype=np.float32)),
    "all magnitudes": np.exp(GENERATOR.uniform(-100, 88, 999)),
    "probabilities": GENERATOR.beta(0.5, 5, 1000),
    "many": GENERATOR.exponential(size=100_000),
}
DEVIATIONS = st.lists(st.floats(min_value=0, allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=60)
KNOWN = pytest.mark.parametrize("values", [np.asarray(values, np.float32) for values in DATA.values()], ids=list(DATA))


@pytest.fixture(autouse=True, scope="module", params=["sorted", "counted"])
def way(request):
    """Both ways to quantiles: few deviations are sorted, many are counted."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "counted":
            patch.setattr(tally_module, "_FEW_BYTES", 0)
            patch.setattr(tally_module, "_MOST_NEW", 40)
        yield request.param


def shuffled(name):
    return Shuffle(Feature(name, (), "number"))


def summary_of(columns, moved=None, parts=None, fell=None, **asked):
    """Summarize deviations, given by name as arrays of shape (n_rows,); `parts` are the rows of each block."""
    names, table = list(columns), np.array(list(columns.values()), dtype=np.float32)
    moved = np.ones(table.shape, dtype=bool) if moved is None else np.array([moved[name] for name in names])
    fell = np.zeros(table.shape, dtype=bool) if fell is None else np.array([fell[name] for name in names])
    parts = [np.arange(table.shape[1])] if parts is None else parts
    tally = Tally.empty(len(names))
    for part in parts:
        tally.add(table[:, part], moved[:, part], fell[:, part], np.zeros_like(fell[:, part]))
    plan, n_rows = [shuffled(name) for name in names], table.shape[1]
    return summarize(plan, tally, lambda number: (table[number, part] for part in parts), n_rows, **asked)


def assert_quantiles_are_numpys(row, values):
    """Up to two units in the last place of float64, by which formulas for interpolation differ."""
    shares = list(QUANTILES.values())
    found = np.array([row[name] for name in QUANTILES], dtype=np.float64)
    np.testing.assert_array_max_ulp(found, np.quantile(values.astype(np.float64), shares), maxulp=2)


def exact_mean(values):
    return float(sum(map(Fraction, values.tolist())) / len(values))


@KNOWN
def test_quantiles_are_numpys(values):
    assert_quantiles_are_numpys(summary_of({"dose": values}).iloc[0], values)


@KNOWN
def test_means_are_correctly_rounded(values):
    row = summary_of({"dose": values}).iloc[0]
    assert row["mean"] == exact_mean(values)
    assert row["mean"] == pytest.approx(math.fsum(values.tolist()) / len(values), rel=3e-16, abs=0)


@KNOWN
def test_shifts_are_the_correctly_rounded_mean_of_what_rose_and_what_fell(values):
    fell = np.arange(len(values)) % 3 == 0
    row = summary_of({"dose": values}, fell={"dose": fell}).iloc[0]
    assert row["shift"] == exact_mean(np.where(fell, -values, values))


def test_a_distance_has_no_shift():
    tally = Tally.empty(1, signed=False)
    none = np.zeros((1, 2), dtype=bool)
    tally.add(np.ones((1, 2), dtype=np.float32), ~none, none, none)
    read = [np.ones(2, dtype=np.float32)]
    assert math.isnan(summarize([shuffled("dose")], tally, lambda number: read, 2).iloc[0]["shift"])


@KNOWN
def test_the_largest_deviation_is_there_as_it_was(values):
    assert summary_of({"dose": values}).iloc[0]["max"] == values.max()


def test_a_median_between_two_rows_is_their_middle():
    row = summary_of({"dose": np.array([3, 0, 1, 8], dtype=np.float32)}).iloc[0]
    assert (row["median"], row["mean"], row["q25"], row["q75"], row["max"]) == (2.0, 3.0, 0.75, 4.25, 8.0)


@given(drawn=DEVIATIONS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_deviations_have_numpys_quantiles_and_the_exact_mean(drawn):
    values = np.array(drawn, dtype=np.float32)
    row = summary_of({"dose": values}).iloc[0]
    assert_quantiles_are_numpys(row, values)
    assert row["mean"] == exact_mean(values)
    assert row["max"] == values.max()


@given(data=st.data(), drawn=DEVIATIONS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_however_rows_are_cut_and_ordered_the_summary_is_the_same_bit_for_bit(data, drawn):
    values = np.array(drawn, dtype=np.float32)
    changed = values > np.median(values)
    columns = {"dose": np.where(changed, values, 0), "age": values[::-1]}
    moved = {"dose": changed, "age": np.ones(len(values), dtype=bool)}
    order = np.array(data.draw(st.permutations(range(len(values)))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    pieces = np.split(order, cuts)
    pd.testing.assert_frame_equal(
        summary_of(columns, moved, pieces), summary_of(columns, moved), check_exact=True, check_dtype=True
    )


def test_tallies_of_blocks_are_the_tally_of_all_rows_bit_for_bit(way):
    values = np.exp(GENERATOR.uniform(-80, 80, (3, 5000))).astype(np.float32)
    moved = GENERATOR.random(values.shape) < 0.5
    whole, cut = Tally.empty(3), Tally.empty(3)
    fell = GENERATOR.random(values.shape) < 0.3
    whole.add(values, moved, fell, ~fell)
    for rows in np.array_split(GENERATOR.permutation(5000), 17):
        cut.add(values[:, rows], moved[:, rows], fell[:, rows], ~fell[:, rows])
    assert (whole.bins is None) == (way == "sorted")
    whole.few, cut.few = ([np.sort(np.concatenate(tally.few or [[]], axis=-1))] for tally in (whole, cut))
    for name, counted in vars(whole).items():
        np.testing.assert_array_equal(getattr(cut, name), counted, err_msg=name)


@given(drawn=st.lists(st.tuples(st.floats(0, 2.0**100, width=32), st.booleans()), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_changed_median_is_over_the_changed_rows_alone(drawn):
    """Rows that changed may have deviation 0; rows that did not change always have."""
    moved = np.array([changed for _, changed in drawn])
    values = np.array([value if changed else 0 for value, changed in drawn], dtype=np.float32)
    row = summary_of({"dose": values}, {"dose": moved}).iloc[0]
    assert row["changed_share"] == np.count_nonzero(moved) / len(moved)
    if moved.any():
        np.testing.assert_array_max_ulp(row["changed_median"], np.median(values[moved].astype(np.float64)), maxulp=2)
    else:
        assert math.isnan(row["changed_median"])


def test_without_changed_rows_there_is_no_changed_median():
    row = summary_of({"dose": np.zeros(5)}, {"dose": np.zeros(5, dtype=bool)}).iloc[0]
    assert math.isnan(row["changed_median"])
    assert (row["changed_share"], row["median"]) == (0.0, 0.0)


def test_perturbations_are_ordered_by_what_leads_then_mean_then_as_they_came():
    columns = {
        "low": [0, 0, 1],
        "first of equals": [2, 2, 2],
        "high": [5, 5, 5],
        "second of equals": [2, 2, 2],
        "same median, higher mean": [2, 2, 3],
        "higher mean, lower median": [1, 1, 90],
    }
    by_median = ["high", "same median, higher mean", "first of equals", "second of equals"]
    by_median += ["higher mean, lower median", "low"]
    assert summary_of(columns, order_by="median")["perturbation"].tolist() == by_median
    by_mean = [by_median[4], *by_median[:4], by_median[5]]
    assert summary_of(columns)["perturbation"].tolist() == by_mean


def test_each_row_of_the_summary_keeps_its_own_numbers_once_ordered():
    columns = {f"x{number}": np.full(9, value) for number, value in enumerate([3, 1, 4, 1.5, 9, 2.5])}
    moved = {name: np.arange(9) < number for number, name in enumerate(columns)}
    summary = summary_of(columns, moved).set_index("perturbation")
    for number, (name, values) in enumerate(columns.items()):
        found = summary.loc[name, ["median", "mean", "q05", "q95", "max"]].tolist()
        assert found == [values[0]] * 5
        assert summary.loc[name, "changed_share"] == number / 9


def test_the_summary_says_what_was_done():
    plan = [shuffled("dose"), SetTo(Feature("SEX", (), "category"), 2)]
    tally = Tally.empty(2)
    values = np.array([[0, 0], [1, 1]], dtype=np.float32)
    tally.add(values, values > 0, values > 1, values > 1)
    summary = summarize(plan, tally, lambda number: [values[number]], 2)
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert summary[["perturbation", "feature", "way", "rows"]].values.tolist() == [
        ["dose", "dose", "shuffle", 2],
        ["SEX=2", "SEX", "set", 2],
    ]


@pytest.mark.parametrize("value", [2, 2**53 + 1, 0.5, True, "yes"])
def test_a_set_value_stays_what_it_is_beside_shuffles_which_have_none(value):
    """A code of 2 is not 2.0, which pandas makes of integers beside gaps unless it is told."""
    tally = Tally.empty(2)
    none = np.zeros((2, 1), dtype=bool)
    tally.add(np.array([[0], [1]], dtype=np.float32), np.array([[False], [True]]), none, none)
    plan = [shuffled("dose"), SetTo(Feature("SEX", (), "category"), value)]
    first, second = summarize(plan, tally, lambda number: [np.array([number], dtype=np.float32)], 1)["value"]
    assert pd.isna(first)
    assert second == value
    assert type(second) is type(value)


def audited(function, block_rows, repeats, folder, n_rows=101):
    """Run an audit of `dose` and `age` as the main job does; return what it found, its table, and what was told."""
    generator = np.random.default_rng(2)
    table = pd.DataFrame({"dose": generator.normal(size=n_rows), "age": generator.normal(size=n_rows)})
    specs, inputs = bound(table, numbers=["dose", "age"])
    perturbations = plan_perturbations(inputs, "the model", AnalysisConfig(repeats=repeats))
    job = Job(PlainPredictor(specs, function), inputs, perturbations, choose_measure(None, 1, ()), "", 0, repeats)
    told = []
    found = find(job, block_rows, folder / "t.parquet", lambda *done: told.append(done))
    return found, pd.read_parquet(folder / "t.parquet"), told


def three_doses_and_age(inputs):
    return 3 * inputs["num_input"][:, 0] + inputs["num_input"][:, 1]


@pytest.mark.parametrize("block_rows", [7, 1000])
def test_rows_of_all_repeats_are_pooled(block_rows, tmp_path):
    found, written, _ = audited(three_doses_and_age, block_rows, 5, tmp_path)
    for name in ["dose", "age"]:
        row = found.summary.set_index("perturbation").loc[name]
        assert row["rows"] == len(written) == 505
        assert_quantiles_are_numpys(row, written[name].to_numpy())
        assert row["mean"] == exact_mean(written[name].to_numpy())
    assert written.groupby("repeat").size().tolist() == [101] * 5
    assert (written.groupby("repeat")["dose"].nunique() > 50).all()
    assert written["dose"].nunique() > 300  # each repeat has donors of its own


def test_progress_tells_the_rows_done_of_all(tmp_path):
    told = audited(three_doses_and_age, 40, 2, tmp_path)[2]
    assert told == [(0, 101), (34, 101), (68, 101), (101, 101)]  # as few blocks as 40 rows allow, of equal size


def test_rows_that_did_not_change_and_yet_moved_are_noticed(tmp_path):
    """As under a model that mixes rows; the largest such deviation is kept, and 0 where rows are apart."""
    mixed = Tally.empty(1)
    none = np.zeros((1, 3), dtype=bool)
    mixed.add(np.array([[0, 5, 0]], dtype=np.float32), np.array([[False, True, False]]), none, none)
    mixed.add(np.array([[2, 1, 9]], dtype=np.float32), np.array([[False, False, True]]), none, none)
    assert mixed.unmoved_largest.tolist() == [2]
    assert audited(three_doses_and_age, 20, 2, tmp_path)[0].tally.unmoved_largest.tolist() == [0, 0]
