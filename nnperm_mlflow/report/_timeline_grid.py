"""What the picture of a model's history shows: which versions and perturbations, in which order, and what is said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.statistics.order import moved

TOP = 8
"""Perturbations that have a colour and a name; the others are grey."""

MOST = 60
"""Perturbations that are drawn; more grey lines could not be told from each other."""

MOST_VERSIONS = 40
"""Versions that are drawn, the newest; a picture of more could not be read."""

_OF_VERSION = ["version", "verdict", "basis", "differs", "unit"]


@dataclass(frozen=True)
class HistoryGrid:
    """What is drawn.

    Attributes
    ----------
    names : list of str
        Perturbations that are drawn, the one with the largest number over all versions first.
    value, low, high : ndarray of shape (n_perturbations, n_versions)
        NaN where a version lacks a perturbation.
    versions : DataFrame
        A row per version, with all columns that `history_figure` tells of versions.
    n_audited : int
        How many versions there are, with those that are too many to draw.
    n_perturbations : int
        The same of perturbations.
    has_set_values : bool
        Whether features were set to values, which is not drawn.
    statistic : "mean" or "median"
    """

    names: list[str]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    versions: pd.DataFrame
    n_audited: int
    n_perturbations: int
    has_set_values: bool
    statistic: Statistic

    @property
    def top(self) -> int:
        """How many perturbations have a colour and a name."""
        return min(TOP, len(self.names))

    @property
    def n_versions(self) -> int:
        """How many versions are drawn."""
        return len(self.versions)

    @property
    def bases(self) -> np.ndarray:
        """For each version the number of its basis."""
        return self.versions["basis"].to_numpy()

    @property
    def unit(self) -> str:
        """Of the newest version's deviations."""
        return str(self.versions["unit"].iloc[-1])

    @property
    def largest(self) -> float:
        """The largest number that is drawn, or 0."""
        return float(max(np.nanmax(self.value, initial=0), np.nanmax(self.high[: self.top], initial=0)))

    def last(self, place: int) -> int:
        """Return the last version that has a perturbation, both by position."""
        return int(np.flatnonzero(np.isfinite(self.value[place]))[-1])

    def is_in_newest(self, place: int) -> bool:
        """Tell whether the newest version has a perturbation, by its position."""
        return self.last(place) == self.n_versions - 1


def grid_of(medians: pd.DataFrame, statistic: Statistic) -> HistoryGrid:
    """Order what is drawn.

    Parameters
    ----------
    medians : DataFrame
        As for `history_figure`. Not modified.
    statistic : "mean" or "median"

    Returns
    -------
    HistoryGrid
        Perturbations are ordered by their largest number over all versions, ties by that of the newest.
    """
    versions = medians.drop_duplicates("version")[_OF_VERSION]
    shown = versions.tail(MOST_VERSIONS).reset_index(drop=True)
    is_drawn = medians["version"].isin(shown["version"]) & (medians["unit"] == shown["unit"].iloc[-1])
    told = medians[is_drawn & (medians["kind"] != "window") & medians[statistic].notna()]
    drawn = moved(told)
    by_version = drawn.pivot(index="perturbation", columns="version")
    wide = [by_version[f"{statistic}{end}"].reindex(columns=shown["version"]) for end in ("", "_low", "_high")]
    rank = pd.DataFrame({"largest": wide[0].max(axis=1), "newest": wide[0].iloc[:, -1].fillna(0)})
    order = rank.sort_values(["largest", "newest"], ascending=False, kind="stable").index[:MOST]
    value, low, high = (numbers.loc[order].to_numpy(dtype=float) for numbers in wide)
    return HistoryGrid(
        names=[str(name) for name in order],
        value=value,
        low=low,
        high=high,
        versions=shown,
        n_audited=len(versions),
        n_perturbations=len(rank),
        has_set_values=len(drawn) < len(told),
        statistic=statistic,
    )


def caption_of(grid: HistoryGrid) -> list[str]:
    """Return the sentences that explain what is drawn."""
    versions = grid.versions
    newest = f"version {versions['version'].iloc[-1]}"
    is_drawn = versions["unit"] == grid.unit
    sentences = [f"Points are {grid.statistic}s of the deviation, bars their 95 % intervals."]
    if more := len(grid.names) - grid.top:
        sentences.append(f"Grey: {more} more, which never moved predictions as far.")
    if left_out := grid.n_perturbations - len(grid.names):
        sentences.append(f"{left_out:,} others, whose {grid.statistic}s were never larger than these, are not drawn.")
    if grid.has_set_values:
        sentences.append("Set values are not drawn.")
    differs = versions.loc[is_drawn & (versions["basis"] != 0), "differs"]
    if len(differs):
        reasons = " or ".join(dict.fromkeys(part for text in differs for part in str(text).split(", ")))
        sentences.append(f"Hollow: audited with other {reasons} than {newest}. Lines join what can be compared.")
    if not is_drawn.all():
        named = ", ".join(str(version) for version in versions.loc[~is_drawn, "version"])
        sentences.append(f"Not drawn, since the unit is another one: version {named}.")
    if grid.n_versions < grid.n_audited:
        sentences.append(f"The newest {grid.n_versions} of {grid.n_audited} audited versions.")
    return sentences
