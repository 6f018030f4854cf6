"""Intervals of audits in batches: found from the donors of all of them, and right where audits stop by their width."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks.rows import VERDICTS, verdict_stop, width_stop
from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.intervals import Sample, ends_of, ranks_of
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.inputs.slots import Feature, Slot
from tests.analysis.uncertainty.test_coverage import assert_at_most, assert_held, n_audits
from tests.analysis.uncertainty.test_intervals import DOSE_SEX, dose_and_sex, found_in
from tests.support.simulations import in_full

DOSE, SEX = (Feature(name, (Slot("num_input", (place,)),), "number") for place, name in enumerate(["dose", "sex"]))
BAND = np.arange(101) % 3


def joined(deal, feature):
    """Rows in the order of the table, and the positions of donors among these."""
    rows, donors, first = [], [[], [], []], 0
    for block in deal.blocks():
        rows.append(block.rows)
        for repeat, each in enumerate(donors):
            each.append(first + deal.donors(block, feature, repeat).astype(int))
        first += len(block.rows)
    return np.concatenate(rows), [np.concatenate(each) for each in donors]


@pytest.mark.parametrize("within", [False, True])
def test_intervals_in_batches_are_found_from_the_donors_of_all_batches(within, tmp_path, monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.engine.job.BATCH_ROWS", 40)
    strata = Strata({"band": BAND}) if within else None
    summary, written = found_in(tmp_path / "t.parquet", in_batches=True, strata=strata)
    deal = Deal(101, 5, strata, block_rows=40)
    for feature in (DOSE, SEX):
        rows, donors = joined(deal, feature)
        column, table = DOSE_SEX[feature.name].to_numpy()[rows], DOSE_SEX.iloc[rows]
        given, model = np.stack([column[each] for each in donors]), partial(predicted, table, feature.name)
        before, after = model(column), np.stack([model(each) for each in given])
        deviations = np.abs(after - before).astype(np.float32)
        of_table = written.pivot(index="repeat", columns="row", values=feature.name).to_numpy()[:, rows]
        np.testing.assert_allclose(of_table, deviations, rtol=1e-6)
        dependence = StratifiedExchange(donors, BAND[rows]) if within else Exchange(donors)
        flips = (after > 0.5) != (before > 0.5)
        sample = Sample(of_table, given != column, after < before, flips, dependence, 101, 1.0)
        found, ordered = summary.loc[feature.name], np.sort(of_table, axis=None)
        ranks = ranks_of(sample, found, 303, np.count_nonzero(sample.moved))
        ends = {each: ordered[list(pair)] for each, pair in ranks.items()} | ends_of(sample, found)
        for each in ("mean", "median"):
            told = found[f"{each}_low"], found[f"{each}_high"]
            assert told == pytest.approx(tuple(ends[each]), rel=1e-6)


def predicted(table, feature, values):
    return dose_and_sex({"num_input": table.assign(**{feature: values}).to_numpy()})


def test_as_many_batches_are_known_as_a_shuffle_block_has_rows():
    """Of large blocks the first is, as ever."""
    blocks = list(Deal(10_000, 0, block_rows=1_000).blocks())
    assert KnownBlocks.of(blocks, None).n_rows == 1_000
    assert KnownBlocks.of(blocks, None, 4_500).n_rows == 4_000
    assert KnownBlocks.of(blocks, None, 65_536).n_rows == 10_000
    clusters = np.arange(10_000) // 5
    assert KnownBlocks.of(blocks[:2], clusters, 1_500).n_rows == 2_000  # 1,000 clusters or more
    assert len(pd.unique(KnownBlocks.of(blocks, clusters, 4_500).clusters)) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [4, 9])
@pytest.mark.parametrize("name", ["normal", "exponential"])
def test_the_interval_at_a_stop_by_its_width_holds_the_truth(name, stop_at):
    """Of batches as large as an audit's, whole; few audits are of smaller ones, which is harder."""
    batch_rows = in_full(2_048, 512)
    assert_held(width_stop(name, stop_at, n_audits=n_audits(200), batch_rows=batch_rows), most=1.0)


FEW = [case for case in VERDICTS if case[1] == "mean" and case[0] not in ("normal", "probability")]
"""Skewed, bounded, mostly 0, seldom anything else; one, and ten at once."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "statistic", "n_numbers"), in_full(VERDICTS, FEW))
def test_a_limit_at_the_truth_is_seldom_kept_or_missed_at_whatever_look(name, statistic, n_numbers):
    """At most in 2.5 % of all audits each, and the interval of the verdict holds the truth in at least 95 %."""
    sizes = {"n_audits": n_audits(200)} | in_full({}, {"batch_rows": 256, "n_batches": 20})
    found = verdict_stop(name, statistic, n_numbers=n_numbers, **sizes)
    assert_at_most(found.holds, found.n_audits, 0.025)
    assert_at_most(found.fails, found.n_audits, 0.025)
    assert_at_most(1 - found.held, found.n_audits, 0.05)
