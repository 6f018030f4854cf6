"""Trees lead each row through by itself: how many rows a call gets changes no bit of a prediction."""

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from nnperm_mlflow.models.pyfunc import _walks_trees
from tests.support.trees import clients, numbers

SIZES = (1, 7, 64, 1_000, 20_000)


@pytest.fixture(scope="module")
def many():
    """Rows that occur in calls of every size: those of the training, again and again."""
    table = numbers(clients()[0])
    return table.iloc[np.arange(max(SIZES)) % len(table)].reset_index(drop=True)


def assert_bits(predict, many):
    whole = np.asarray(predict(many))
    for size in SIZES:
        np.testing.assert_array_equal(np.asarray(predict(many.iloc[:size])), whole[:size])


def test_the_libraries_of_trees_give_the_same_bits_for_any_number_of_rows(logged, many):
    _, _, model = logged
    if type(model).__module__ == "xgboost.core":
        import xgboost

        assert_bits(lambda rows: model.predict(xgboost.DMatrix(rows)), many)
    else:
        assert_bits(getattr(model, "predict_proba", model.predict), many)


@pytest.mark.parametrize(
    ("model", "walks"),
    [
        (RandomForestRegressor(5), True),
        (RandomForestRegressor(5, n_jobs=2), False),
        (ExtraTreesClassifier(5), True),
        (GradientBoostingRegressor(n_estimators=5), True),
        (HistGradientBoostingRegressor(max_iter=5), True),
        (DecisionTreeRegressor(), True),
        (LinearRegression(), False),
    ],
)
def test_so_do_those_of_scikit_learn_that_are_taken_for_such(model, walks, many):
    table, score = clients()
    model.fit(numbers(table), score if "Regress" in type(model).__name__ else score > 0)
    assert _walks_trees(model) is walks
    if walks:
        assert_bits(getattr(model, "predict_proba", model.predict), many)
