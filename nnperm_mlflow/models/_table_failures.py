"""Why a model behind pyfunc fails, as far as its flavour and the kind of its error tell, and what to do.

What foreign code says may hold data. It is looked at, and only names of the model's own inputs are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.inputs.specs import InputSpec

_OF_CATEGORIES = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost"}
_SPEAKS_OF_CATEGORIES = re.compile(r"categorical", re.IGNORECASE)
_FEATURE_NUMBER = re.compile(r"for the: (\d+)th feature")
_OTHER_NAMES = re.compile(r"feature[_ ]names", re.IGNORECASE)
_SEE_FOR_YOURSELF = "What it says may hold data, and is shown with --debug alone."


def explain_failure(error: Exception, specs: Sequence[InputSpec], flavours: Collection[str]) -> str:
    """Return what to say of a model that failed, in sentences.

    Parameters
    ----------
    error : Exception
        What the model, or MLflow, raised.
    specs : sequence of InputSpec
        What the model was given.
    flavours : collection of str
        Of MLflow, in which it was logged.
    """
    library = next((told for flavour, told in _OF_CATEGORIES.items() if flavour in flavours), None)
    if library is not None and (named := _categories(str(error), specs)):
        return _of_categories(library, named)
    if _OTHER_NAMES.search(str(error)):
        return (
            f"It was fitted with columns of other names than its signature has, which are "
            f"{name_list(spec.name for spec in specs)}. Log it again with infer_signature(X, ...) of the table that it "
            "was fitted with."
        )
    return _SEE_FOR_YOURSELF


def _categories(words: str, specs: Sequence[InputSpec]) -> list[str]:
    """Return the columns that may have to be categories of pandas, if that is what an error speaks of."""
    if not _SPEAKS_OF_CATEGORIES.search(words):
        return []
    texts = [spec.name for spec in specs if spec.dtype.kind == "O"]
    number = _FEATURE_NUMBER.search(words)
    if number and int(number[1]) < len(specs):
        return [specs[int(number[1])].name]
    return texts or [spec.name for spec in specs if spec.dtype.kind in "iu"]


def _of_categories(library: str, named: Sequence[str]) -> str:
    return (
        f"{library} wants columns as the categories of pandas that it was trained with, it seems {name_list(named)}; "
        "but MLflow's signature knows no categories, and its pyfunc passes none on, so that nobody can call the model "
        "through it. Log an mlflow.pyfunc.PythonModel around it, whose predict() first makes them: "
        f"X['{named[0]}'] = pd.Categorical(X['{named[0]}'], categories=[...]), of the categories in training."
    )
