"""Intervals hold what they promise, whatever the distribution, the repeats and the kind of feature."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, t

from nnperm_mlflow.analysis.engine.decisions import choose_decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.statistics.summary import summarize
from nnperm_mlflow.analysis.statistics.summary_columns import SURE
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN
from nnperm_mlflow.analysis.uncertainty.intervals import Sample, ends_of, quantile_ranks, ranks_of, share_ends
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.specs import OutputSpec
from tests.analysis.uncertainty.test_coverage import assert_at_most
from tests.support.plain import PlainPredictor, bound, tallied
from tests.support.simulations import IN_FULL, in_full

N_AUDITS = in_full(2_000, 500)
POPULATION = 4_000_000  # where half of the rows keep their value, the median hangs on the few beside the edge
COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.exponential(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "half": lambda rng, n: (rng.random(n) < 0.5).astype(float),
    "binary": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "rare": lambda rng, n: (rng.random(n) < 0.02).astype(float),
}


def additive(column, other):
    return column


def depending(column, other):
    return np.exp(other) * column


def probability(column, other):
    return 1 / (1 + np.exp(-2 * column - other))


def outlying(column, other):
    return np.abs(column)


def shuffled(model, column, other, repeats, seed):
    """Return deviations (n_repeats, n_rows) of a shuffled column, and the donors."""
    block = ShuffleBlock(0, np.arange(len(column)))
    donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)]
    baseline = model(column, other)
    return np.stack([np.abs(model(column[positions], other) - baseline) for positions in donors]), donors


def filled(model, column, other, repeats, seed):
    """Return deviations (n_repeats, n_rows) with everybody set to 1, the same in all repeats; there are no donors."""
    moved = np.abs(model(np.ones_like(column), other) - model(column, other))
    return np.repeat(moved[None], repeats, axis=0), None


def median_ranks(deviations, donors):
    """Return the ranks of all deviations between which their median lies, as `Sample` finds them."""
    sample = Sample(deviations, *[deviations > 0] * 3, Exchange(donors), deviations.shape[1], 1.0)
    found = {"median": np.median(deviations.astype(float)), "q95": 0.0, "changed_median": math.nan}
    return ranks_of(sample, found, deviations.size, 0)["median"]


def coverage(way, model, draw, n_rows, repeats):
    """Return how many of the simulated audits hold the median of a large population."""
    rng = np.random.default_rng(1)
    column, other = draw(rng, POPULATION), rng.normal(size=POPULATION)
    disturbed = rng.permutation(column) if way is shuffled else 1.0
    truth, held = np.median(np.abs(model(disturbed, other) - model(column, other))), 0
    for seed in range(N_AUDITS):
        deviations, donors = way(model, draw(rng, n_rows), rng.normal(size=n_rows), repeats, seed)
        ordered = np.sort(deviations, axis=None)
        low, high = median_ranks(deviations, donors)
        held += int(ordered[low] <= truth <= ordered[high])
    return held


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 5])
@pytest.mark.parametrize(
    ("way", "model", "column"),
    [
        (shuffled, additive, "normal"),
        (shuffled, depending, "normal"),
        (shuffled, probability, "normal"),
        (shuffled, additive, "heavy tails"),
        (shuffled, depending, "half"),
        (filled, depending, "binary"),
        (filled, depending, "rare"),
    ],
)
def test_intervals_hold_the_median_in_95_of_100_audits(way, model, column, repeats):
    found = binomtest(coverage(way, model, COLUMNS[column], 300, repeats), N_AUDITS).proportion_ci(0.998)
    assert found.low <= 0.97
    assert found.high >= 0.93


def assert_often_enough(held, n_audits):
    """In 93 of 100 audits; few must not show that it is less often."""
    if IN_FULL:
        assert held >= 0.93
    else:
        assert_at_most(1 - held, n_audits, 0.07)


def statistics_of(moves, moved, flipped):
    """Return what a summary says of predictions' moves, with their signs."""
    deviations = np.abs(moves)
    return {
        "median": np.median(deviations),
        "q95": np.quantile(deviations, 0.95),
        "changed_median": np.median(deviations[moved]) if moved.any() else math.nan,
        "mean": deviations.mean(),
        "shift": moves.mean(),
        "flipped_share": flipped.mean(),
    }


def audited(way, model, limit, drawn, repeats, *, seed):
    """Return the sample and the statistics of an audit of one perturbation; predictions above the limit decide."""
    column, other = drawn
    donors = shuffled(model, column, other, repeats, seed)[1] if way is shuffled else None
    given = np.ones((repeats, len(column))) if donors is None else np.stack([column[each] for each in donors])
    before, after = model(column, other), np.stack([model(each, other) for each in given])
    moves, moved, flipped = after - before, given != column, (after > limit) != (before > limit)
    sample = Sample(np.abs(moves), moved, moves < 0, flipped, Exchange(donors), len(column), 1.0)
    return sample, statistics_of(moves, moved, flipped)


def coverages(case, repeats, n_rows, n_audits):
    """Return for each statistic the share of simulated audits whose interval holds that of a large population."""
    way, model, draw, limit = case[0], case[1], COLUMNS[case[2]], case[3]
    rng = np.random.default_rng(1)
    column, other = draw(rng, 300_000), rng.normal(size=300_000)
    before = model(column, other)
    disturbed = rng.permutation(column) if way is shuffled else np.ones_like(column)
    after = model(disturbed, other)
    truth = statistics_of(after - before, disturbed != column, (after > limit) != (before > limit))
    held = dict.fromkeys(SURE, 0)
    for seed in range(n_audits):
        drawn = draw(rng, n_rows), rng.normal(size=n_rows)
        sample, found = audited(way, model, limit, drawn, repeats, seed=seed)
        n_moved, ordered = np.count_nonzero(sample.moved), np.sort(sample.deviations, axis=None)
        ranks = ranks_of(sample, found, ordered.size, n_moved)
        ends = {name: ordered[list(pair)] for name, pair in ranks.items()} | ends_of(sample, found)
        for name, (low, high) in ends.items():
            held[name] += low <= truth[name] <= high
    return {name: count / n_audits for name, count in held.items()}


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(
    ("way", "model", "column", "limit"),
    [
        (shuffled, additive, "normal", 1.0),
        (shuffled, probability, "normal", 0.5),
        (shuffled, probability, "skewed", 0.9),
        (shuffled, depending, "binary", 0.5),
        (filled, probability, "normal", 0.9),
        (filled, depending, "rare", 1.0),
    ],
)
def test_intervals_hold_every_statistic_in_95_of_100_audits(way, model, column, limit, repeats):
    """More often where moves up and down cancel in each row, and where a flag keeps its value in most rows."""
    n_audits = in_full(1000, 250)
    held = coverages((way, model, column, limit), repeats, 1000, n_audits)
    assert set(held) == set(SURE)
    assert_often_enough(min(held.values()), n_audits)
    del held["shift"]
    if column == "binary":
        assert held.pop("median") == 1
    if IN_FULL:
        assert max(held.values()) <= 0.975
    else:
        assert_at_most(max(held.values()), n_audits, 0.975)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(
    ("way", "model", "column", "limit"),
    [
        (shuffled, depending, "rare", 2.0),
        (shuffled, probability, "normal", 0.995),
        (shuffled, outlying, "normal", 2.4),
        (filled, probability, "normal", 0.995),
    ],
)
def test_the_share_of_few_flips_is_held(way, model, column, limit, repeats):
    """Of 400 rows 2 to 9 flip, some in every repeat, some whether they receive a value or give one."""
    n_audits = in_full(1000, 300)
    assert_often_enough(coverages((way, model, column, limit), repeats, 400, n_audits)["flipped_share"], n_audits)


def test_where_most_rows_keep_their_value_the_median_is_certainly_0():
    """A shuffle of a rare flag changes 4 rows of 100: no interval of the median can miss."""
    assert coverage(shuffled, depending, COLUMNS["rare"], 300, 2) == N_AUDITS


def test_more_repeats_narrow_an_interval_only_so_far():
    """Repeats of the same rows are no new rows: one of 200 repeats is not far narrower than one of 10."""
    rng = np.random.default_rng(0)
    column, other = rng.normal(size=400), rng.normal(size=400)
    widths = []
    for repeats in (1, 10, 200):
        deviations, donors = shuffled(additive, column, other, repeats, 0)
        low, high = median_ranks(deviations, donors)
        ordered = np.sort(deviations, axis=None)
        widths.append(ordered[high] - ordered[low])
    assert widths[0] > widths[1] > 0.5 * widths[0]
    assert widths[2] > 0.75 * widths[1]


@pytest.mark.parametrize("n_rows", [7, 10])
def test_few_rows_give_a_wide_interval_inside_the_data(n_rows):
    deviations, donors = shuffled(additive, np.arange(float(n_rows)), None, 2, 0)
    low, high = median_ranks(deviations, donors)
    assert 0 <= low <= high <= 2 * n_rows - 1


def quantiles_told(deviations, donors):
    """Return the quantiles that have an interval."""
    moved = deviations > 0
    sample = Sample(deviations, moved, *[~moved] * 2, Exchange(donors), deviations.shape[1], 1.0)
    found = {"median": np.median(deviations), "q95": np.quantile(deviations, 0.95)}
    return set(ranks_of(sample, found | {"changed_median": np.median(deviations[moved])}, deviations.size, moved.sum()))


def test_a_quantile_that_all_rows_may_lie_below_has_no_interval():
    """None of 30 rows exceeds the true 95 % quantile in 0.95^30 = 21 % of samples; of 90 in 1 %."""
    rows = np.random.default_rng(0).exponential(size=(1, 90))
    assert "q95" not in quantiles_told(rows[:, :89], None)
    assert quantiles_told(rows, None) == {"median", "q95", "changed_median"}


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_median_of_what_a_handful_of_rows_give_away_has_no_interval(repeats):
    """Of one row with a value to give two rows move, by the same: their median is sure of nothing."""
    for n_holders, is_told in ((1, False), (6, False), (7, True)):
        dose = np.zeros(400)
        dose[:n_holders] = np.random.default_rng(0).exponential(size=n_holders) + 1
        donors = [np.roll(np.arange(400), 20 + repeat) for repeat in range(repeats)]
        deviations = np.abs(np.stack([dose[each] - dose for each in donors])).astype(np.float32)
        assert ("changed_median" in quantiles_told(deviations, donors)) == is_told


def test_a_set_value_has_the_error_of_independent_rows_however_often_it_is_repeated():
    """Rows that are left out count for nothing: 300 rows of which 100 are missing are as sure as 200."""
    values = np.random.default_rng(0).exponential(size=300)
    values[::3] = np.nan
    known = values[~np.isnan(values)]
    repeated = np.repeat(values[None], 4, axis=0)
    found = Exchange().moments(repeated, ~np.isnan(repeated)).variance()
    assert found == pytest.approx(known.var() / 200, rel=1e-12)


def test_the_variance_of_a_shuffle_is_that_of_sums_over_all_pairs_of_rows():
    """Of |x_j - x_i| a row adds twice what it lies off on average, and a pair what it has beyond its rows."""
    rng = np.random.default_rng(4)
    column, repeats = rng.normal(size=400), 300
    deviations, donors = shuffled(additive, column, None, repeats, 0)
    pairs = np.abs(column[:, None] - column)
    off_of_rows = pairs.mean(axis=1) - pairs.mean()
    of_rows = np.var(2 * off_of_rows)
    of_pairs = pairs.var() - 2 * np.var(off_of_rows)
    found = 400 * Exchange(donors).moments(deviations, np.ones_like(deviations, dtype=bool)).variance()
    assert found == pytest.approx(of_rows + of_pairs / repeats, rel=0.02)


def test_values_that_are_all_alike_are_sure_and_values_that_are_unknown_are_not():
    known = np.ones((2, 5), dtype=bool)
    reversed_rows = Exchange([np.arange(5)[::-1]] * 2)
    assert reversed_rows.moments(np.full((2, 5), 0.25), known).variance() == 0
    assert reversed_rows.moments(np.full((2, 5), 0.25), ~known) is UNKNOWN
    assert UNKNOWN.variance() == math.inf
    assert quantile_ranks(0.5, (math.inf, math.inf), 10) == (0, 9)


@pytest.mark.parametrize("share", [0, 0.002, 0.3, 1])
def test_a_share_has_wilsons_interval(share):
    low, high = share_ends(share, 200)
    assert low <= share <= high
    for end in {low, high} - {0.0, 1.0}:
        assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 200), rel=1e-5)
    assert high - low > 0.01


DOSE_SEX = pd.DataFrame(
    {
        "dose": np.random.default_rng(3).normal(size=101),
        "sex": (np.random.default_rng(4).random(101) < 0.5).astype(float),
        "hair": np.arange(101.0),
    }
)


def found_in(path, block_rows=40, table=DOSE_SEX, function=None, repeats=3, **job):
    """Audit a table of numbers as the main job does; return the summary by perturbation, and the deviation table."""
    specs, inputs = bound(table, numbers=list(table))
    last = table.columns[1]
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0, set={last: [1]}))
    predictor = PlainPredictor(specs, function or dose_and_sex)
    measure = choose_measure(None, 1, ())
    decision = choose_decision(0.5, measure, 1, OutputSpec())
    job = Job(predictor, inputs, perturbations, measure, "", 5, repeats, decision=decision, **job)
    summary = find(job, block_rows, path, lambda *_: None).summary.set_index("perturbation")
    return summary, pd.read_parquet(path).sort_values(["repeat", "row"])


def dose_and_sex(given):
    dose, sex, _ = given["num_input"].T
    return 2 * dose + sex + dose * sex


@pytest.mark.parametrize("block_rows", [17, 1000])
def test_the_summary_of_an_audit_has_the_intervals_of_its_own_rows_and_donors(block_rows, tmp_path):
    summary, written = found_in(tmp_path / "t.parquet", block_rows)
    block, model = ShuffleBlock(0, np.arange(101)), partial(predicted, DOSE_SEX)
    for name in ["dose", "sex", "sex=1"]:
        feature = name.partition("=")[0]
        donors = None if name == "sex=1" else [donor_positions(block, 5, name, repeat) for repeat in range(3)]
        column = DOSE_SEX[feature].to_numpy()
        given = np.ones((3, 101)) if donors is None else np.stack([column[each] for each in donors])
        before, after = model(feature, column), np.stack([model(feature, each) for each in given])
        deviations = written[name].to_numpy().reshape(3, 101)
        np.testing.assert_allclose(deviations, np.abs(after - before), rtol=1e-6)
        sample = Sample(
            deviations, given != column, after < before, (after > 0.5) != (before > 0.5), Exchange(donors), 101, 1.0,
        )  # fmt: skip
        found, ordered = summary.loc[name], np.sort(deviations, axis=None)
        ranks = ranks_of(sample, found, 303, np.count_nonzero(sample.moved))
        ends = {each: ordered[list(pair)] for each, pair in ranks.items()} | ends_of(sample, found)
        assert set(ends) == set(SURE)
        for each, (low, high) in ends.items():
            assert (found[f"{each}_low"], found[f"{each}_high"]) == (low, high)
            assert low <= found[each] <= high
            assert low < high
        spread = np.median(deviations.astype(float), axis=1).std(ddof=1)
        assert found["median_spread"] == pytest.approx(spread, rel=1e-12, abs=1e-15)
    assert summary.loc["sex=1", "median_spread"] == 0


def predicted(table, feature, values):
    return dose_and_sex({"num_input": table.assign(**{feature: values}).to_numpy()})


@pytest.mark.parametrize("shuffle_block_rows", [65_536, 40])
def test_intervals_do_not_depend_on_the_size_of_blocks(shuffle_block_rows, tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", shuffle_block_rows)
    first, second = (found_in(tmp_path / "t.parquet", block_rows)[0] for block_rows in (7, 1000))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert first[[f"{name}_low" for name in SURE]].notna().all(axis=None)
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_a_feature_that_moved_nothing_may_yet_move_or_flip_rows_that_were_not_seen(tmp_path):
    """None of 101 rows has moved: of all rows there might be, some may, as far as predictions lie apart: by 1."""
    summary, _ = found_in(tmp_path / "t.parquet", function=lambda given: (given["num_input"][:, 2] > 50) * 1.0)
    for name, n_alike in (("dose", 101 / 2), ("sex=1", 101)):
        row, most = summary.loc[name], share_ends(0, n_alike, t.ppf(0.975, 100))[1]
        expected = {"median": (0, 0), "q95": (0, 0), "mean": (0, most), "shift": (-most, most)}
        for statistic, ends in expected.items():
            assert (row[f"{statistic}_low"], row[f"{statistic}_high"]) == ends
        assert (row["flipped_share_low"], row["flipped_share_high"]) == share_ends(0, n_alike, t.ppf(0.975, 100))
        assert row["flipped_share_high"] > 0.03


def test_where_all_moves_cancel_the_shift_is_as_good_as_known(tmp_path):
    """Shuffled values have the mean that they had, so that a linear model predicts the same on average."""
    summary, _ = found_in(tmp_path / "t.parquet", function=lambda given: given["num_input"][:, 0])
    row = summary.loc["dose"]
    assert row["shift_low"] < 0 < row["shift_high"]
    assert row["shift_high"] - row["shift_low"] < 0.5 * (row["mean_high"] - row["mean_low"])


def test_rows_that_kept_their_value_have_no_part_in_the_median_of_those_that_changed(tmp_path):
    """Every other row is 1 already; the interval is that of an audit of the others alone."""
    table = pd.DataFrame({"dose": np.arange(200.0), "sex": np.arange(200) % 2.0, "hair": 0.0})
    changing = table[table["sex"] == 0]
    both, _ = found_in(tmp_path / "both.parquet", table=table)
    alone, _ = found_in(tmp_path / "alone.parquet", table=changing)
    for end in ("changed_median_low", "changed_median_high"):
        assert both.loc["sex=1", end] == alone.loc["sex=1", end.removeprefix("changed_")] > 0
    assert both.loc["sex=1", "median_low"] == 0


def test_more_rows_than_a_shuffle_block_make_an_interval_narrower(tmp_path, monkeypatch):
    """The variance is that of the first 100 rows, and the interval that of all 1,600: a fourth as wide."""
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", 100)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"dose": rng.normal(size=1600), "sex": rng.random(1600).round(), "hair": 0.0})
    many, _ = found_in(tmp_path / "many.parquet", table=table, repeats=1)
    few, _ = found_in(tmp_path / "few.parquet", table=table[:100], repeats=1)
    for name in SURE:
        wide, narrow = (each.loc["dose", f"{name}_high"] - each.loc["dose", f"{name}_low"] for each in (few, many))
        assert 0.15 < narrow / wide < 0.5


def test_a_summary_that_is_told_nothing_of_it_claims_nothing():
    specs, inputs = bound(pd.DataFrame({"dose": np.arange(5.0)}), numbers=["dose"])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig())
    predictor = PlainPredictor(specs, lambda given: given["num_input"])
    job = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "")
    first = summarize(perturbations, tallied(job, 5), lambda number: [], 5).iloc[0]
    assert first[["median_spread", *(f"{name}{end}" for name in SURE for end in ("_low", "_high"))]].isna().all()


def test_one_repeat_has_an_interval_and_no_spread(tmp_path):
    specs, inputs = bound(pd.DataFrame({"dose": np.arange(50.0)}), numbers=["dose"])
    measure, plan = choose_measure(None, 1, ()), plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(PlainPredictor(specs, lambda given: given["num_input"]), inputs, plan, measure, "")
    row = find(job, 50, tmp_path / "t.parquet", lambda *_: None).summary.iloc[0]
    assert 0 < row["median_low"] < row["median"] < row["median_high"] < row["max"]
    assert math.isnan(row["median_spread"])


def test_where_no_two_predictions_differ_nobody_knows_how_far_an_unseen_row_may_move(tmp_path):
    summary, _ = found_in(tmp_path / "t.parquet", function=lambda given: 0.4 + 0 * given["num_input"][:, 0])
    assert summary[["mean_high", "shift_low", "shift_high"]].isna().all(axis=None)
    assert (summary["mean"] == 0).all()
