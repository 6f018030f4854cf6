"""Columns that are numbered alike: which belong together, and what their names tell of the order of time."""

import numpy as np
import pytest

from nnperm_mlflow.auditor.proposal.families import find_families
from nnperm_mlflow.auditor.proposal.roles import is_row_id, sounds_like_label


def test_the_columns_of_the_credit_card_clients_are_three_families_though_one_lacks_a_number():
    header = ["ID", "SEX", "PAY_0", "PAY_2", "PAY_3", "BILL_AMT1", "BILL_AMT2", "PAY_AMT2", "PAY_AMT1", "AGE"]
    assert [(family.name, family.columns, family.order) for family in find_families(header)] == [
        ("PAY", ("PAY_0", "PAY_2", "PAY_3"), None),
        ("BILL_AMT", ("BILL_AMT1", "BILL_AMT2"), None),
        ("PAY_AMT", ("PAY_AMT1", "PAY_AMT2"), None),
    ]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["bal_2023_12", "bal_2024_01", "bal_2023_11"], "dates"),
        (["bal20231231", "bal20240131"], "dates"),
        (["2004", "2005"], "dates"),
        (["x_t1", "x_t2"], "steps"),
        (["step_1", "step_2"], "steps"),
        (["x_lag1", "x_lag2"], "lags"),
        (["x(t-1)", "x(t-2)"], "lags"),
        (["bal_2_months_ago", "bal_3_months_ago"], "lags"),
        (["bal_1m_ago", "bal_2m_ago"], "lags"),
        (["PAY_1", "PAY_2"], None),
        (["month1", "month2"], None),
        (["amount1", "amount2"], None),
    ],
)
def test_what_the_numbers_are_is_told_where_names_tell(names, order):
    (family,) = find_families(names)
    assert family.order == order
    assert family.columns == tuple(sorted(names))


def test_columns_come_by_their_numbers_and_not_by_their_letters():
    (family,) = find_families([f"x{number}" for number in (10, 9, 2, 1)])
    assert family.columns == ("x1", "x2", "x9", "x10")


def test_a_number_alone_makes_no_family():
    assert find_families(["x1", "y2", "x01", "z"]) == []


@pytest.mark.parametrize(
    ("name", "values", "is_one"),
    [
        ("ID", [7, 3, 9], True),
        ("customer_number", [7, 3, 9], True),
        ("Unnamed: 0", [0, 1, 2], True),
        ("anything", [5, 6, 7], True),
        ("who", ["Ada", "Bea", "Cyd"], True),
        ("income", [700, 300, 900], False),
        ("ID", [7, 7, 9], False),
        ("ID", [0.5, 1.5, 2.5], False),
        ("who", ["Ada", None, "Cyd"], False),
    ],
)
def test_a_row_id_is_another_one_in_each_row_and_a_name_or_a_count_or_called_so(name, values, is_one):
    array = np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values)
    assert is_row_id(name, array) is is_one


@pytest.mark.parametrize("name", ["target", "is_fraud", "LoanDefault", "Exited", "Y", "default.payment.next.month"])
def test_what_is_called_as_outcomes_are_is_taken_for_one(name):
    assert sounds_like_label(name)
    assert not sounds_like_label(f"x{name}x")


@pytest.mark.parametrize(
    ("names", "name"),
    [(["x_lag1", "x_lag2"], "x"), (["x(t-1)", "x(t-2)"], "x"), (["lag1", "lag2"], "lag"),
     (["m1_bal", "m2_bal"], "m_bal"), (["1", "2"], "steps"),
     (["bal_2_months_ago", "bal_3_months_ago"], "bal"), (["x_t0", "x_t1"], "x")],
)  # fmt: skip
def test_a_family_is_called_by_what_its_columns_have_in_common(names, name):
    assert find_families(names)[0].name == name
