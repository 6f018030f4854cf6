"""Why models behind pyfunc fail, in words that name the column, the cause and the way, and no data."""

import numpy as np
import pytest

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.table_predictor import TablePredictor

SPECS = [
    InputSpec("age", (), np.dtype("float64"), is_column=True),
    InputSpec("kids", (), np.dtype("int64"), is_column=True),
    InputSpec("city", (), np.dtype(object), is_column=True),
]
ROWS = {"age": np.ones(2), "kids": np.ones(2, dtype="int64"), "city": np.array(["Ulm", "Bonn"], dtype=object)}


class Raising:
    """A model that raises what a library was seen to raise."""

    def __init__(self, error):
        self.error = error

    def predict(self, rows):
        raise self.error


def told(error, *flavours, specs=SPECS):
    predictor = TablePredictor(Raising(error), specs, flavours)
    with pytest.raises(PredictionError) as caught:
        predictor.call({spec.name: ROWS[spec.name] for spec in specs})
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "flavour", "named"),
    [
        (ValueError("train and valid dataset categorical_feature do not match."), "lightgbm", "'city'"),
        (
            ValueError(
                "DataFrame.dtypes for data must be int, float, bool or category. When categorical type is supplied, "
                "the experimental parameter `enable_categorical` must be set to `True`.  Invalid columns:city: str"
            ),
            "xgboost",
            "'city'",
        ),
        (
            RuntimeError(
                "[16:58:40] cat_container.h:29: Invalid new DataFrame input for the: 1th feature (0-based). The data "
                "type doesn't match the one used in the training dataset. Both should be either numeric or categorical."
            ),
            "xgboost",
            "'kids'",
        ),
    ],
)
def test_categories_of_pandas_are_told_as_the_cause_with_the_column(error, flavour, named):
    message = told(error, flavour, "python_function")
    assert f"it seems {named}; but MLflow's signature knows no categories" in message
    assert f"X[{named}] = pd.Categorical(X[{named}], categories=[...])" in message


def test_whole_numbers_may_be_the_categories_where_there_is_no_text():
    message = told(ValueError("train and valid dataset categorical_feature do not match."), "lightgbm", specs=SPECS[:2])
    assert "it seems 'kids'" in message


def test_columns_of_other_names_than_in_training_are_told():
    error = ValueError("The feature names should match those that were passed during fit.\nFeature names unseen: 4711")
    message = told(error, "sklearn")
    assert "other names than its signature has, which are 'age', 'kids', 'city'" in message
    assert "4711" not in message


def test_of_what_is_not_known_nothing_is_said_but_where_it_is_shown():
    assert told(KeyError("4711"), "lightgbm") == (
        "the model failed (KeyError). What it says may hold data, and is shown with --debug alone."
    )
