"""Subgroups of the rows in which a feature hardly goes with the others any more: donors come from these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.folds import Folds
from nnperm_mlflow.analysis.perturbation.subgroups.tree import Tree


class Described(NamedTuple):
    """A subgroup in words."""

    number: int
    fold: int
    where: str


@dataclass(frozen=True, eq=False)
class LearnedSubgroups:
    """Rows among which the values of a feature are exchanged.

    Attributes
    ----------
    feature : str
    given : tuple of str
        The features that rows may be told apart by, those that it goes with most first.
    folds : Folds
    trees : tuple of two Tree
        What tells the rows of each half apart, learned on rows of the other.
    """

    feature: str
    given: tuple[str, ...]
    folds: Folds
    trees: tuple[Tree, Tree]

    def of(self, reader: ColumnReader, positions: np.ndarray) -> np.ndarray:
        """Return for some rows the numbers of their subgroups.

        Parameters
        ----------
        reader : ColumnReader
            Of these rows.
        positions : ndarray of shape (n_rows,), int64
            Where they stand in the data.

        Returns
        -------
        ndarray of shape (n_rows,), int64
            From 0; subgroups of the two halves have different numbers.
        """
        folds, found, n_before = self.folds.of(positions), np.empty(len(positions), dtype=np.int64), 0
        for fold, tree in enumerate(self.trees):
            here = np.flatnonzero(folds == fold)
            found[here] = n_before + tree.of(reader, here)
            n_before += len(tree.leaves)
        return found

    @property
    def n_subgroups(self) -> int:
        """How many there are, in both halves."""
        return sum(len(tree.leaves) for tree in self.trees)

    def in_words(self) -> Iterator[Described]:
        """Yield each subgroup, as `BILL_AMT4 is at most 20,000`; "all rows" where none are told apart."""
        number = 0
        for fold, tree in enumerate(self.trees):
            for words in tree.words():
                yield Described(number, fold, words or "all rows")
                number += 1

    @cached_property
    def digest(self) -> str:
        """sha256 (64 hex digits) of all that a row's subgroup depends on but the seed and the clusters."""
        told = [self.feature, *(tree.as_dict() for tree in self.trees)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
