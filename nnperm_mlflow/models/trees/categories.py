"""Columns that a library of trees takes as the categories of its training, which no signature of MLflow's knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.inputs.specs import Domain, InputSpec
from nnperm_mlflow.models.trees.readers import Categories, Table, TreeModel


def categories_by_column(model: TreeModel, specs: Sequence[InputSpec]) -> dict[str, Sequence[Any]] | None:
    """Return the categories of each column that has some, by its name in the signature.

    Parameters
    ----------
    model : TreeModel
    specs : sequence of InputSpec
        Of the signature, in the order of the model's features.

    Returns
    -------
    dict of str to sequence, or None
        None where it is not certain which columns have some.
    """
    if model.unplaced is not None:
        return model.unplaced.by_column(specs) if specs[0].is_column else {}
    by_name = dict(zip(model.names, specs, strict=False))
    return {by_name[name].name: known for name, known in model.categories.items() if name in by_name}


def with_domains(specs: Sequence[InputSpec], categories: Categories, library: str) -> list[InputSpec]:
    """Return inputs with the values that a library knows of them."""
    return [
        replace(spec, domains=(Domain(library, _known(spec, categories[spec.name])),))
        if spec.name in categories and spec.dtype.kind in "Oiu"
        else spec
        for spec in specs
    ]


def _known(spec: InputSpec, categories: Sequence[Any]) -> frozenset[str] | frozenset[int]:
    if spec.dtype.kind == "O":
        return frozenset(map(str, categories))
    return frozenset(int(each) for each in categories if isinstance(each, (int, float)))


class Categorizing:
    """A function of a table, some columns of which become categories of pandas first.

    Parameters
    ----------
    predict : callable
    categories : mapping of str to sequence
        For a column those of its training, in the order of their codes.
    """

    def __init__(self, predict: Callable[[Table], Any], categories: Categories) -> None:
        self._predict = predict
        self._categories = categories

    def predict(self, data: Table) -> Any:  # noqa: ANN401 - whatever the library gives
        """Return what the library predicts for rows; a value that was not there in training is missing to it."""
        if isinstance(data, np.ndarray) or not self._categories:
            return self._predict(data)
        made = {column: _as_categories(data[column], known) for column, known in self._categories.items()}
        return self._predict(data.assign(**made))


def _as_categories(values: pd.Series, known: Sequence[Any]) -> pd.Series:
    if values.dtype == object:  # a signature may call numbers text
        values = values.map({str(each): each for each in known})
    return pd.Series(pd.Categorical(values, categories=list(known)), index=values.index)
