"""What two audits tell of the difference between two models: exact where it is known, and as sure as it says."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from scipy.stats import spearmanr

from nnperm_mlflow.analysis.difference._agreement import largest_shift, rank_correlation
from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_COLUMNS
from nnperm_mlflow.analysis.difference.influences import (
    Errors,
    UnknownDonors,
    find_influences,
    paired_errors,
    unpaired_errors,
)
from nnperm_mlflow.analysis.difference.recorded_table import KnownRows
from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.conditional_list import digest_of, with_conditionals
from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions, shuffle_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import stratify
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.stopping_rule import Precision
from nnperm_mlflow.analysis.uncertainty.intervals import Sample, ranks_of
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N_ROWS = 240
REACH = stats.t.ppf(0.975, N_ROWS - 1)
RNG = np.random.default_rng(8)
TABLE = pd.DataFrame(
    {
        "dose": RNG.integers(-50, 50, N_ROWS).astype(float),
        "age": RNG.integers(20, 90, N_ROWS).astype(float),
        "bmi": RNG.integers(15, 40, N_ROWS).astype(float),
        "hair": RNG.integers(0, 9, N_ROWS).astype(float),
    }
)
WEIGHTS = np.array([1.0, 2.0, -1.0, 0.0])


def linear(weights):
    return lambda given: given["num_input"] @ weights


def audit(path, function, table=TABLE, *, told=None, job=None, precision=None, **analysis):
    """Audit a function of a table of numbers as the main job does; return where the table lies, and the summary."""
    specs, inputs = bound(table, numbers=list(table))
    asked = AnalysisConfig(**{"rare_below": 0, "set": {"dose": [7.0]}, **analysis})
    plan = with_conditionals(plan_perturbations(inputs, "", asked), inputs, asked)
    subgroups = {} if asked.donors is None else {"donors": asked.drawing, "subgroups": digest_of(plan)}
    record = {"data_digest": "d1", "seed": asked.seed, "within": asked.within, **subgroups, **(told or {})}
    settings = {"seed": asked.seed, "repeats": asked.repeats, **(job or {})}
    done = Job(PlainPredictor(specs, function), inputs, plan, choose_measure(None, 1, ()), "", **settings)
    found = find(done, 50, path, lambda *_: None, record=record, precision=precision)
    return path, found.summary


def compared(first, second, **how):
    return compare_tables(first[0], second[0], first[1], second[1], **how)


def by_name(comparison):
    return comparison.differences.set_index("perturbation")


def test_two_audits_of_one_model_differ_in_nothing(tmp_path):
    same = [audit(tmp_path / name, linear(WEIGHTS), repeats=2) for name in ("a", "b")]
    found = compared(*same)
    assert tuple(found.differences.columns) == DIFFERENCE_COLUMNS
    ends = [name for name in DIFFERENCE_COLUMNS if "difference" in name]
    assert (found.differences[ends] == 0).all(axis=None)
    assert (found.differences["rank_a"] == found.differences["rank_b"]).all()
    assert found.paired
    assert (found.only_a, found.only_b, found.undefined) == ([], [], [])
    assert (found.rank_correlation.value, found.rank_correlation.low, found.rank_correlation.high) == (1, 1, 1)
    assert (found.largest_shift.value, found.largest_shift.low, found.largest_shift.high) == (0, 0, 0)


def test_where_every_deviation_is_doubled_the_difference_is_as_sure_as_the_statistic_itself(tmp_path):
    first = audit(tmp_path / "a", linear(WEIGHTS))
    found = by_name(compared(first, audit(tmp_path / "b", linear(2 * WEIGHTS))))
    own = first[1].set_index("perturbation").loc[found.index]
    for statistic, name in (("median", "difference"), ("mean", "mean_difference")):
        assert (found[name] == own[statistic]).all()
        moved = own["mean"] > 0  # of what did not move is not told that it never does, but that the two are alike
        width, own_width = (each[f"{end}_high"] - each[f"{end}_low"] for each, end in ((found, name), (own, statistic)))
        off = 0.02 if statistic == "median" else 1e-6  # the ends of a median are deviations that are there
        assert width[moved].tolist() == pytest.approx(own_width[moved].tolist(), rel=off)
        assert (width[~moved] == 0).all()
    assert found["rank_a"].tolist() == found["rank_b"].tolist()


@pytest.mark.parametrize("repeats", [1, 3])
def test_of_a_linear_model_with_another_coefficient_that_feature_alone_differs(repeats, tmp_path):
    """Whole numbers leave no rounding: what is 0 is exactly 0, and surely so."""
    first = audit(tmp_path / "a", linear(WEIGHTS), repeats=repeats)
    found = compared(first, audit(tmp_path / "b", linear(WEIGHTS * [1, 1.25, 1, 1]), repeats=repeats))
    top, rest = found.differences.iloc[0], found.differences.iloc[1:]
    assert top["perturbation"] == "age"
    pairs = np.abs(TABLE["age"].to_numpy()[:, None] - TABLE["age"].to_numpy())
    assert top["difference_low"] <= 0.5 * np.median(pairs) <= top["difference_high"]
    assert top["mean_difference_low"] < 0.5 * pairs.mean() < top["mean_difference_high"]
    assert (top["median_b"] - top["median_a"], top["mean_b"] - top["mean_a"]) == (
        top["difference"], top["mean_difference"],
    )  # fmt: skip
    assert (rest[[name for name in DIFFERENCE_COLUMNS if "difference" in name]] == 0).all(axis=None)
    assert found.largest_shift.value == top["mean_difference"]


def test_a_difference_is_what_b_has_more(tmp_path):
    grown, shrunk = WEIGHTS * [1, 2, 1, 1], WEIGHTS * [0.5, 1, 1, 1]
    found = by_name(compared(audit(tmp_path / "a", linear(WEIGHTS)), audit(tmp_path / "b", linear(grown))))
    assert found.loc["age", "difference"] > found.loc["age", "difference_low"] > 0
    found = compared(audit(tmp_path / "a", linear(WEIGHTS)), audit(tmp_path / "c", linear(shrunk)))
    dose = by_name(found).loc["dose"]
    assert dose["difference"] < dose["difference_high"] < 0
    either = max(-dose["mean_difference"], -by_name(found).loc["dose=7", "mean_difference"])
    assert found.largest_shift.value == either
    by_medians = compared(
        audit(tmp_path / "d", linear(WEIGHTS)), audit(tmp_path / "e", linear(shrunk)), statistic="median"
    )
    either = max(-dose["difference"], -by_name(found).loc["dose=7", "difference"])
    assert by_medians.largest_shift.value == either
    assert 0 < found.largest_shift.low < found.largest_shift.value < found.largest_shift.high


def test_shuffles_are_ranked_among_those_that_both_have(tmp_path):
    """A set value answers another question, and has no place."""
    first = audit(tmp_path / "a", linear(WEIGHTS), groups={"both": ["dose", "age"]})
    second = audit(tmp_path / "b", linear(WEIGHTS * [1, 0.1, 1, 1]), set={"dose": [7.0], "hair": [1.0]})
    found = compared(first, second)
    assert (found.only_a, found.only_b) == (["both"], ["hair=1"])
    ranks = by_name(found)[["rank_a", "rank_b"]]
    assert ranks.loc["dose=7"].isna().all()
    for end, (_, summary) in (("rank_a", first), ("rank_b", second)):
        order = [name for name in summary["perturbation"] if name in ranks.index.drop("dose=7")]
        assert ranks[end].dropna().sort_values().index.tolist() == order
        assert sorted(ranks[end].dropna()) == [1, 2, 3, 4]
    assert ranks.loc["age"].tolist() == [1, 3]


def test_ranks_and_the_order_of_rows_stand_on_what_leads(tmp_path):
    """By flips ranks are by flips, where both audits tell them; the differences are then of means."""
    first, second = audit(tmp_path / "a", linear(WEIGHTS)), audit(tmp_path / "b", linear(WEIGHTS * [1, 0.1, 1.5, 1]))
    flips = {"dose": 0.1, "age": 0.2, "hair": 0.3, "bmi": 0.4}
    told = [
        (path, summary.assign(flipped_share=summary["perturbation"].map(flips))) for path, summary in (first, second)
    ]
    found = compared(*told, order_by="flipped_share")
    ranks = by_name(found)["rank_a"].dropna()
    assert ranks.sort_values(ascending=False).index.tolist() == [name for name in flips if name in ranks.index]
    assert found.statistic == "mean"
    by_means = compared(first, second, order_by="roc_auc_drop")
    assert by_name(by_means)["rank_a"].dropna().sort_values().index.tolist() == [
        name for name in first[1]["perturbation"] if name in by_name(by_means)["rank_a"].dropna().index
    ]
    for statistic, column in (("mean", "mean_difference"), ("median", "difference")):
        sizes = compared(first, second, statistic=statistic).differences[column].abs()
        assert sizes.is_monotonic_decreasing


def test_audits_that_have_no_perturbation_in_common_are_compared_in_nothing(tmp_path):
    first = audit(tmp_path / "a", linear(WEIGHTS), exclude=["age", "bmi", "hair"], set={})
    second = audit(tmp_path / "b", linear(WEIGHTS), exclude=["dose"], set={})
    found = compared(first, second)
    assert tuple(found.differences.columns) == DIFFERENCE_COLUMNS
    assert len(found.differences) == 0
    assert (found.only_a, found.only_b) == (["dose"], ["age", "bmi", "hair"])
    assert math.isnan(found.largest_shift.value)
    assert math.isnan(found.rank_correlation.value)


OTHERS = {
    r"data \(d1 and d2\)": {"told": {"data_digest": "d2"}},
    r"seed \(0 and 1\)": {"seed": 1},
    r"rows \(240 and 200\)": {"table": TABLE[:200]},
    r"repeats \(1 and 2\)": {"repeats": 2},
    r"within \(\[\] and \['age'\]\)": {"told": {"within": ["age"]}},
    r"donors \(None and cycles\)": {"told": {"donors": "cycles"}},
    r"data \(d1 and d2\), seed \(0 and 1\)": {"told": {"data_digest": "d2"}, "seed": 1},
}


@pytest.mark.parametrize(("what", "other"), OTHERS.items())
def test_audits_of_other_rows_or_donors_are_not_compared_row_by_row(what, other, tmp_path):
    first, second = audit(tmp_path / "a", linear(WEIGHTS)), audit(tmp_path / "b", linear(WEIGHTS), **other)
    with pytest.raises(ConfigError, match=f"the two audits differ in {what}, so that .*paired=False"):
        compared(first, second)
    found = compared(first, second, paired=False)
    assert not found.paired
    dose = by_name(found).loc["dose"]
    assert dose["difference_low"] < 0 < dose["difference_high"]


def test_a_table_in_another_order_of_rows_is_not_compared_row_by_row(tmp_path):
    first, second = audit(tmp_path / "a", linear(WEIGHTS)), audit(tmp_path / "b", linear(WEIGHTS))
    table = pq.read_table(second[0])
    pq.write_table(table.take(pa.array(np.arange(N_ROWS)[::-1])), second[0])
    with pytest.raises(ConfigError, match="differ in the order of their rows"):
        compared(first, second)


def reach_of_means(pair, name, rows, donors):
    """Return how far above the difference of means its interval goes, from the whole tables."""
    tables = [pd.read_parquet(path).sort_values(["repeat", "row"]) for path, _ in pair]
    a, b = (table[name].to_numpy(float).reshape(-1, N_ROWS)[:, rows] for table in tables)
    moments = Exchange(donors).moments(b - a, np.ones(a.shape, dtype=bool))
    return reaches(moments.of_more_rows(N_ROWS / len(rows)), len(rows))[1]


@pytest.mark.parametrize("n_known", [240, 60])
def test_errors_are_those_of_the_first_shuffle_block_with_the_donors_that_it_had(n_known, tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", n_known)
    pair = tuple(
        audit(tmp_path / name, function, seed=4, repeats=3, groups={"both": ["dose", "age"]})
        for name, function in (("a", linear(WEIGHTS)), ("b", lambda given: np.abs(given["num_input"] @ WEIGHTS)))
    )
    found = by_name(compared(*pair))
    block = next(shuffle_blocks(N_ROWS, 4))
    assert len(block.rows) == n_known
    for name in ("dose", "age", "both", "dose=7"):
        donors = [donor_positions(block, 4, name, repeat) for repeat in range(3)]
        reach = reach_of_means(pair, name, block.rows, None if name == "dose=7" else donors)
        assert found.loc[name, "mean_difference_high"] - found.loc[name, "mean_difference"] == pytest.approx(
            reach, rel=1e-9
        )


def test_a_table_tells_how_large_the_blocks_are_where_clusters_have_made_them(tmp_path, monkeypatch):
    """Clusters of 30 rows do not fill blocks of 100: three of 90 rows come out, not of 80."""
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", 100)
    clusters = np.arange(N_ROWS) // 30
    asked = {"seed": 4, "repeats": 2, "job": {"clusters": clusters}, "told": {"cluster": "client"}}
    pair = audit(tmp_path / "a", linear(WEIGHTS), **asked), audit(tmp_path / "b", linear(1.5 * WEIGHTS), **asked)
    deal = Deal(N_ROWS, 4, clusters=clusters)
    assert sorted(deal.sizes) == [60, 90, 90]
    rows = np.concatenate([block.rows for block in deal.blocks()])
    with KnownRows(pair[0][0]) as known:
        np.testing.assert_array_equal(known.rows(0), rows)  # so few clusters need all blocks
        dependence = known.dependence("dose", "shuffle")
        np.testing.assert_array_equal(dependence.clusters, clusters[rows])
        values = TABLE["dose"].to_numpy()[rows]
        moved = [np.abs(values[each] - values) for each in dependence.donors]
        np.testing.assert_allclose(known.deviations("dose"), moved, rtol=1e-5)
    assert not compared(*pair).undefined


def test_a_table_that_tells_of_other_blocks_than_it_has_is_no_evidence(tmp_path):
    first = audit(tmp_path / "a", linear(WEIGHTS), told={"shuffle_blocks": [N_ROWS, 1]})
    with pytest.raises(EvidenceError, match="tells of blocks that are not those of its rows"):
        compared(first, first)


def test_tables_of_several_passes_and_blocks_are_compared_as_those_of_one(tmp_path):
    function = linear(WEIGHTS * [1, 1.2, 1, 1])
    asked = [audit(tmp_path / "a", linear(WEIGHTS), repeats=6), audit(tmp_path / "b", function, repeats=6)]
    itself = audit(tmp_path / "c", function, precision=Precision(1e-9, 6))
    pd.testing.assert_frame_equal(
        compared(*asked).differences, compared(asked[0], itself).differences, check_exact=True
    )


@pytest.mark.parametrize("within", [["band"], None])
def test_where_donors_are_not_known_the_error_is_the_largest_that_there_can_be(within, tmp_path):
    table = TABLE.assign(hair=np.arange(N_ROWS) % 2)
    strata = stratify(["band"], {"band": table["hair"].to_numpy()})
    tables = [
        audit(tmp_path / name, linear(weights), table, repeats=2, told={"within": within}, job={"strata": strata})
        for name, weights in (("a", WEIGHTS), ("b", 2 * WEIGHTS))
    ]
    found = by_name(compared(*tables))
    dose = pd.read_parquet(tables[0][0])["dose"].to_numpy(float)
    reach = found.loc["dose", "mean_difference_high"] - found.loc["dose", "mean_difference"]
    assert reach == pytest.approx(REACH * math.sqrt(2 * dose.var() / N_ROWS))
    set_to = pd.read_parquet(tables[0][0]).query("repeat == 0")["dose=7"].to_numpy(float)
    reach = found.loc["dose=7", "mean_difference_high"] - found.loc["dose=7", "mean_difference"]
    moments = Exchange().moments(set_to[None], np.ones((1, N_ROWS), dtype=bool))
    assert reach == pytest.approx(reaches(moments, N_ROWS)[1])


GOING = TABLE.assign(age=TABLE["dose"] + RNG.integers(-5, 6, N_ROWS), bmi=TABLE["dose"] // 2)
"""Rows in which three columns go together, and one with none."""


def test_conditional_shuffles_are_compared_row_by_row_where_subgroups_are_the_same(tmp_path):
    """A model that differs in one weight differs in that feature alone, in either way, and surely so."""
    asked = {"set": {}, "donors": "conditional"}
    first = audit(tmp_path / "a", linear(WEIGHTS), GOING, **asked)
    second = audit(tmp_path / "b", linear(WEIGHTS * [1, 1.25, 1, 1]), GOING, **asked)
    found = by_name(compared(first, second))
    changed = found.loc[["age", "age conditional"]]
    assert (changed["mean_difference_low"] > 0).all()
    assert changed["mean_difference"].tolist() == pytest.approx((0.25 * changed["mean_a"]).tolist())
    assert (found.drop(index=changed.index)[["mean_difference", "difference"]] == 0).all(axis=None)
    deviations = pd.read_parquet(first[0])["age conditional"].to_numpy(float)
    reach = found.loc["age conditional", "mean_difference_high"] - found.loc["age conditional", "mean_difference"]
    assert reach == pytest.approx(REACH * math.sqrt(2 * (0.25 * deviations).var() / N_ROWS), rel=1e-6)


def test_conditional_shuffles_within_other_subgroups_are_not_compared_row_by_row(tmp_path):
    tables = [
        audit(tmp_path / given, linear(WEIGHTS), GOING, set={}, donors={"age": [given]}) for given in ("dose", "bmi")
    ]
    with pytest.raises(ConfigError, match=r"the two audits differ in subgroups \(\w{12} and \w{12}\), so that"):
        compared(*tables)
    assert not compared(*tables, paired=False).paired


def test_what_has_no_median_is_told_and_takes_no_part(tmp_path):
    def never_for_dose(given):
        undefined = np.ptp(given["num_input"][:, 0]) == 0
        return np.where(undefined, np.nan, given["num_input"] @ WEIGHTS)

    first = audit(tmp_path / "a", linear(WEIGHTS))
    second = audit(tmp_path / "b", never_for_dose, job={"skips_missing": True})
    found = compared(first, second)
    assert found.undefined == ["dose=7"]
    last = found.differences.iloc[-1]
    assert last["perturbation"] == "dose=7"
    assert math.isfinite(last["median_a"])
    assert last[["median_b", "difference", "difference_low", "mean_difference_high", "rank_b"]].isna().all()
    assert (found.largest_shift.value, found.rank_correlation.value) == (0, 1)


def test_rows_that_one_audit_leaves_out_stay_out_of_its_statistic_alone(tmp_path):
    """All deviations are 3 in one audit and 1 in the other, whatever rows are left out."""
    table = TABLE.assign(dose=np.arange(N_ROWS) % 2.0)
    function = lambda given: np.where(given["num_input"][:, 1] < 40, np.nan, 3 * given["num_input"][:, 0])  # noqa: E731
    first = audit(tmp_path / "a", function, table, job={"skips_missing": True}, set={"dose": [0.0, 1.0]})
    second = audit(tmp_path / "b", lambda given: given["num_input"][:, 0], table, set={"dose": [0.0, 1.0]})
    found = by_name(compared(first, second))
    kept = table["age"] >= 40
    moved = table["dose"] == 1
    assert found.loc["dose=0", "mean_a"] == pytest.approx(3 * moved[kept].mean())
    assert found.loc["dose=0", "mean_b"] == pytest.approx(moved.mean())
    off_a, off_b = 3 * (moved - moved[kept].mean()) * kept / kept.mean(), moved - moved.mean()
    moments = Exchange().moments((off_b - off_a).to_numpy()[None], np.ones((1, N_ROWS), dtype=bool))
    reach = reaches(moments, kept.sum())[1]
    assert found.loc["dose=0", "mean_difference_high"] - found.loc["dose=0", "mean_difference"] == pytest.approx(reach)


def test_summaries_may_have_been_written_and_read_again(tmp_path):
    pair = [audit(tmp_path / name, linear(weights)) for name, weights in (("a", WEIGHTS), ("b", WEIGHTS**2 / 3))]
    for path, summary in pair:
        summary.to_csv(path.with_suffix(".csv"), index=False)
    again = [(path, pd.read_csv(path.with_suffix(".csv"))) for path, _ in pair]
    numbers = [name for name in DIFFERENCE_COLUMNS if name != "value"]
    pd.testing.assert_frame_equal(
        compared(*pair).differences[numbers], compared(*again).differences[numbers], check_exact=True
    )


# How sure


def additive(column, other):
    return column


def scaled(column, other):
    return 1.1 * column


def probability(column, other):
    return 1 / (1 + np.exp(-2 * column - other))


def steeper(column, other):
    return 1 / (1 + np.exp(-2.2 * column - other))


def retrained(column, other):
    return 1 / (1 + np.exp(-2 * column - 1.3 * other + 0.3 * column * other))


COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.exponential(size=n),
    "half": lambda rng, n: (rng.random(n) < 0.5).astype(float),
}


def deviations_of(model, given, column, other):
    return np.abs(np.stack([model(each, other) for each in given]) - model(column, other)).astype(np.float32)


def influences_of(deviations, own, dependence):
    """Return median and mean of an audit, and the influences."""
    n_rows = deviations.shape[1]
    ordered, median = np.sort(deviations, axis=None), float(np.median(deviations.astype(float)))
    sample = Sample(deviations, *[deviations > 0] * 3, own, n_rows, 1.0)
    ranks = ranks_of(sample, {"median": median, "q95": 0.0, "changed_median": math.nan}, deviations.size, 0)
    ends = tuple(ordered[list(ranks["median"])].tolist())
    found = find_influences(deviations, median, ends, dependence, n_rows)
    return {"median": median, "mean": deviations.mean(dtype=float)}, found


class Rows:
    """A sample of rows and its donors, on which models are audited."""

    def __init__(self, rng, draw, n_rows, repeats, is_set):
        self.column, self.other = draw(rng, n_rows), rng.normal(size=n_rows)
        block = ShuffleBlock(0, np.arange(n_rows))
        seed = int(rng.integers(1 << 32))
        donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)]
        self.given = np.ones((repeats, n_rows)) if is_set else np.stack([self.column[each] for each in donors])
        self.dependence = Exchange(None if is_set else donors)

    def audit(self, model, dependence=None):
        deviations = deviations_of(model, self.given, self.column, self.other)
        return influences_of(deviations, self.dependence, dependence or self.dependence)


def truth_of(models, draw, is_set):
    rng = np.random.default_rng(1)
    column, other = draw(rng, 300_000), rng.normal(size=300_000)
    given = np.ones_like(column) if is_set else rng.permutation(column)
    a, b = (np.abs(model(given, other) - model(column, other)) for model in models)
    return {"median": np.median(b) - np.median(a), "mean": b.mean() - a.mean()}


def simulate(case, n_rows, repeats, *, paired, dependence=None, n_audits=800):
    """Return for each statistic how many intervals hold the true difference, and the mean of their errors."""
    models, draw, is_set = case[0], COLUMNS[case[1]], case[2]
    truth, rng = truth_of(models, draw, is_set), np.random.default_rng(2)
    held, widths = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0.0)
    for _ in range(n_audits):
        rows = Rows(rng, draw, n_rows, repeats, is_set)
        others = rows if paired else Rows(rng, draw, n_rows, repeats, is_set)
        (first, a), (second, b) = rows.audit(models[0], dependence), others.audit(models[1], dependence)
        errors = paired_errors(a, b) if paired else unpaired_errors(a, b)
        for name, true in truth.items():
            found, error = second[name] - first[name], errors[name]
            held[name] += found - error.below <= true <= found + error.above
            widths[name] += error.difference / n_audits
    return {name: count / n_audits for name, count in held.items()}, widths


CASES = [
    ((additive, scaled), "normal", False),
    ((probability, steeper), "normal", False),
    ((probability, retrained), "normal", False),
    ((probability, steeper), "skewed", False),
    ((probability, retrained), "normal", True),
]


@pytest.mark.parametrize(("repeats", "models", "column", "is_set"), [*((1, *case) for case in CASES), (3, *CASES[2])])
def test_differences_of_the_same_rows_are_held_in_95_of_100_comparisons(repeats, models, column, is_set):
    held, _ = simulate((models, column, is_set), 500, repeats, paired=True)
    assert min(held.values()) >= 0.93
    assert max(held.values()) <= 0.98


@pytest.mark.parametrize(("models", "column", "is_set"), CASES[2:4])
def test_differences_of_other_rows_are_held_in_95_of_100_comparisons(models, column, is_set):
    held, _ = simulate((models, column, is_set), 500, 2, paired=False)
    assert min(held.values()) >= 0.93
    assert max(held.values()) <= 0.98


@pytest.mark.parametrize(("models", "column", "is_set"), CASES)
def test_what_two_versions_have_in_common_cancels_row_by_row(models, column, is_set):
    _, paired = simulate((models, column, is_set), 500, 1, paired=True, n_audits=20)
    _, unpaired = simulate((models, column, is_set), 500, 1, paired=False, n_audits=20)
    for name in paired:
        assert paired[name] < 0.4 * unpaired[name]


def test_where_half_of_the_rows_keep_their_value_the_medians_jump_and_nothing_cancels():
    """The median of a shuffled column of two equally frequent values is 0 or far above it, as chance has it."""
    held, _ = simulate(((probability, steeper), "half", False), 500, 1, paired=True)
    assert held["median"] >= 0.93
    assert 0.93 <= held["mean"] <= 0.98


def test_the_largest_variance_is_never_less_than_the_variance():
    held, _ = simulate(((probability, steeper), "normal", False), 300, 1, paired=True, dependence=UnknownDonors())
    assert min(held.values()) >= 0.95
    rows = Rows(np.random.default_rng(0), COLUMNS["normal"], 2_000, 1, is_set=False)
    values = deviations_of(lambda column, _: 1e3 * (np.abs(column) > 3), rows.given, rows.column, rows.other)
    off = values.astype(float) - values.mean()
    known = np.ones(off.shape, dtype=bool)
    own = 2_000 * rows.dependence.moments(off, known).variance()
    assert 1.9 < own / off.var() <= 2.1  # rows that deviate both as receivers and as donors
    assert 2_000 * UnknownDonors().moments(off, known).variance() == pytest.approx(2 * off.var())


# The two numbers of a comparison


def errors_of(a, b, difference):
    return Errors(a, b, difference, difference, difference)


def test_the_rank_correlation_is_spearmans_over_what_was_shuffled(tmp_path):
    first = audit(tmp_path / "a", linear(WEIGHTS), set={"dose": [7.0], "age": [1000.0]})
    second = audit(tmp_path / "b", linear([0.5, 0.1, 4.0, 9.0]), set={"dose": [7.0], "age": [1000.0]})
    summaries = [summary.set_index("perturbation").loc[list(TABLE)] for _, summary in (first, second)]
    for statistic in ("median", "mean"):
        found = compared(first, second, statistic=statistic).rank_correlation
        assert found.value == pytest.approx(spearmanr(*(each[statistic] for each in summaries)).statistic)
        assert -1 <= found.low <= found.value <= found.high <= 1
        name = "difference" if statistic == "median" else "mean_difference"
        shift = compared(first, second, statistic=statistic).largest_shift
        assert shift.value == by_name(compared(first, second))[name].abs().max()


def test_ties_share_their_rank_and_two_features_have_no_order():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 12).astype(float), rng.integers(0, 4, 12).astype(float)
    sure = [errors_of(0.0, 0.0, 0.0)] * 12
    found = rank_correlation(a, b, sure)
    assert found.value == pytest.approx(spearmanr(a, b).statistic)
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    assert math.isnan(rank_correlation(a[:2], b[:2], sure[:2]).value)
    assert math.isnan(rank_correlation(np.zeros(12), b, sure).low)


def test_numbers_that_err_together_leave_no_doubt_of_an_order_that_is_the_same():
    numbers = np.linspace(1, 2, 8)
    together, apart = errors_of(0.5, 0.5, 0.0), errors_of(0.5, 0.5, math.hypot(0.5, 0.5))
    assert (together.correlation, apart.correlation) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert rank_correlation(numbers, numbers, [together] * 8).low == 1
    assert rank_correlation(numbers, numbers, [apart] * 8).low < 0.5


@pytest.mark.parametrize(("spread", "moved"), [(0.3, 0.5), (0.05, 0.0)])
def test_rank_correlations_are_held_in_95_of_100_comparisons(spread, moved):
    """Or in more: what is found is less in order than the truth, for which the interval allows."""
    rng = np.random.default_rng(3)
    true_a = np.linspace(0, 1, 12)
    true_b = true_a + moved * rng.normal(size=12)
    truth = spearmanr(true_a, true_b).statistic
    errors = [errors_of(spread, spread, math.hypot(spread, spread))] * 12
    held = 0
    for _ in range(300):
        found = rank_correlation(*(true + spread * rng.normal(size=12) for true in (true_a, true_b)), errors)
        held += found.low <= truth <= found.high
    assert held / 300 >= 0.93


def test_the_largest_shift_is_a_size_that_the_worst_of_so_many_shows_and_none_exceeds():
    """Of three shifts each may lie 2.39 errors off at once, where a single one lies 1.96 off."""
    differences, low, high = np.array([0.1, -0.5, 0.3]), np.array([-0.2, -0.6, -0.1]), np.array([0.4, -0.4, 0.7])
    found = largest_shift(differences, low, high)
    assert (found.value, found.high) == (0.5, 0.7)
    assert found.low == pytest.approx(0.5 - 0.1 * NormalDist().inv_cdf(1 - 0.025 / 3) / 1.959964)
    sign_unknown = largest_shift(np.array([-0.1]), np.array([-0.4]), np.array([0.2]))
    assert (sign_unknown.value, sign_unknown.low, sign_unknown.high) == (0.1, 0.0, 0.4)
