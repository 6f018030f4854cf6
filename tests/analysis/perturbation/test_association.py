"""Associations are those of the textbooks, whatever is missing; groups are the blocks that were planted."""

import math
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats.contingency import association, crosstab

from nnperm_mlflow.analysis.perturbation.association import Associations, associate, propose_groups

MARKS = {
    "algebra": [45, 70, 29, 15, 21],
    "geometry": [40, 20, 30, 42],
    "statistics": [65, 95, 80, 70, 85, 73],
}
"""Of three subjects of unequal size; the squares between them sum up to 6780, all squares to 9640."""

NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1e308, -1e308, math.nan, math.inf])
NAMES = st.sampled_from(["a", "b", "c", "", None])


@st.composite
def tables(draw, numbers=NUMBERS):
    """Draw columns (n_rows,) of four numbers and three categories, with ties and missing values."""
    n_rows = draw(st.integers(0, 12))
    columns = {f"x{place}": np.array(draw(column_of(numbers, n_rows)), dtype=np.float64) for place in range(4)}
    categories = {f"c{place}": np.array(draw(column_of(NAMES, n_rows)), dtype=object) for place in range(3)}
    return columns | categories, set(categories)


def column_of(values, n_rows):
    return st.lists(values, min_size=n_rows, max_size=n_rows)


def pair(one, other, categories=()):
    """Return the association of two columns, of which "one" and "other" may be categories."""
    (found,) = associate({"one": np.asarray(one), "other": np.asarray(other)}, categories)
    return found.value


def v(one, other):
    return pair(one, other, {"one", "other"})


def eta(names, numbers):
    return pair(names, numbers, {"one"})


def corrected(one, other):
    """Return V by the formulas of Bergsma (2013), from the uncorrected one of scipy."""
    table = crosstab(one, other).count
    n_rows, sizes = table.sum(), np.array(table.shape)
    phi_squared = association(table, method="cramer") ** 2 * (sizes.min() - 1)
    fewer = sizes - (sizes - 1) ** 2 / (n_rows - 1)
    return np.sqrt(max(0, phi_squared - np.prod(sizes - 1) / (n_rows - 1)) / (fewer.min() - 1))


def by_pair(associations):
    return {frozenset((each.first, each.second)): (each.measure, each.value) for each in associations}


def rated(values, names=None):
    """Return associations of numbers, by two names: `{"AB": 0.8}`; those of pairs that are not told are 0."""
    names = sorted({name for pair in values for name in pair}) if names is None else list(names)
    matrix = np.eye(len(names))
    for pair, value in values.items():
        one, other = map(names.index, pair)
        matrix[one, other] = matrix[other, one] = value
    return Associations(tuple(names), frozenset(), matrix)


def test_each_pair_is_told_once_in_the_order_of_the_columns_by_the_measure_of_its_kinds():
    columns = {name: np.arange(4) for name in ["age", "area", "debt", "sex"]}
    found = associate(columns, ["sex", "area"])
    assert [(each.first, each.second, each.measure) for each in found] == [
        ("age", "area", "correlation_ratio"),
        ("age", "debt", "spearman"),
        ("age", "sex", "correlation_ratio"),
        ("area", "debt", "correlation_ratio"),
        ("area", "sex", "cramers_v"),
        ("debt", "sex", "correlation_ratio"),
    ]


@pytest.mark.parametrize("columns", [{}, {"age": np.arange(5.0)}])
def test_where_there_are_no_two_features_there_is_no_pair(columns):
    assert list(associate(columns, set())) == []


# Two numbers


def test_numbers_that_rise_together_have_1_and_those_that_fall_have_minus_1():
    """However they rise: the values of one are no straight line of the other's."""
    numbers = np.random.default_rng(0).normal(size=1000)
    assert pair(numbers, np.exp(5 * numbers)) == 1
    assert pair(numbers, -(numbers**3)) == -1


@pytest.mark.parametrize("n_rows", [300_000, 1_000_000])
def test_however_many_rows_there_are_no_correlation_is_beyond_1(n_rows):
    """Sums of squared ranks have more digits than a number of 64 bits."""
    numbers = np.random.default_rng(12).permutation(n_rows)
    assert 1 - 1e-12 < pair(numbers, numbers) <= 1


def test_rank_correlations_are_scipys_for_ties_as_well():
    generator = np.random.default_rng(1)
    common = generator.normal(size=(1, 500))
    table = np.round(common * generator.normal(size=(8, 1)) + generator.normal(size=(8, 500)), 1)
    table[:3] = np.round(table[:3])
    found = associate(dict(zip("abcdefgh", table, strict=True)), set())
    expected = spearmanr(table, axis=1).statistic[np.triu_indices(8, 1)]
    assert np.ptp(expected) > 1
    np.testing.assert_allclose([each.value for each in found], expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.float32, bool, object])
def test_numbers_may_be_of_any_type(dtype):
    numbers = np.random.default_rng(2).integers(0, 2, size=(2, 200))
    assert pair(*numbers.astype(dtype)) == pair(*numbers.astype(np.float64)) != 0


# Two categories


def test_of_a_table_of_30_and_10_by_10_and_30_the_corrected_v_is_known():
    """Phi squared is 1/4, of 80 rows: less 1/79 it is 18.75/79, of at most 78/79."""
    one, other = np.repeat([0, 0, 1, 1], [30, 10, 10, 30]), np.repeat(["a", "b", "a", "b"], [30, 10, 10, 30])
    assert v(one, other) == pytest.approx(math.sqrt(18.75 / 78), rel=1e-12)


@pytest.mark.parametrize("sizes", [(2, 2), (2, 9), (9, 2), (5, 6), (40, 3)])
def test_the_corrected_v_is_made_of_scipys(sizes):
    generator = np.random.default_rng(3)
    common = generator.random(size=400)
    one, other = (np.trunc(size * (common + 0.3 * generator.random(size=400))).astype(int) for size in sizes)
    assert v(one, other) == pytest.approx(corrected(one, other), rel=1e-12)
    assert 0.3 < v(one, other) < 1


def test_another_name_for_each_name_has_1():
    codes = np.random.default_rng(4).integers(0, 7, size=300)
    assert v(codes, np.array(list("gatcxyz"))[codes]) == 1


def test_a_category_that_determines_another_has_nearly_1_both_ways_round():
    """From 40 towns to 2 regions: all that keeps V from 1 is the correction for so many towns."""
    towns = np.arange(1000) % 40
    assert v(towns, towns % 2) == v(towns % 2, towns) == pytest.approx(math.sqrt(960 / 998), rel=1e-12)


def test_independent_categories_have_nearly_0_however_many_names_they_have():
    """Uncorrected, V would be 0.2 here."""
    generator = np.random.default_rng(5)
    found = [v(*generator.integers(0, 40, size=(2, 1000))) for _ in range(50)]
    assert np.mean(found) < 0.03
    assert min(found) == 0


def test_a_name_that_no_two_rows_share_tells_nothing():
    for n_rows in range(3, 100):
        names = np.arange(n_rows)
        assert v(names, names % 7) == v(names % 7, names) == v(names, names) == 0


# A number and a category


def test_the_correlation_ratio_of_the_textbook_is_found():
    """Squares are weighted by the size of a category, and it is the values that count, not their ranks."""
    names = np.repeat(list(MARKS), [len(marks) for marks in MARKS.values()])
    marks = np.concatenate(list(MARKS.values()))
    assert eta(names, marks) == pytest.approx(math.sqrt(6780 / 9640), rel=1e-12)
    assert pair(marks, names, {"other"}) == eta(names, marks)


def test_a_category_that_determines_a_number_has_1_though_it_has_no_order():
    codes = np.random.default_rng(6).integers(0, 4, size=1000)
    assert eta(codes, np.array([0.1, 0.7, 0.7, -0.3])[codes]) == 1


def test_a_category_that_shifts_no_mean_has_0():
    assert eta(["a", "a", "b", "b", "b"], [1, 3, 0, 2, 4]) == 0


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_unit_of_a_number_does_not_matter(scale):
    names, numbers = np.arange(90) % 3, np.random.default_rng(7).normal(size=90) + np.arange(90) % 3
    assert eta(names, scale * numbers) == pytest.approx(eta(names, numbers), rel=1e-12)


# All of them


def test_independent_features_have_nearly_0():
    generator = np.random.default_rng(8)
    columns = {"age": generator.normal(size=5000), "debt": generator.exponential(size=5000)}
    columns |= {name: generator.integers(0, 4, size=5000) for name in ("area", "sex")}
    assert all(abs(each.value) < 0.05 for each in associate(columns, {"area", "sex"}))


def test_rows_that_miss_either_value_are_left_out():
    """Some columns miss the same rows, some none, some their own; what is left is ranked and counted anew."""
    generator = np.random.default_rng(9)
    common = 2 * generator.normal(size=200)
    numbers = pd.DataFrame({f"x{place}": common + generator.normal(size=200) for place in range(5)})
    numbers.loc[:60, ["x1", "x2"]] = np.nan
    numbers.loc[40:110, "x3"] = np.inf
    numbers.loc[::3, "x4"] = -np.inf
    names = pd.DataFrame({f"c{place}": ((common + generator.normal(size=200)) / 2).round() for place in range(3)})
    names = names.astype(str).astype(object)
    names.loc[100:, "c1"] = None
    names.loc[::2, "c2"] = np.nan
    table = pd.concat([numbers, names], axis=1)
    complete = table.replace([np.inf, -np.inf], np.nan)
    for each in associate({name: table[name].to_numpy() for name in table}, set(names)):
        left = complete[[each.first, each.second]].dropna()
        if each.measure == "spearman":
            expected = spearmanr(left).statistic
        elif each.measure == "cramers_v":
            expected = corrected(left[each.first], left[each.second])
        else:
            means = left.groupby(each.second)[each.first].transform("mean")
            expected = means.std(ddof=0) / left[each.first].std(ddof=0)
        assert each.value == pytest.approx(expected, rel=1e-10), each
        assert 0.2 < each.value < 1


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_what_is_missing_is_no_name_of_its_own(missing):
    """Rows without a name have a number and a code of their own; among the others, neither tells anything."""
    names = np.array(["a", "b", missing, missing] * 25, dtype=object)
    codes, numbers = np.array([1, 1, 2, 2] * 25), np.array([0, 0, 9, 9] * 25)
    numbers[:40], codes[:40] = np.arange(40) // 4, np.arange(40) // 4 % 2
    assert v(names, codes) == 0
    assert eta(names, numbers) == 0


CONSTANTS = {
    "number": np.full(100, 0.1),
    "name": np.full(100, "a"),
    "with gaps": np.where(np.arange(100) % 3, 0.1, np.nan),
}
OTHERS = {"code": np.arange(100) % 2, "numbers": np.random.default_rng(11).random(100)} | CONSTANTS


@pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_constant_goes_with_nothing(constant, other):
    texts = {name for name, column in (("one", constant), ("other", other)) if column.dtype.kind == "U"}
    for categories in (texts, {"one"} | texts, {"other"} | texts, {"one", "other"}):
        assert pair(constant, other, categories) == 0


def test_what_is_constant_in_the_complete_rows_goes_with_nothing():
    one, other = np.array([1, 1, 1, 1, 2, 3]), np.array([0.1, 0.2, 0.3, 0.4, np.nan, np.nan])
    for categories in ((), {"one"}, {"other"}, {"one", "other"}):
        assert pair(one, other, categories) == 0


@pytest.mark.parametrize(("n_rows", "expected"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_two_complete_rows_tell_nothing_and_three_do(n_rows, expected):
    other = np.arange(20) > 0
    one = np.where(np.arange(20) < n_rows, other, np.nan)
    for measure in (pair, v, eta):
        assert measure(one, other) == measure(one[:n_rows], other[:n_rows]) == expected


@given(table=tables())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_the_columns_hold_values_are_in_their_range(table):
    columns, categories = table
    for each in associate(columns, categories):
        assert (-1 if each.measure == "spearman" else 0) <= each.value <= 1


@given(table=tables(), data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_order_of_the_columns_changes_no_bit(table, data):
    columns, categories = table
    order = data.draw(st.permutations(list(columns)))
    turned = associate({name: columns[name] for name in order}, categories)
    assert by_pair(turned) == by_pair(associate(columns, categories))
    assert [(each.first, each.second) for each in turned] == list(combinations(order, 2))


@given(table=tables(st.integers(-3, 3).map(float)), data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_neither_the_order_of_the_rows_nor_what_a_name_is_called_matters(table, data):
    columns, categories = table
    rows = data.draw(st.permutations(range(len(columns["x0"]))))
    new = dict(zip(["a", "b", "c", ""], data.draw(st.permutations([0, 1, 2, 3])), strict=True)) | {None: None}
    turned = {name: column[list(rows)] if rows else column for name, column in columns.items()}
    turned |= {name: np.array([new[each] for each in turned[name]], dtype=object) for name in categories}
    found, expected = by_pair(associate(turned, categories)), by_pair(associate(columns, categories))
    for names, (measure, value) in expected.items():
        assert found[names] == (measure, pytest.approx(value, abs=1e-7))  # rounding of 1e-16 under a root


def test_the_columns_stay_as_they_were():
    columns = {"age": np.array([3.0, np.nan, 1, 2]), "area": np.array(["a", None, "b", "b"], dtype=object)}
    for column in columns.values():
        column.flags.writeable = False
    assert len(list(associate(columns, {"area"}))) == 1


# What is strong


STRONGEST = {"BC": 0.95, "AC": -0.9, "AB": 0.7, "BD": -0.7}


def test_strong_associations_are_those_at_the_limit_or_beyond_strongest_first():
    pairs = rated({"AB": 0.7, "AC": -0.9, "AD": 0.69, "BC": 0.95, "BD": -0.7, "CD": -0.69})
    found = [(pair.first + pair.second, pair.measure, pair.value) for pair in pairs.strong(0.7)]
    assert found == [(names, "spearman", value) for names, value in STRONGEST.items()]
    assert pairs.strong(0.96) == []


# Groups


def test_planted_blocks_are_found_exactly():
    """Numbers that rise and fall together, categories, and a category with a number; loners stay alone."""
    generator = np.random.default_rng(10)
    causes = generator.normal(size=(5, 2000))
    noise = 0.3 * generator.normal(size=(12, 2000))
    columns = {
        "PAY": causes[0] + noise[0],
        "AREA": np.digitize(causes[1], [-1, 0, 1]),
        "AGE": causes[2] + noise[2],
        "BILL": np.exp(causes[0] + noise[3]),
        "SHOP": np.digitize(causes[3], [-0.5, 0.5]),
        "TOWN": np.digitize(causes[1], [-1, 0, 1]) + 4 * (noise[5] > 0),
        "LIMIT": -causes[0] + noise[6],
        "SALES": causes[3] + noise[7],
        "DEBT": causes[0] ** 3 + noise[8],
        "REGION": np.array(["N", "S"])[(causes[1] > 0).astype(int)],
        "SCORE": causes[4],
    }
    found = associate(columns, {"AREA", "TOWN", "REGION", "SHOP"})
    assert propose_groups(found, 0.7) == {
        "PAY and 3 others": ["PAY", "BILL", "LIMIT", "DEBT"],
        "AREA, TOWN and REGION": ["AREA", "TOWN", "REGION"],
        "SHOP and SALES": ["SHOP", "SALES"],
    }


def test_a_chain_does_not_join_its_two_ends():
    """What joins by the nearest pair would make one group of all."""
    chain = rated({"AB": 0.9, "BC": 0.8, "AC": 0.0})
    assert propose_groups(chain, 0.5) == {"A and B": ["A", "B"]}


def test_a_chain_whose_mean_is_at_the_limit_is_one_group():
    """What joins by the farthest pair would leave C alone: with A it has 0.3, with A and B 0.55 on average."""
    chain = rated({"AB": 0.9, "BC": 0.8, "AC": 0.3})
    assert list(propose_groups(chain, 0.55)) == ["A, B and C"]
    assert list(propose_groups(chain, 0.56)) == ["A and B"]


def test_each_feature_of_a_group_counts_as_much_as_the_others():
    """D has 0.63 with A, B and C on average, but 0.55 where A and B count as one."""
    pairs = rated({"AB": 0.95, "AC": 0.9, "BC": 0.9, "AD": 0.8, "BD": 0.8, "CD": 0.3})
    assert list(propose_groups(pairs, 0.63)) == ["A and 3 others"]
    assert list(propose_groups(pairs, 0.64)) == ["A, B and C"]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("names", ["AB", "ABC", "ABCD", "ABCDEFG"])
def test_features_that_are_all_at_the_limit_are_one_group(names, sign):
    """Rounding of the averages does not part them, whatever the limit."""
    for limit in np.arange(1, 101) / 100:
        pairs = rated({first + second: sign * limit for first, second in combinations(names, 2)})
        assert list(propose_groups(pairs, limit).values()) == [list(names)]
        assert propose_groups(pairs, limit + 0.001) == {}


def test_ties_are_joined_in_one_way_whatever_the_order():
    """B may go with A or with C; and D with E or F."""
    for names in permutations("ABCDEF"):
        groups = propose_groups(rated({"AB": 0.9, "BC": 0.9, "ED": 0.9, "DF": 0.9}, names), 0.7)
        assert {frozenset(members) for members in groups.values()} == {frozenset("AB"), frozenset("DE")}


@pytest.mark.parametrize("names", [[], ["A"]])
def test_one_feature_is_no_group(names):
    assert propose_groups(rated({}, names), 0.5) == {}


def test_groups_and_their_features_are_in_the_order_of_the_features():
    pairs = rated({"AB": 0.9, "CD": 0.9}, "DBCA")
    assert list(propose_groups(pairs, 0.5).items()) == [("D and C", ["D", "C"]), ("B and A", ["B", "A"])]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["PAY", "BILL_AMT"], "PAY and BILL_AMT"),
        (["PAY", "BILL_AMT", "LIMIT"], "PAY, BILL_AMT and LIMIT"),
        (["PAY", "BILL_AMT", "LIMIT", "AGE"], "PAY and 3 others"),
        (["PAY", "BILL_AMT", "LIMIT", "AGE", "SEX"], "PAY and 4 others"),
    ],
)
def test_a_group_is_called_by_its_features(names, expected):
    pairs = rated(dict.fromkeys(combinations(names, 2), 0.9), names)
    assert propose_groups(pairs, 0.7) == {expected: names}


def test_no_group_is_called_as_another_or_as_a_feature():
    names = ["A", "B and C", "A and B", "C", "D", "E", "D and E", "D and E (2)"]
    pairs = rated(dict.fromkeys(zip(names[:6:2], names[1:6:2], strict=True), 1.0), names)
    assert propose_groups(pairs, 0.7) == {
        "A and B and C": ["A", "B and C"],
        "A and B and C (2)": ["A and B", "C"],
        "D and E (3)": ["D", "E"],
    }


@given(
    values=st.lists(st.integers(-10, 10), min_size=21, max_size=21),
    order=st.permutations("ABCDEFG"),
    limit=st.integers(1, 10),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_groups_are_apart_and_no_two_of_them_should_be_one(values, order, limit):
    """What is joined has the limit on average; what is not, and so any two groups or loners, falls short of it."""
    value = {frozenset(names): tenths / 10 for names, tenths in zip(combinations("ABCDEFG", 2), values, strict=True)}
    groups = propose_groups(rated({tuple(names): each for names, each in value.items()}, order), limit / 10)
    grouped = [name for members in groups.values() for name in members]
    assert len(set(grouped)) == len(grouped)
    assert all(len(members) > 1 and members == sorted(members, key=order.index) for members in groups.values())
    assert [members[0] for members in groups.values()] == sorted(
        (members[0] for members in groups.values()), key=order.index
    )
    clusters = [*groups.values(), *([name] for name in order if name not in grouped)]
    for ours, others in combinations(clusters, 2):
        mean = np.mean([abs(value[frozenset((one, other))]) for one in ours for other in others])
        assert mean < limit / 10
    for members in groups.values():
        assert max(abs(value[frozenset(names)]) for names in combinations(members, 2)) >= limit / 10
