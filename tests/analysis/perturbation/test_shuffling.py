"""Keyed shuffles: permutations, uniform ones, and a different one for every key."""

import hashlib
from itertools import combinations, pairwise, permutations, product

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, chisquare

from nnperm_mlflow.analysis.perturbation.donors import (
    SHUFFLE_BLOCK_ROWS,
    ShuffleBlock,
    ascending,
    donor_positions,
    shuffle_blocks,
)

BOUNDARY_SIZES = [1, 2, 65_535, 65_536, 65_537, 131_073, 200_000]
MANY = 200_000
LIKELY = (0.001, 0.999)
"""p-values outside are too uneven, or too even for chance; keys are fixed, so that a test always gives the same one."""


def block_of(n_rows, number=0):
    return ShuffleBlock(number, np.arange(n_rows))


def dealt(n_rows, seed):
    """Return each row's shuffle block, of shape (n_rows,)."""
    numbers = np.full(n_rows, -1)
    for block in shuffle_blocks(n_rows, seed):
        numbers[block.rows] = block.number
    return numbers


def is_likely(p_value):
    return LIKELY[0] < p_value < LIKELY[1]


def independence(one, other, n_bins=20):
    """Return the p-value of two arrays of positions (n_rows,) being independent, told by bins."""
    table = np.histogram2d(one, other, bins=n_bins)[0]
    return chi2_contingency(table).pvalue


@pytest.mark.parametrize("n_rows", [n_rows for n_rows in BOUNDARY_SIZES if n_rows <= SHUFFLE_BLOCK_ROWS])
def test_every_row_gives_its_value_to_exactly_one_row(n_rows):
    donors = donor_positions(block_of(n_rows), seed=0, feature="dose", repeat=0)
    assert np.array_equal(np.sort(donors), np.arange(n_rows))


@pytest.mark.parametrize("n_rows", BOUNDARY_SIZES)
def test_in_tables_of_any_size_every_row_gives_its_value_to_exactly_one_row(n_rows):
    givers = np.full(n_rows, -1)
    for block in shuffle_blocks(n_rows, seed=3):
        givers[block.rows] = block.rows[donor_positions(block, seed=3, feature="dose", repeat=1)]
    assert np.array_equal(np.sort(givers), np.arange(n_rows))


@pytest.mark.parametrize("n_rows", BOUNDARY_SIZES)
def test_rows_are_dealt_once_each_into_nearly_equal_blocks_that_fit_16_bits(n_rows):
    blocks = list(shuffle_blocks(n_rows, seed=1))
    sizes = [len(block.rows) for block in blocks]
    assert np.array_equal(np.sort(np.concatenate([block.rows for block in blocks])), np.arange(n_rows))
    assert [block.number for block in blocks] == list(range(-(-n_rows // 65_536)))
    assert max(sizes) <= 65_536
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(block.rows) > 0).all() for block in blocks)


KEYS_THAT_DIFFER_IN = {
    "feature": [(0, f"feature {number}", 0) for number in range(4800)],
    "repeat": [(0, "dose", number) for number in range(4800)],
    "seed": [(number, "dose", 0) for number in range(4800)],
    "all of these": list(product(range(20), [f"x{number}" for number in range(20)], range(12))),
}


@pytest.mark.parametrize("keys", KEYS_THAT_DIFFER_IN.values(), ids=KEYS_THAT_DIFFER_IN)
def test_all_24_permutations_of_four_rows_are_equally_frequent(keys):
    """The identity, too, is neither left out nor preferred."""
    block = block_of(4)
    counts = dict.fromkeys(permutations(range(4)), 0)
    for seed, feature, repeat in keys:
        counts[tuple(donor_positions(block, seed, feature, repeat).tolist())] += 1
    assert is_likely(chisquare(list(counts.values())).pvalue)
    expected = len(keys) / 24
    assert abs(counts[0, 1, 2, 3] - expected) < 3 * np.sqrt(expected)


@pytest.mark.parametrize("keys", KEYS_THAT_DIFFER_IN.values(), ids=KEYS_THAT_DIFFER_IN)
def test_a_shuffle_does_not_tell_the_next_one(keys):
    """What leads from one permutation of four rows to the next is uniform as well."""
    block = block_of(4)
    shuffles = [donor_positions(block, *key) for key in keys]
    counts = dict.fromkeys(permutations(range(4)), 0)
    for one, following in pairwise(shuffles):
        counts[tuple(following[np.argsort(one)].tolist())] += 1
    assert is_likely(chisquare(list(counts.values())).pvalue)


def test_one_row_in_a_shuffle_keeps_its_value_on_average():
    """So it is for uniform permutations of any size; none where the identity of a row is forbidden."""
    block, n_shuffles = block_of(1000), 1000
    kept = [np.count_nonzero(donor_positions(block, 0, "dose", repeat) == block.rows) for repeat in range(n_shuffles)]
    assert abs(np.mean(kept) - 1) < 3 / np.sqrt(n_shuffles)


@pytest.mark.parametrize("feature", ["age", "dose", "PAY"])
def test_donors_come_from_everywhere_in_a_full_block(feature):
    block = block_of(SHUFFLE_BLOCK_ROWS)
    assert is_likely(independence(donor_positions(block, 0, feature, 0), block.rows))


def test_shuffles_of_different_keys_are_independent():
    keys = {
        "reference": (0, "dose", 0, 0),
        "other seed": (1, "dose", 0, 0),
        "other feature": (0, "age", 0, 0),
        "other repeat": (0, "dose", 1, 0),
        "other block": (0, "dose", 0, 1),
    }
    shuffles = {
        what: donor_positions(block_of(50_000, number), seed, feature, repeat)
        for what, (seed, feature, repeat, number) in keys.items()
    }
    for one, other in combinations(shuffles, 2):
        assert is_likely(independence(shuffles[one], shuffles[other])), (one, other)


def test_keys_do_not_run_together():
    """Neither digits nor separators can move from one part of the key to the next."""
    keys = [
        (1, "1a", 1, 1), (11, "a", 1, 1), (1, "1a1", 1, 1), (1, "1a", 11, 1), (1, "1a", 1, 11), (11, "a", 11, 1),
        (1, "a", 11, 1), (1, "a", 1, 11), (1, "a1", 1, 1), (1, "a", 1, 1), (1, "a ", 1, 1), (1, "A", 1, 1),
        (1, "a\x1f1", 1, 1), (1, "a\x1f1:1", 1, 1), (1, "1:a", 1, 1), (1, "", 1, 1), (1, "\x1f", 1, 1), (1, "ä", 1, 1),
    ]  # fmt: skip
    shuffles = {
        donor_positions(block_of(100, number), seed, feature, repeat).tobytes()
        for seed, feature, repeat, number in keys
    }
    assert len(shuffles) == len(keys)


@pytest.mark.parametrize("seed", range(5))
def test_a_rows_block_does_not_depend_on_its_position(seed):
    """Cutting the table in pieces is too uneven for chance; dealing it out in turn is too even."""
    table = np.histogram2d(np.arange(MANY), dealt(MANY, seed), bins=(100, 4))[0]
    assert is_likely(chi2_contingency(table).pvalue)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 256, 512, 50_000])
def test_a_rows_block_does_not_tell_that_of_another_row(distance):
    numbers = dealt(MANY, seed=0)
    assert is_likely(independence(numbers[:-distance], numbers[distance:], n_bins=4))


def test_each_seed_deals_anew():
    deals = [dealt(MANY, seed) for seed in range(4)]
    for one, other in combinations(deals, 2):
        assert is_likely(independence(one, other, n_bins=4))


def test_over_many_seeds_a_row_is_in_each_block_equally_often():
    """Told by a row at either end and some between them, of a table just over one block."""
    n_rows, watched = 65_537, [0, 1, 32_768, 65_535, 65_536]
    seconds = np.sum([dealt(n_rows, seed)[watched] == 1 for seed in range(200)], axis=0)
    statistic = np.sum((seconds - 100) ** 2 / 50)
    assert is_likely(chi2.sf(statistic, df=len(watched)))


def test_a_published_shuffle_can_be_made_again():
    """These numbers stand for all audits made so far: a change of them makes old audits irreproducible."""
    donors = donor_positions(block_of(8), seed=42, feature="dose", repeat=1)
    dealt_digest = hashlib.sha256(dealt(70_000, seed=42).astype("<i8").tobytes()).hexdigest()
    assert donors.tolist() == [3, 7, 4, 2, 1, 6, 5, 0]
    assert dealt_digest[:16] == "845b19bdef5173bc"


@pytest.mark.parametrize("n_words", [0, 1, 2, 1000, 65_536])
@pytest.mark.parametrize("bits", [64, 40, 8])
def test_words_are_put_in_the_order_of_a_stable_sort(n_words, bits):
    """Also where many share their upper bits, or are equal."""
    words = np.random.default_rng(n_words).integers(0, 2**bits, n_words, dtype=np.uint64, endpoint=False)
    np.testing.assert_array_equal(ascending(words), np.argsort(words, kind="stable"))
    np.testing.assert_array_equal(ascending(words << np.uint64(64 - bits)), np.argsort(words, kind="stable"))
