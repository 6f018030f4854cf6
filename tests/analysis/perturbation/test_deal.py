"""The deal: which rows lie in which shuffle block, and who gives its value to whom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

import nnperm_mlflow.analysis.perturbation.donors as shuffling
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS, Deal, point_out_contradictions
from nnperm_mlflow.analysis.perturbation.donors import SHUFFLE_BLOCK_ROWS, donor_positions, shuffle_blocks
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.inputs.slots import Feature, Slot

DOSE = Feature("dose", (Slot("num_input", (0,)),), "number")
TOWN = Feature("town", (Slot("num_input", (1,)),), "number")
RNG = np.random.default_rng(0)
MANY = 240_000
STRATA = {
    "of 20 rows": RNG.permutation(np.arange(MANY) // 20),
    "three large": RNG.integers(0, 3, MANY),
    "of all sizes": np.unique(np.minimum(RNG.zipf(1.4, MANY), 90_000), return_inverse=True)[1],
}
CLUSTERS = RNG.permutation(np.arange(MANY) // 12)


def within(numbers):
    return None if numbers is None else Strata({"town": numbers})


def block_of_rows(deal):
    """Return each row's shuffle block, of shape (n_rows,), and look that each row comes once, in blocks that fit."""
    found = np.full(deal.n_rows, -1)
    for number, block in enumerate(deal.blocks()):
        assert block.number == number
        assert (np.diff(block.rows) > 0).all()
        assert (found[block.rows] == -1).all()
        found[block.rows] = number
    assert (found >= 0).all()
    assert np.bincount(found).tolist() == deal.sizes
    return found


def parts(numbers, blocks):
    """Return for each stratum the rows that it has in each block where it has any, the smallest first."""
    pairs, counts = np.unique(np.stack([numbers, blocks]), axis=1, return_counts=True)
    return [tuple(sorted(counts[pairs[0] == number])) for number in range(numbers.max() + 1)]


@pytest.mark.parametrize("n_rows", [1, 65_536, 65_537, 200_000])
def test_rows_without_strata_and_clusters_are_dealt_as_ever(n_rows):
    for block, expected in zip(Deal(n_rows, 3).blocks(), shuffle_blocks(n_rows, 3), strict=True):
        np.testing.assert_array_equal(block.rows, expected.rows)
        np.testing.assert_array_equal(Deal(n_rows, 3).donors(block, DOSE, 1), donor_positions(expected, 3, "dose", 1))


@pytest.mark.parametrize("strata", [None, np.arange(65_536) % 7])
@pytest.mark.parametrize("clusters", [None, np.arange(65_536) // 5])
def test_up_to_65536_rows_there_is_one_block_of_all_in_their_order(strata, clusters):
    (block,) = Deal(65_536, 0, within(strata), clusters).blocks()
    np.testing.assert_array_equal(block.rows, np.arange(65_536))


@pytest.mark.parametrize("numbers", STRATA.values(), ids=STRATA)
def test_small_strata_stay_whole_and_large_ones_are_cut_into_parts_of_at_least_100_rows(numbers):
    deal = Deal(MANY, 1, within(numbers))
    blocks = block_of_rows(deal)
    assert len(deal.sizes) == 4
    assert max(deal.sizes) <= SHUFFLE_BLOCK_ROWS
    sizes = np.bincount(numbers)
    for size, each in zip(sizes, parts(numbers, blocks), strict=True):
        assert sum(each) == size
        if size < 200:
            assert len(each) == 1
        else:
            assert len(each) == min(4, size // 100)
            assert each[0] >= 100
            assert each[-1] - each[0] <= 1


@pytest.mark.parametrize("numbers", STRATA.values(), ids=STRATA)
def test_what_is_packed_depends_on_sizes_alone(numbers):
    """Rows in another order and strata of other names make blocks of the same sizes, and the same parts."""
    names = np.random.default_rng(1).permutation(numbers.max() + 1)
    other = np.random.default_rng(2).permutation(names[numbers])
    one, two = (Deal(MANY, seed, within(each)) for seed, each in ((1, numbers), (5, other)))
    assert sorted(one.sizes) == sorted(two.sizes)
    assert sorted(parts(numbers, block_of_rows(one))) == sorted(parts(other, block_of_rows(two)))


@pytest.mark.parametrize("size", [5, 20])
def test_the_mean_within_strata_is_the_same_however_many_rows_there_are(size):
    """Strata that are scattered over the blocks lose the rows that they would exchange values with."""
    for n_rows in (60_000, 240_000):
        strata = np.random.default_rng(3).permutation(np.arange(n_rows) // size)
        column = np.random.default_rng(4).normal(size=n_rows)
        deal = Deal(n_rows, 1, within(strata))
        moves = [
            np.abs(column[block.rows][deal.donors(block, DOSE, 0)] - column[block.rows]) for block in deal.blocks()
        ]
        assert np.concatenate(moves).mean() == pytest.approx(2 / np.sqrt(np.pi), rel=4 * 0.9 / np.sqrt(n_rows))


def test_a_column_that_makes_the_strata_is_exchanged_among_the_parts_that_agree_in_the_others():
    """Each block holds its share of every large stratum, so that the column itself varies in it."""
    town, band = RNG.integers(0, 3, MANY), RNG.integers(0, 2, MANY)
    deal = Deal(MANY, 1, Strata({"town": town, "band": band}))
    for block in deal.blocks():
        donors = deal.donors(block, TOWN, 0)
        np.testing.assert_array_equal(band[block.rows][donors], band[block.rows])
        assert (town[block.rows][donors] != town[block.rows]).mean() == pytest.approx(2 / 3, abs=0.02)


def test_clusters_lie_in_one_block_whatever_their_size():
    sizes = np.array([40_000, 30_000, 30_000, *np.random.default_rng(0).integers(1, 3000, 100)])
    clusters = RNG.permutation(np.repeat(np.arange(len(sizes)), sizes))
    deal = Deal(len(clusters), 1, clusters=clusters)
    blocks = block_of_rows(deal)
    assert max(deal.sizes) <= SHUFFLE_BLOCK_ROWS
    assert all(len(each) == 1 for each in parts(clusters, blocks))


def test_no_block_is_empty_where_clusters_are_larger_than_batches():
    clusters = np.repeat(np.arange(7), 5_000)
    deal = Deal(len(clusters), 1, clusters=clusters, block_rows=BATCH_ROWS)
    block_of_rows(deal)
    assert deal.sizes == [5_000] * 7


def test_clusters_of_one_size_are_dealt_in_equal_numbers_and_at_random():
    blocks = block_of_rows(Deal(MANY, 1, clusters=CLUSTERS))
    of_clusters = blocks[np.unique(CLUSTERS, return_index=True)[1]]
    assert np.bincount(of_clusters).tolist() == [5000] * 4
    table = np.histogram2d(np.arange(20_000), of_clusters, bins=(50, 4))[0]
    assert 0.001 < chi2_contingency(table).pvalue < 0.999


def test_a_cluster_with_rows_in_several_strata_stays_whole(caplog):
    """It goes with the stratum of most of its rows; the log counts such clusters."""
    homes = np.random.default_rng(5).integers(0, 600, 20_000)  # strata of about 400 rows
    strata = homes[CLUSTERS]
    lone = np.unique(CLUSTERS, return_index=True)[1][:7]
    strata[lone] = (strata[lone] + 1) % 600
    deal = Deal(MANY, 1, within(strata), CLUSTERS)
    assert all(len(each) == 1 for each in parts(CLUSTERS, block_of_rows(deal)))
    point_out_contradictions(deal)
    assert "7 of 20000 clusters have rows in several strata: clusters stay whole" in caplog.text
    caplog.clear()
    point_out_contradictions(Deal(MANY, 1, within(homes[CLUSTERS]), CLUSTERS))
    point_out_contradictions(Deal(600, 1, within(strata[:600]), CLUSTERS[:600]))
    assert not caplog.text


def test_clusters_inside_strata_are_dealt_by_strata():
    """Strata of 150 rows stay whole, whole clusters in them."""
    strata = CLUSTERS // 12
    blocks = block_of_rows(Deal(MANY, 1, within(strata), CLUSTERS))
    assert all(len(each) == 1 for each in parts(strata, blocks))


def test_a_cluster_larger_than_a_block_is_cut_and_told(caplog):
    clusters = np.repeat([0, 1, 2], [150_000, 10_000, 10])
    deal = Deal(len(clusters), 1, clusters=clusters)
    blocks = block_of_rows(deal)
    assert max(deal.sizes) <= SHUFFLE_BLOCK_ROWS
    assert [len(each) for each in parts(clusters, blocks)] == [3, 1, 1]
    point_out_contradictions(deal)
    assert "1 of 3 clusters have more than 65536 rows and are cut" in caplog.text


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 400).flatmap(
        lambda n: st.tuples(
            st.none() | st.lists(st.integers(0, 6), min_size=n, max_size=n),
            st.none() | st.lists(st.integers(0, 40), min_size=n, max_size=n),
            st.just(n),
        )
    ),
    st.integers(0, 2**63 - 1),
)
def test_whatever_the_data_each_row_is_dealt_once_and_each_column_permuted_inside_strata(drawn, seed):
    strata, clusters, n_rows = drawn
    strata = None if strata is None else np.array(strata)
    clusters = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffling, "SHUFFLE_BLOCK_ROWS", 50)
        deal = Deal(n_rows, seed, within(strata), clusters)
        block_of_rows(deal)
        assert max(deal.sizes) <= 50
        for block in deal.blocks():
            donors = deal.donors(block, DOSE, 0)
            assert sorted(donors) == list(range(len(block.rows)))
            if strata is not None:
                np.testing.assert_array_equal(strata[block.rows][donors], strata[block.rows])


CASES = {
    "rows": {},
    "strata": {"strata": within(np.random.default_rng(1).integers(0, 400, 30_000))},
    "clusters": {"clusters": np.arange(30_000) // 12},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_few_batches_are_a_part_of_more_with_the_same_rows_and_donors(case):
    deal = Deal(30_000, 2, **case, block_rows=BATCH_ROWS)
    assert len(deal.sizes) == 15
    assert max(deal.sizes) <= BATCH_ROWS + 12
    few = list(Deal(30_000, 2, **case, block_rows=BATCH_ROWS).first(3))
    whole = list(deal.blocks())
    assert [block.number for block in few] == [0, 1, 2]
    for one, other in zip(few, whole[:3], strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(deal.donors(one, DOSE, 4), deal.donors(other, DOSE, 4))


def test_in_a_batch_no_row_is_its_own_donor_but_where_shuffles_are_tested():
    """Of 2,048 rows one would be on average, and all means too small by 0.05 %."""
    deal, tested = (Deal(30_000, 2, tests=tests, block_rows=BATCH_ROWS) for tests in (False, True))
    n_kept = 0
    for block in deal.blocks():
        own = np.arange(len(block.rows))
        assert (deal.donors(block, DOSE, 0) != own).all()
        assert (tested.donors(block, DOSE, 0) != own).all()
        n_kept += np.count_nonzero(tested.permutation(block, DOSE, 0) == own)
    assert 3 < n_kept < 30  # one in each of 15 batches on average


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_first_batch_is_a_random_sample_of_the_rows(case):
    """Over seeds rows from all over the data come into it equally often."""
    counts = np.zeros(30)
    for seed in range(60):
        (block,) = Deal(30_000, seed, **case, block_rows=BATCH_ROWS).first(1)
        counts += np.bincount(block.rows // 1000, minlength=30)
    share = 60 * BATCH_ROWS / 30
    assert np.abs(counts - share).max() < 0.15 * share


def test_the_largest_cluster_is_not_always_in_the_first_block():
    """Else what is found on the first block, or on the first batches, were not found on a sample."""
    clusters = np.repeat(np.arange(3001), [20_000, *[50] * 3000])
    numbers = {int(block_of_rows(Deal(len(clusters), seed, clusters=clusters))[0]) for seed in range(12)}
    assert numbers == {0, 1, 2}
