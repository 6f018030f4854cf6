"""Files of XGBoost, LightGBM and CatBoost, read by these libraries: no pickle, and no class but theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.models.formats import TreeFile
from nnperm_mlflow.models.trees.unplaced_categories import Range, UnplacedCategories

_OWN_NAME = re.compile(r"(Column_)?\d+")
"""How LightGBM and CatBoost call features of an array."""
_NO_CODE = -1  # stands for what is missing among the values of a categorical feature, whether anything is or not

Table = pd.DataFrame | np.ndarray
Categories = Mapping[str, Sequence[Any]]
"""For a feature the categories of its training, in the order of their codes."""


@dataclass(frozen=True)
class TreeModel:
    """A model as its library reads it.

    Attributes
    ----------
    estimator : object
        Of that library.
    predict : callable
        Takes a table as MLflow's pyfunc does, and gives what that would.
    names : tuple of str
        Of its features, in their order; empty where it was fitted to an array.
    n_features : int
    categories : mapping of str to sequence
        Of the features that are to come as categories of pandas.
    unplaced : UnplacedCategories or None
        Where the file holds categories in their order only, and does not say of which features.
    """

    estimator: Any
    predict: Callable[[Table], Any]
    names: tuple[str, ...]
    n_features: int
    categories: Categories = field(default_factory=dict)
    unplaced: UnplacedCategories | None = None


def read_trees(file: TreeFile) -> TreeModel:
    """Read a file by its library.

    Parameters
    ----------
    file : TreeFile

    Returns
    -------
    TreeModel

    Raises
    ------
    ImportError
        If the library is not installed.
    Exception
        Of the library, if it cannot read the file.
    """
    readers = {"xgboost": _read_xgboost, "lightgbm": _read_lightgbm, "catboost": _read_catboost}
    return readers[file.flavour](file)


def _read_xgboost(file: TreeFile) -> TreeModel:
    import xgboost  # noqa: PLC0415 - an optional package

    estimator = getattr(xgboost, file.kind)()
    estimator.load_model(str(file.path))
    is_booster = isinstance(estimator, xgboost.Booster)
    booster = estimator if is_booster else estimator.get_booster()
    takes_categories = "c" in (booster.feature_types or ())

    def predict(table: Table) -> np.ndarray:
        return booster.predict(xgboost.DMatrix(table, enable_categorical=takes_categories))

    return TreeModel(
        estimator,
        predict if is_booster else estimator.predict,
        tuple(booster.feature_names or ()),
        booster.num_features(),
        _categories_of(booster) if takes_categories else {},
    )


def _categories_of(booster: Any) -> Categories:  # noqa: ANN401 - XGBoost is not typed
    """Return the categories that XGBoost has stored with the model; none where it is of before 3.1, and stores none."""
    if not hasattr(booster, "get_categories"):
        return {}
    stored = booster.get_categories(export_to_arrow=True).to_arrow()
    return {name: values.to_pylist() for name, values in stored if values is not None}


def _read_lightgbm(file: TreeFile) -> TreeModel:
    import lightgbm  # noqa: PLC0415 - an optional package

    booster = lightgbm.Booster(model_file=str(file.path))
    names = booster.feature_name()
    known = booster.pandas_categorical or []
    unplaced = UnplacedCategories(known, _ranges_of(booster, names)) if known else None
    return TreeModel(booster, booster.predict, _given_names(names), len(names), unplaced=unplaced)


def _ranges_of(booster: Any, names: Sequence[str]) -> list[Range | None]:  # noqa: ANN401 - LightGBM has no types for it
    """Return within what the values of each feature lay; None of a feature that no tree could use."""
    infos = booster.dump_model(num_iteration=1)["feature_infos"]
    return [_range_of(infos[name]) if name in infos else None for name in names]


def _range_of(info: Mapping[str, Any]) -> Range:
    codes = [code for code in info["values"] if code != _NO_CODE]
    return (min(codes), max(codes)) if codes else (info["min_value"], info["max_value"])


def _read_catboost(file: TreeFile) -> TreeModel:
    import catboost  # noqa: PLC0415 - an optional package

    estimator = getattr(catboost, file.kind)()
    estimator.load_model(str(file.path), format=file.stored_as)
    names = list(estimator.feature_names_)
    return TreeModel(estimator, estimator.predict, _given_names(names), len(names))


def _given_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of features, or nothing where a library has numbered them itself."""
    return () if all(_OWN_NAME.fullmatch(name) for name in names) else tuple(names)
