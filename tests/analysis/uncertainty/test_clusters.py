"""Rows of one cluster are not independent of each other: variances beside a plain loop, audits with clusters."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.profiles.profiles import find_profiles
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.own_scores import own_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, Sample, ends_of, share_ends
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

RNG = np.random.default_rng(0)


def by_pairs_of_pairs(values, known, donors, clusters):
    """The variance of a mean, as the sum of products of all values that have a cluster in common (each two once)."""
    off = np.where(known, values - values[known].mean(), 0) / known.sum()
    between = {}
    for repeat, rows in enumerate(donors):
        for row, donor in enumerate(rows):
            pair = frozenset((clusters[row], clusters[donor]))
            between[pair] = between.get(pair, 0) + off[repeat, row]
    n_clusters = len(set(clusters))
    total = sum(one * other for a, one in between.items() for b, other in between.items() if a & b)
    return total * n_clusters / (n_clusters - 1)


@pytest.mark.parametrize("all_known", [True, False])
def test_the_variance_of_a_shuffle_is_that_of_all_values_with_a_cluster_in_common(all_known):
    donors = [RNG.permutation(60) for _ in range(3)]
    values, clusters = RNG.exponential(size=(3, 60)), RNG.permutation(np.arange(60) % 11)
    known = np.ones((3, 60), dtype=bool) if all_known else RNG.random((3, 60)) < 0.9
    found = Exchange(donors, clusters).moments(values, known).variance(least=0)
    assert found == pytest.approx(by_pairs_of_pairs(values, known, donors, clusters), rel=1e-9)


def test_the_variance_without_donors_is_that_of_the_sums_of_clusters():
    values, clusters = RNG.exponential(size=30), np.arange(30) // 3
    sums = (values - values.mean()).reshape(10, 3).sum(axis=1) / 30
    found = Exchange(None, clusters).moments(np.stack([values, values]), np.ones((2, 30), dtype=bool))
    assert found.variance() == pytest.approx(10 * sums.var(ddof=1), rel=1e-12)
    assert found.third == pytest.approx(np.sum(sums**3) * (10 / 9) ** 1.5, rel=1e-12)


def test_clusters_of_one_row_each_are_rows():
    donors, values = [RNG.permutation(500)], RNG.exponential(size=(1, 500))
    known = np.ones((1, 500), dtype=bool)
    rows, clusters = (Exchange(donors, each).moments(values, known) for each in (None, np.arange(500)))
    assert clusters.variance() == pytest.approx(rows.variance(), rel=0.02)
    assert clusters.third == pytest.approx(rows.third, rel=0.02)


def audit(path, table, clusters, repeats=2, function=None):
    specs, inputs = bound(table, numbers=list(table))
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0, set={"dose": [7.0]}))
    predictor = PlainPredictor(specs, function or (lambda given: given["num_input"] @ [1.0, 0.2]))
    job = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "", 3, repeats, clusters=clusters)
    record = {"seed": 3, "within": [], "data_digest": "d", **({} if clusters is None else {"cluster": "client"})}
    return find(job, 50, path, lambda *_: None, record=record).summary.set_index("perturbation")


def clients(n_clients=60, n_rows=6):
    """A table of rows that are alike within a client, shuffled among each other, and whose they are."""
    rng = np.random.default_rng(1)
    clusters = rng.permutation(np.repeat(np.arange(n_clients), n_rows))
    dose = rng.normal(size=n_clients)[clusters] + 0.3 * rng.normal(size=len(clusters))
    table = pd.DataFrame({"dose": dose, "age": rng.normal(size=len(clusters))})
    return table, pd.factorize(clusters)[0]


def test_an_audit_has_the_intervals_of_its_clusters_and_the_numbers_of_its_rows(tmp_path):
    table, clusters = clients(100)
    by_rows, by_clients = (audit(tmp_path / "t.parquet", table, each) for each in (None, clusters))
    ends = [name for name in by_rows if name.endswith(("_low", "_high"))]
    pd.testing.assert_frame_equal(by_rows.drop(columns=ends), by_clients.drop(columns=ends), check_exact=True)
    for name in ("dose", "dose=7"):
        for statistic in ("median", "mean", "q95"):
            wide, narrow = (
                row.loc[name, f"{statistic}_high"] - row.loc[name, f"{statistic}_low"] for row in (by_clients, by_rows)
            )
            assert wide > 1.5 * narrow
    assert pd.read_parquet(tmp_path / "t.parquet").sort_values(["repeat", "row"])["cluster"].tolist() == 2 * [*clusters]


def test_below_30_clusters_there_is_no_interval(tmp_path):
    table, clusters = clients()
    found = audit(tmp_path / "t.parquet", table, clusters % 29)
    ends = [name for name in found if name.endswith(("_low", "_high"))]
    assert found[ends].isna().all(axis=None)
    assert audit(tmp_path / "t.parquet", table, clusters % 30)[["mean_low", "median_high"]].notna().all(axis=None)


@pytest.mark.parametrize("giant", [60, 360])
def test_where_one_cluster_holds_most_rows_the_others_do_not_tell_how_sure_a_mean_is(giant):
    """61 clusters, one of them of 60 rows or more: ends of the others alone lay below the truth in 6 to 100 %."""
    clusters = np.repeat(np.arange(61), [giant] + [4] * 60)
    n_rows = len(clusters)
    donors = donor_positions(ShuffleBlock(0, np.arange(n_rows)), 0, "x", 0)
    count = Exchange([donors], clusters).count_units(np.ones((1, n_rows), dtype=bool))
    assert count == round(n_rows**2 / (giant**2 + 60 * 4**2)) < FEWEST_ROWS
    assert Exchange([donors], np.arange(n_rows) // 4).count_units(np.ones((1, n_rows), dtype=bool)) == n_rows / 4


def test_a_score_has_no_interval_where_one_cluster_holds_most_rows():
    clusters = np.array([0] * 360 + list(range(1, 41)))
    predictions = RNG.random((400, 1))
    labels = (RNG.random(400) < predictions[:, 0]).astype(int)
    scores = choose_scorers(["roc_auc"], labels, 1, True)
    assert own_scores(scores, predictions)["roc_auc"].has_interval
    assert not own_scores(scores, predictions, clusters)["roc_auc"].has_interval


def test_two_versions_are_compared_by_the_clusters_that_their_tables_tell(tmp_path):
    table, clusters = clients()
    versions = [lambda given: given["num_input"] @ [1.0, 0.2], lambda given: given["num_input"] @ [1.5, 0.2]]
    found = {}
    for told in (None, clusters):
        files = [tmp_path / f"{number}.parquet" for number in (1, 2)]
        summaries = [
            audit(path, table, told, function=version).reset_index()
            for path, version in zip(files, versions, strict=True)
        ]
        found[told is None] = compare_tables(*files, *summaries).differences.set_index("perturbation").loc["dose"]
    by_rows, by_clients = found[True], found[False]
    assert by_clients["mean_difference"] == by_rows["mean_difference"]
    for name, least in (("difference", 1.2), ("mean_difference", 1.5)):
        wide, narrow = (each[f"{name}_high"] - each[f"{name}_low"] for each in (by_clients, by_rows))
        assert wide > least * narrow
    moves = pd.read_parquet(tmp_path / "1.parquet").sort_values(["repeat", "row"])["dose"].to_numpy().reshape(2, -1)
    block = next(Deal(len(clusters), 3, clusters=clusters).blocks())
    exchange = Exchange([donor_positions(block, 3, "dose", repeat) for repeat in range(2)], clusters)
    below, above = reaches(exchange.moments(0.5 * moves, np.ones(moves.shape, dtype=bool)), 60)
    ends = by_clients["mean_difference"] - below, by_clients["mean_difference"] + above
    assert (by_clients["mean_difference_low"], by_clients["mean_difference_high"]) == pytest.approx(ends, rel=1e-5)


def test_audits_by_other_clusters_are_not_compared_row_by_row(tmp_path):
    table, clusters = clients()
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    summaries = [audit(path, table, each).reset_index() for path, each in zip(files, (clusters, None), strict=True)]
    with pytest.raises(ConfigError, match=r"differ in cluster \(client and None\)"):
        compare_tables(*files, *summaries)


def test_a_feature_called_cluster_keeps_a_column_of_its_own(tmp_path):
    table, clusters = clients()
    found = audit(tmp_path / "t.parquet", table.rename(columns={"age": "cluster"}), clusters)
    written = pd.read_parquet(tmp_path / "t.parquet")
    assert written["cluster_"].mean() == pytest.approx(found.loc["cluster", "mean"], rel=1e-6)


def test_variances_are_found_on_whole_blocks_with_enough_clusters(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.donors.SHUFFLE_BLOCK_ROWS", 100)
    monkeypatch.setattr("nnperm_mlflow.analysis.uncertainty.known_blocks.ENOUGH_CLUSTERS", 40)
    clusters = np.arange(1_000) // 20
    known = KnownBlocks.of(Deal(1_000, 0, clusters=clusters).blocks(), clusters)
    rows = np.concatenate([block.rows for block in known.blocks])
    assert set(np.bincount(clusters[rows])) == {0, 20}  # whole clusters
    assert len(np.unique(clusters[rows])) >= 40 > len(np.unique(clusters[rows[: known.n_rows - 100]]))
    assert (np.unique(clusters[rows])[known.clusters] == clusters[rows]).all()
    assert len(KnownBlocks.of(Deal(1_000, 0).blocks(), None).blocks) == 1
    donors = known.dependence(lambda block, repeat: donor_positions(block, 0, "x", repeat), range(2)).donors
    for each in donors:
        assert sorted(each) == list(range(known.n_rows))
        assert (each // 100 == np.arange(known.n_rows) // 100).all()


def test_no_flip_among_few_clusters_may_be_a_whole_cluster_that_was_not_seen():
    """Of 60 clusters of 6 rows none flips: as sure as 30 rows, since one might flip as receivers and as donors."""
    dependence = Exchange([RNG.permutation(360)], np.arange(360) // 6)
    none = np.zeros((1, 360), dtype=bool)
    sample = Sample(RNG.exponential(size=(1, 360)), ~none, none, none, dependence, 360, 1.0)
    found = ends_of(sample, {"mean": 1.0, "shift": 1.0, "flipped_share": 0.0})["flipped_share"]
    assert found == pytest.approx(share_ends(0, 30, stats.t.ppf(0.975, 59)))


def test_a_profile_is_as_sure_as_its_clusters(tmp_path):
    """The mean prediction with everybody's dose set: its error is that of the sums over clients."""
    table, clusters = clients()
    specs, inputs = bound(table, numbers=list(table))
    predictor = PlainPredictor(specs, lambda given: given["num_input"] @ [1.0, 1.0])
    both = clusters % 40
    job = Job(predictor, inputs, [], choose_measure(None, 1, ()), "", clusters=both)
    found = find_profiles(job, 100, ["age"])
    dose = table["dose"].to_numpy()
    sums = np.bincount(both, weights=dose - dose.mean())
    count = round(len(both) ** 2 / np.sum(np.bincount(both) ** 2))  # as so many clusters of one size
    reach = stats.t.ppf(0.975, count - 1) * np.sqrt(np.sum(sums**2) * count / (count - 1)) / len(dose)
    assert (found["high"] - found["mean"]).to_numpy() == pytest.approx(reach, rel=1e-5)
    few = find_profiles(dataclasses.replace(job, clusters=clusters % 29), 100, ["age"])
    assert few["high"].isna().all()
    assert few["mean"].tolist() == found["mean"].tolist()


def test_a_drop_in_score_has_no_interval_with_clusters(tmp_path, caplog):
    table, clusters = clients()
    specs, inputs = bound(table, numbers=list(table))
    predictor = PlainPredictor(specs, lambda given: given["num_input"] @ [1.0, 0.2])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0))
    plain = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "", keeps_predictions=True)
    scores = choose_scorers(["r2"], table["dose"].to_numpy(), 1, are_probabilities=False)
    found = {}
    for name, job in (("rows", plain), ("clusters", dataclasses.replace(plain, clusters=clusters))):
        found[name] = with_scores(find(job, 50, tmp_path / "t", lambda *_: None), job, scores, p_values=False).summary
    assert found["rows"]["r2_drop"].tolist() == found["clusters"]["r2_drop"].tolist()
    assert found["rows"]["r2_drop_error"].notna().all()
    assert found["clusters"]["r2_drop_error"].isna().all()
    assert "drops in score have no interval" in caplog.text
