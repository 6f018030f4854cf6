"""What has to be known of all rows before an audit begins, found by whoever reads some of them, and added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.inputs._values import Looked
from nnperm_mlflow.inputs.binding import MOST_CODES, bind_inputs, fill_unchecked, what_it_receives
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, Wanted
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.domains import count_strangers
from nnperm_mlflow.inputs.rows_digest import RowsDigest
from nnperm_mlflow.inputs.slots import Feature, read_slot
from nnperm_mlflow.inputs.specs import InputSpec

MOST_COUNTED = {"number": 200, "category": 100_000}
"""Different values of a static feature that are counted: as many as it can be set to, or as it may have rare ones."""


@dataclass
class Survey:
    """What was found in some rows.

    Attributes
    ----------
    digest : RowsDigest
    looked : dict
        For each input and what it receives, as messages call that, what was found in its values.
    codes : dict of str to set of int, or None
        For columns of whole numbers what they hold; None for more than `MOST_CODES` different ones.
    strangers : dict
        For each input and the position of a domain among its own what `domains.count_strangers` tells.
    counts : dict of str to dict, or None
        For each static feature how many rows hold which value; None for more than `MOST_COUNTED`.
    labels : dict
        How many rows hold which outcome.
    """

    digest: RowsDigest = field(default_factory=RowsDigest)
    looked: dict[tuple[str, str], Looked] = field(default_factory=dict)
    codes: dict[str, set[int] | None] = field(default_factory=dict)
    strangers: dict[tuple[str, int], dict[str, tuple[int, int]]] = field(default_factory=dict)
    counts: dict[str, dict[Any, int] | None] = field(default_factory=dict)
    labels: dict[Any, int] = field(default_factory=dict)

    tells = True

    def take_in(self, other: Survey) -> None:
        """Add what was found in other rows."""
        self.digest.take_in(other.digest)
        for key, looked in other.looked.items():
            self.looked.setdefault(key, Looked()).take_in(looked)
        for name, codes in other.codes.items():
            self.codes[name] = _joined(self.codes.get(name, set()), codes)
        for place, told in other.strangers.items():
            mine = self.strangers.setdefault(place, {})
            for name, (strange, cells) in told.items():
                before = mine.get(name, (0, 0))
                mine[name] = before[0] + strange, before[1] + cells
        for name, counts in other.counts.items():
            self.counts[name] = _summed(self.counts.get(name, {}), counts)
        for label, count in other.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count


@dataclass(frozen=True)
class Questions:
    """What a survey is to find out.

    Attributes
    ----------
    specs : tuple of InputSpec
    wanted : mapping
        Which columns feed which input.
    features : tuple of Feature
        The static ones, whose values are counted; of a kind that a few rows suggest.
    label : str or None
    """

    specs: tuple[InputSpec, ...]
    wanted: Wanted
    features: tuple[Feature, ...]
    label: str | None = None

    @classmethod
    def on(cls, specs: Sequence[InputSpec], some: Dataset, said: Wanted, problems: Problems | None = None) -> Questions:
        """Return the questions that follow from what the model takes and the columns that there are.

        Parameters
        ----------
        specs : sequence of InputSpec
        some : Dataset
            A few rows; what their values are does not matter.
        said, problems
            As for `binding.bind_inputs`.
        """
        outline = bind_inputs(specs, some, said, problems, _Nothing())
        features = tuple(each for each in outline.features.values() if is_static(each))
        return cls(tuple(specs), outline.wanted, features, some.label)

    def ask(self, dataset: Dataset, positions: np.ndarray) -> Survey:
        """Return what is found in some rows, which stand at some positions in the data."""
        found = Survey()
        found.digest.add(dataset, positions)
        for spec in self.specs:
            for what, array in what_it_receives(spec, self.wanted[spec.name], dataset):
                found.looked.setdefault((spec.name, what), Looked()).add(array, spec, positions)
        unfit = {name for (name, _), looked in found.looked.items() if looked.unfit.n_rows}
        fitting = [spec for spec in self.specs if spec.name not in unfit]  # the others are refused, whatever they hold
        inputs = BoundInputs(len(positions), fill_unchecked(fitting, dataset, self.wanted), {}, self.wanted)
        for spec in fitting:
            for number, domain in enumerate(spec.domains):
                found.strangers[spec.name, number] = count_strangers(spec, domain, inputs)
        for feature in self.features:
            self._count(feature, dataset, inputs, found)
        if self.label is not None:
            values, counts = _counted(dataset.columns[self.label])
            found.labels = dict(zip(values, counts, strict=True))
        return found

    def _count(self, feature: Feature, dataset: Dataset, inputs: BoundInputs, found: Survey) -> None:
        values = dataset.columns[feature.name]
        if values.dtype.kind in "iu":
            codes = np.unique(values)
            found.codes[feature.name] = set(codes.tolist()) if len(codes) <= MOST_CODES else None
        if feature.slots[0].input in inputs.sources:
            held = read_slot(inputs.sources, feature.slots[0], np.arange(inputs.n_rows)).ravel()
            different, counts = _counted(held)
            few = len(different) <= _most(feature, values)
            found.counts[feature.name] = dict(zip(different, counts, strict=True)) if few else None


class _Nothing:
    """A survey of no rows, by which nothing is wrong and whole numbers may be codes."""

    tells = False

    def __init__(self) -> None:
        self.looked: Mapping[tuple[str, str], Looked] = defaultdict(Looked)
        self.codes: Mapping[str, set[int] | None] = defaultdict(set)
        self.strangers: Mapping[tuple[str, int], dict[str, tuple[int, int]]] = defaultdict(dict)


def is_static(feature: Feature) -> bool:
    """Tell whether a feature is one value a row."""
    return feature.kind in ("number", "category")


def _most(feature: Feature, values: np.ndarray) -> int:
    may_be_category = feature.kind == "category" or values.dtype.kind in "iu"
    return MOST_COUNTED["category" if may_be_category else "number"]


def _counted(values: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the different values, and how often each is there."""
    found, counts = np.unique(values[~pd.isna(values)], return_counts=True)
    return found, counts.tolist()


def _joined(one: set[int] | None, other: set[int] | None) -> set[int] | None:
    if one is None or other is None or len(one | other) > MOST_CODES:
        return None
    return one | other


def _summed(one: dict[Any, int] | None, other: dict[Any, int] | None) -> dict[Any, int] | None:
    if one is None or other is None:
        return None
    total = dict(one)
    for value, count in other.items():
        total[value] = total.get(value, 0) + count
    return total if len(total) <= MOST_COUNTED["category"] else None


@dataclass(frozen=True)
class SurveyedDataset(Dataset):
    """Data of which a few rows are here, and of all of which it is known what a survey found.

    Attributes
    ----------
    survey : Survey
    """

    survey: Survey = field(default_factory=Survey)

    @classmethod
    def of(cls, some: Dataset, survey: Survey, source: str) -> SurveyedDataset:
        """Return the data whose few rows these are."""
        told = {name: getattr(some, name) for name in some.__dataclass_fields__}
        return cls(**{**told, "n_rows": survey.digest.n_rows, "source": source}, survey=survey)

    def digest(self) -> str:
        """Return the digest of the rows: that of whole columns takes one machine that reads all."""
        return self.survey.digest.hexdigest()

    @property
    def label_counts(self) -> pd.Series:
        """How many of all rows hold which outcome."""
        return pd.Series(self.survey.labels, dtype=object).sort_index()


def with_counts(inputs: BoundInputs, counts: Mapping[str, Mapping[Any, int] | None]) -> BoundInputs:
    """Return inputs whose values were counted in all rows."""
    return replace(inputs, counts=counts)
