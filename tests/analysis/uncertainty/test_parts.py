"""What is found of all parts of the rows in one go is what is found of each of them alone."""

import numpy as np
import pytest

from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN
from nnperm_mlflow.analysis.uncertainty.parts import parted
from nnperm_mlflow.analysis.uncertainty.variance import Exchange

N_ROWS = 300


def drawn(n_repeats, *, lacking=0.0, seed=0):
    """Return donors, values, and which of them are known."""
    rng = np.random.default_rng(seed)
    donors = [rng.permutation(N_ROWS) for _ in range(n_repeats)]
    values = np.exp(rng.normal(size=(n_repeats, N_ROWS)))
    known = rng.random((n_repeats, N_ROWS)) >= lacking
    values[~known] = np.nan
    return donors, values, known


@pytest.mark.parametrize("n_repeats", [1, 3])
@pytest.mark.parametrize("lacking", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["rows", "set", "clusters", "strata"])
def test_each_part_errs_as_its_rows_and_their_donors_do_alone(kind, n_repeats, lacking):
    donors, values, known = drawn(n_repeats, lacking=lacking)
    dependence = {
        "rows": Exchange(donors),
        "set": Exchange(None),
        "clusters": Exchange(donors, np.arange(N_ROWS) // 3),
        "strata": StratifiedExchange(donors, np.zeros(N_ROWS, dtype=int)),
    }[kind]
    parts = np.random.default_rng(1).integers(0, 4, N_ROWS)
    of_parts = parted(dependence, parts, 4, known)
    moments, units = of_parts.sums(values).moments(), of_parts.count_units()
    for part in range(4):
        rows = np.flatnonzero(parts == part)
        used, alone = dependence.among(rows)
        own = known[:, used] & np.isin(used, rows)
        expected = alone.moments(values[:, used], own)
        assert of_parts.n_used[part] == len(used)
        assert of_parts.values_of_unit(part) == alone.values_of_unit
        assert units[part] == alone.count_units(own)
        for name in ("second", "of_pairs", "third", "beyond"):
            assert getattr(moments[part], name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_of_a_part_without_a_row_nothing_is_known(n_repeats):
    donors, values, known = drawn(n_repeats)
    parts = np.where(np.arange(N_ROWS) < 100, 0, 2)
    of_parts = parted(Exchange(donors), parts, 4, known)
    moments = of_parts.sums(values).moments()
    assert [each is UNKNOWN for each in moments] == [False, True, False, True]
    assert of_parts.count_units() == [100, 0, 200, 0]
    assert of_parts.n_used[[1, 3]].tolist() == [0, 0]


@pytest.mark.parametrize("n_repeats", [1, 2])
@pytest.mark.parametrize("clustered", [False, True])
def test_errors_of_parts_go_together_by_what_units_add_to_both(clustered, n_repeats):
    """By plain loops over what each row adds to each part; a cluster of one row each is a row."""
    donors, values, known = drawn(n_repeats, lacking=0.1)
    parts = np.random.default_rng(2).integers(0, 3, N_ROWS)
    added, pairs = np.zeros((3, N_ROWS)), np.zeros(3)
    for repeat in range(n_repeats):
        for row in range(N_ROWS):
            if known[repeat, row]:
                own = known & (parts == parts[row])
                off = (values[repeat, row] - values[own].mean()) / own.sum()
                added[parts[row], row] += off
                added[parts[row], donors[repeat][row]] += off
                pairs[parts[row]] += off**2
    products = added @ added.T
    spread = np.sqrt(np.diag(products) - pairs)
    dependence = Exchange(donors, np.arange(N_ROWS) if clustered else None)
    found = parted(dependence, parts, 3, known).sums(values).correlations()
    np.testing.assert_allclose(
        found, np.clip(products / np.outer(spread, spread), -1, 1), rtol=0.03 if clustered else 1e-9
    )


def test_what_strata_have_in_common_is_not_told_so_that_the_worst_is_taken():
    donors, values, known = drawn(1)
    dependence = StratifiedExchange(donors, np.zeros(N_ROWS, dtype=int))
    of_parts = parted(dependence, np.arange(N_ROWS) % 2, 2, known)
    assert (of_parts.sums(values).correlations() == -1).all()
