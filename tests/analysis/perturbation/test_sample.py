"""A sample is the first batches of all rows, with the donors that they have there."""

import numpy as np
import pytest

from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.analysis.perturbation.sample import Sample, batches_within, count_batches
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.inputs.slots import Feature, Slot

DOSE = Feature("dose", (Slot("dose"),), "number")
N_ROWS = 3_000
BAND = np.random.default_rng(1).integers(0, 12, N_ROWS)
CLIENT = np.arange(N_ROWS) // 7


def whole(case, tests=False):
    strata = Strata({"band": BAND}) if case == "strata" else None
    return Deal(N_ROWS, 2, strata, CLIENT if case == "clusters" else None, tests, block_rows=500)


def part(case, sample, tests=False):
    """The deal of a sample, whose rows alone are known."""
    strata = Strata({"band": BAND[sample.rows]}) if case == "strata" else None
    clusters = np.unique(CLIENT[sample.rows], return_inverse=True)[1] if case == "clusters" else None
    return Deal(len(sample.rows), 2, strata, clusters, tests, block_rows=500, chosen=sample.blocks)


@pytest.mark.parametrize("tests", [False, True])
@pytest.mark.parametrize("case", ["rows", "strata", "clusters"])
def test_rows_of_a_sample_have_the_donors_that_they_have_in_the_whole(case, tests):
    sample = Sample.of(whole(case).first(2))
    assert (np.diff(sample.rows) > 0).all()
    blocks = list(part(case, sample).blocks())
    assert sum(part(case, sample).sizes) == len(sample.rows) < N_ROWS / 2
    for here, there in zip(blocks, whole(case).first(2), strict=True):
        assert here.number == there.number
        np.testing.assert_array_equal(sample.rows[here.rows], there.rows)
        for draw in ("donors", "permutation"):
            of_sample, of_whole = (
                getattr(deal, draw)(block, DOSE, 1)
                for deal, block in ((part(case, sample, tests), here), (whole(case, tests), there))
            )
            np.testing.assert_array_equal(of_sample, of_whole)


def test_a_smaller_sample_is_a_part_of_a_larger_one():
    few, more = (Sample.of(whole("rows").first(n)) for n in (2, 5))
    assert set(few.rows) < set(more.rows)
    assert len(few.rows) == 1_000
    assert len(np.unique(more.rows)) == 2_500


@pytest.mark.parametrize(("n_rows", "n_batches"), [(1, 1), (500, 1), (501, 2), (1_000, 2), (3_000, 6), (9_000, 6)])
def test_batches_are_whole_and_hold_as_many_rows_as_are_asked_for(n_rows, n_batches):
    assert count_batches(whole("rows").sizes, n_rows) == n_batches


@pytest.mark.parametrize(("n_rows", "n_batches"), [(499, 0), (500, 1), (999, 1), (3_000, 6), (9_000, 6)])
def test_no_more_batches_are_taken_than_rows_are_allowed(n_rows, n_batches):
    assert batches_within(whole("rows").sizes, n_rows) == n_batches
