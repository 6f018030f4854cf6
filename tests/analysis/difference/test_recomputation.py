"""A summary held against that of an audit made again: every column counts, and no other may be there."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.difference.recomputation import confirm_numbers
from nnperm_mlflow.basics.errors import EvidenceError

AGAIN = pd.DataFrame(
    {
        "perturbation": ["age", "sex=2"],
        "kind": ["number", "category"],
        "value": [None, "2"],
        "mean": [0.25, 0.5],
        "mean_low": [0.2, np.nan],
        "measurable": [True, False],
    }
)


def test_rounding_and_the_order_of_rows_and_columns_make_no_difference():
    told = AGAIN.assign(mean=AGAIN["mean"] * (1 + 1e-6))
    confirm_numbers(told.iloc[::-1][sorted(told)], AGAIN)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("kind", ["group", "category"]),
        ("kind", [None, "category"]),
        ("value", ["2", "2"]),
        ("mean", [0.2501, 0.5]),
        ("mean", ["0.25", "0.5"]),
        ("mean_low", [0.2, 0.4]),
        ("mean_low", [np.nan, np.nan]),
        ("measurable", [True, True]),
    ],
)
def test_another_number_text_or_flag_is_refused_and_named(column, values):
    with pytest.raises(EvidenceError, match=f"audited again, '{column}' come out otherwise than on record"):
        confirm_numbers(AGAIN.assign(**{column: values}), AGAIN)


def test_columns_that_are_left_out_or_added_are_named():
    told = AGAIN.drop(columns=["mean_low", "kind"]).assign(unheard_of=0)
    with pytest.raises(EvidenceError, match="lacking there are 'kind', 'mean_low', and added 'unheard_of'"):
        confirm_numbers(told, AGAIN)


def test_other_perturbations_are_named():
    with pytest.raises(EvidenceError, match="there is 'age', 'sex=2', and not 'age'"):
        confirm_numbers(AGAIN[:1], AGAIN)
