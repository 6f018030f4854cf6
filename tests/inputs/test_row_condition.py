"""Conditions on rows: what they mean, and that nothing of them is run."""

import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.inputs.row_condition import rows_where

COLUMNS = {
    "default": np.array([0, 1, 0, 1]),
    "AGE": np.array([20.0, 30.0, np.nan, 50.0]),
    "rate": np.array([0.1, 0.2, 0.3, 0.1], dtype=np.float32),
    "pay back": np.array(["no", "yes", None, "and or"], dtype=object),
    "is_new": np.array([True, False, True, False]),
    "since": np.array(["2024-01-01", "2025-01-01", "NaT", "2026-01-01"], dtype="datetime64[ns]"),
}


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("default = 0", [0, 2]),
        ("default==0", [0, 2]),
        ("default != 0", [1, 3]),
        ("AGE >= 30", [1, 3]),
        ("AGE < 30", [0]),
        ("AGE != 30", [0, 3]),  # what is missing meets nothing
        ("AGE>20 and default=1", [1, 3]),
        ("AGE > 20 AND default = 1 and AGE <= 30.5", [1]),
        ("rate = 0.1", [0, 3]),  # as the column holds it
        ("'pay back' = no", [0]),
        ("pay back != no", [1, 3]),
        ('"pay back" = "and or"', [3]),
        ("is_new = true", [0, 2]),
        ("since >= 2025-01-01", [1, 3]),
        ("default = -1", []),
        ("AGE > 1e1", [0, 1, 3]),
    ],
)
def test_a_condition_holds_where_all_of_its_comparisons_do(condition, rows):
    assert np.flatnonzero(rows_where(condition, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "each part of the condition compares one column with one value"),
        ("default", "each part of the condition"),
        ("default = ", "each part of the condition"),
        ("= 0", "each part of the condition"),
        ("0 < AGE < 30", "each part of the condition"),
        ("default = 0 or default = 1", "each part of the condition"),
        ("default = 0 and", "each part of the condition"),
        ("default = 'open", "cannot be read from its letter 10 on"),
        ("AGE ! 3", "cannot be read from its letter"),
        ("defualt = 0", "names 'defualt', .* Did you mean 'default'"),
        ("AGE = old", "'AGE' holds numbers, and is compared with something else"),
        ("since > soon", "'since' holds moments"),
        ("pay back > no", "'pay back' holds text"),
        ("__import__('os').system('x') = 0", "each part|names|cannot be read"),
    ],
)
def test_what_is_no_condition_is_refused_in_words(condition, message):
    with pytest.raises(ConfigError, match=message):
        rows_where(condition, COLUMNS)


def test_without_a_table_there_is_no_column():
    with pytest.raises(ConfigError, match="the static table is not there"):
        rows_where("AGE = 1", {})
