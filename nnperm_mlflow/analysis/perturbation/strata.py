"""Which rows may exchange values: those that are alike in some columns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import ConfigError, DataError, did_you_mean, name_list
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.inputs.slots import Feature

logger = logging.getLogger(__name__)

FEWEST_ROWS = 10
"""Rows below which a stratum is small: its rows have few others to exchange values with."""


class Strata:
    """Rows that are alike in some columns of the static table.

    A feature that is one of these columns itself is shuffled among rows that are alike in the others.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        The columns, by name. Not modified; a missing value is one like another.
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self._codes = {name: pd.factorize(values, use_na_sentinel=False)[0] for name, values in columns.items()}
        self._columns = dict(columns)
        self._joined: dict[tuple[str, ...], np.ndarray] = {}

    def of(self, feature: Feature, rows: np.ndarray) -> np.ndarray | None:
        """Return for some rows the numbers of their strata for a feature; None where all rows may exchange its values.

        Parameters
        ----------
        feature : Feature
        rows : ndarray of shape (n_rows,), int64
            Positions in the data.

        Returns
        -------
        ndarray of shape (n_rows,), int64, or None
        """
        own = {"number": {feature.name}, "category": {feature.name}, "group": set(feature.members)}.get(
            feature.kind, set()
        )
        names = tuple(name for name in self._codes if name not in own)
        return self._numbers(names)[rows] if names else None

    def holds(self, feature: Feature) -> bool:
        """Tell whether a feature is one of the columns, or a group with one of them."""
        return not {feature.name, *feature.members}.isdisjoint(self._codes)

    @property
    def full(self) -> np.ndarray:
        """The stratum of each row for a feature that is none of the columns, from 0; of shape (n_rows,), int64."""
        return self._numbers(tuple(self._codes))

    @property
    def sizes(self) -> pd.DataFrame:
        """Strata of a feature that is none of the columns, smallest first: values, rows, and whether these are few."""
        numbers = self.full
        _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
        table = pd.DataFrame({name: values[first] for name, values in self._columns.items()})
        table["rows"] = counts
        table["small"] = counts < FEWEST_ROWS
        return table.sort_values("rows", kind="stable").reset_index(drop=True)

    def _numbers(self, names: tuple[str, ...]) -> np.ndarray:
        if names not in self._joined:
            codes = pd.DataFrame({number: self._codes[name] for number, name in enumerate(names)})
            self._joined[names] = codes.groupby(list(codes.columns), sort=False).ngroup().to_numpy()
        return self._joined[names]


def stratify(within: Sequence[str], columns: Mapping[str, np.ndarray], steps: Collection[str] = ()) -> Strata | None:
    """Find the strata that are asked for, and point out small ones.

    Parameters
    ----------
    within : sequence of str
        Names of columns.
    columns : mapping of str to ndarray of shape (n_rows,)
        The static table.
    steps : collection of str
        Columns that are steps of a series.

    Returns
    -------
    Strata or None
        None where nothing is asked for.

    Raises
    ------
    DataError
        If there is no column of that name.
    ConfigError
        If no row is left another one to exchange values with, or a column is a step of a series, which would stay as it
        is whenever its channel is shuffled.
    """
    problems = Problems()
    check_strata(within, columns, steps, problems)
    problems.settle()
    if not within:
        return None
    strata = Strata({name: columns[name] for name in within})
    sizes = strata.sizes
    if sizes["rows"].max() == 1:
        raise ConfigError(
            f"analysis: within: no two rows are alike in {name_list(within)}, so that none can exchange values. Use "
            "columns with few different values, such as bands of a number."
        )
    small = sizes.loc[sizes["small"], "rows"]
    if len(small):
        logger.warning(
            "%d of %d strata hold fewer than %d rows (%d rows in all), which can hardly exchange values; strata.csv "
            "names them%s",
            len(small),
            len(sizes),
            FEWEST_ROWS,
            small.sum(),
            _alone(int((small == 1).sum()), int(sizes["rows"].sum())),
        )
    return strata


def _alone(n_alone: int, n_rows: int) -> str:
    """Return what is to be said of rows without another one in their stratum."""
    if n_alone == 0:
        return ""
    return f". {n_alone} of {n_rows} rows are alone in theirs: they have no donor, and are left out"


def check_strata(
    within: Sequence[str], columns: Mapping[str, np.ndarray], steps: Collection[str], problems: Problems
) -> None:
    """Look for columns that cannot part the rows: there are none of that name, or they are steps of a series.

    Parameters
    ----------
    within, columns, steps
        As for `stratify`.
    problems : Problems
        Takes in what is found.
    """
    for name in within:
        if name in steps:
            told = (
                f"analysis: within: '{name}' is a step of a series, and would stay as it is whenever that is shuffled."
            )
            problems.add(ConfigError(f"{told} Use a column that is none."))
        elif name not in columns:
            told = f"analysis: within names the column '{name}', which the static table does not have. It has "
            problems.add(DataError(f"{told}{name_list(columns)}.{did_you_mean(name, columns)}"))
