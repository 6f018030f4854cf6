"""An audit that is over, as its deviation table tells of it: rows, deviations, and the donors drawn once more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from nnperm_mlflow.analysis.difference.influences import UnknownDonors
from nnperm_mlflow.analysis.engine.table import CLUSTER, TableReader, read_schema, table_metadata
from nnperm_mlflow.analysis.perturbation.donors import (
    SHUFFLE_BLOCK_ROWS,
    ShuffleBlock,
    cycle_positions,
    donor_positions,
    other_positions,
    shuffle_block_sizes,
)
from nnperm_mlflow.analysis.perturbation.kinds import Conditional, Shuffle
from nnperm_mlflow.analysis.perturbation.sample import count_batches
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.variance import Dependence, Exchange
from nnperm_mlflow.basics.documents import Tolerant, wrong_keys
from nnperm_mlflow.basics.errors import EvidenceError, name_list


class DisturbedColumn(Tolerant):
    """What was done to a feature, and the column with what came of it; on how many rows, where not on all."""

    perturbation: str
    column: str
    feature: str
    way: str
    rows: Annotated[int, Field(gt=0)] | None = None


class Provenance(Tolerant):
    """What a deviation table tells of the audit that made it."""

    model: str | None = None
    model_digest: str | None = None
    data_digest: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    within: list[str] | None = None
    cluster: str | None = None
    donors: str | None = None
    subgroups: str | None = None
    sampled_rows: Annotated[int, Field(gt=0)] | None = None
    shuffle_blocks: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)] | None = None
    perturbations: list[DisturbedColumn]


def read_provenance(path: Path) -> Provenance:
    """Return what a deviation table tells of the audit that made it.

    Raises
    ------
    EvidenceError
        If it is no table that an audit wrote, or what it tells is not what an audit writes there.
    """
    schema = read_schema(path)
    try:
        told = Provenance.model_validate(table_metadata(schema))
    except ValidationError as error:
        raise EvidenceError(
            f"{path.name} does not tell what an audit writes there (wrong or missing: {name_list(wrong_keys(error))}). "
            "Audit the version again."
        ) from error
    types = {field.name: field.type for field in schema}
    without = [done.perturbation for done in told.perturbations if types.get(done.column) != pa.float32()]
    if without:
        raise EvidenceError(f"{path.name} holds no deviations of {name_list(without)}. Audit the version again.")
    return told


class KnownRows:
    """What a deviation table tells of the rows on which variances are found; to be used in a `with` statement.

    Parameters
    ----------
    path : Path
        The table.

    Attributes
    ----------
    settings : dict
        What was recorded of the audit: digests, seed, strata.
    repeats : list of int
        Numbers of the repeats.
    n_rows : int
        Rows that were audited, or as many of these as are looked at.
    all_rows : int
        Rows that were audited.
    """

    def __init__(self, path: Path) -> None:
        told = read_provenance(path)
        self.settings: dict[str, Any] = dict(told)
        self._columns = {done.perturbation: done.column for done in told.perturbations}
        self._audited = {done.perturbation: done.rows for done in told.perturbations if done.rows is not None}
        self._shared: dict[str, int] = {}
        self._table = TableReader(path)
        self.repeats = self._table.repeats
        if not self.repeats:
            raise EvidenceError(f"{path.name} holds no rows. Audit the version again.")
        self.n_rows = self.all_rows = pq.read_metadata(path).num_rows // len(self.repeats)
        self._sizes = told.shuffle_blocks or shuffle_block_sizes(self.n_rows)
        if sum(self._sizes) != self.n_rows:
            raise EvidenceError(f"{path.name} tells of blocks that are not those of its rows. Audit the version again.")
        self.is_sample = told.sampled_rows is not None
        self._known = self._dealt(self._sizes)

    def __enter__(self) -> KnownRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)

    def shorten(self, n_rows: int) -> None:
        """Look at the first batches alone, which a smaller sample of the same rows has, too."""
        self._sizes = self._sizes[: count_batches(self._sizes, n_rows)]
        self.n_rows = sum(self._sizes)
        self._known = self._dealt(self._sizes)

    def shorten_column(self, perturbation: str, n_rows: int) -> None:
        """Look at the first rows alone of a perturbation, on which another audit has it, too."""
        self._shared[perturbation] = n_rows

    def audited_rows(self, perturbation: str) -> int:
        """Return on how many rows a perturbation was audited, whether or not all are looked at."""
        return self._audited.get(perturbation, self.all_rows)

    def rows_of(self, perturbation: str) -> int:
        """Return on how many rows of those that are looked at a perturbation was audited: the first ones."""
        return min(self.n_rows, self.audited_rows(perturbation), self._shared.get(perturbation, self.n_rows))

    def counted_as(self, perturbation: str, n_rows: int) -> float:
        """Return so many rows in the measure of `deviations`: rows that it leaves out add nothing to an error."""
        n_known = self._known.n_rows
        return n_known * n_rows / min(n_known, self.rows_of(perturbation))

    def statistics(self, perturbation: str) -> tuple[float, float]:
        """Return mean and median of a perturbation's deviations over the rows that are looked at; NaN where none is."""
        column, n_rows = self._columns[perturbation], self.rows_of(perturbation)
        values = np.concatenate([self._first(column, repeat, n_rows) for repeat in self.repeats])
        kept = values[~np.isnan(values)].astype(np.float64)
        return (float(kept.mean()), float(np.median(kept))) if len(kept) else (math.nan, math.nan)

    def rows(self, repeat: int) -> np.ndarray:
        """Return the positions in the data of these rows, as written for a repeat; shape (n_known,)."""
        return self._first("row", repeat, self._known.n_rows)

    def deviations(self, perturbation: str) -> np.ndarray:
        """Return a perturbation's deviations, of shape (n_repeats, n_known), float32; NaN where a row is left out."""
        column = self._columns[perturbation]
        found = np.stack([self._first(column, repeat, self._known.n_rows) for repeat in self.repeats])
        found[:, self.rows_of(perturbation) :] = np.nan
        return found

    def dependence(self, feature: str, way: str) -> Dependence:
        """Return which of these rows have to do with each other under a perturbation.

        Parameters
        ----------
        feature : str
        way : str
            What is done to it: only a shuffle has donors. Those within strata and subgroups are not known, since the
            table does not hold the columns that make them.

        Returns
        -------
        Dependence
        """
        if way not in (Shuffle.way, Conditional.way):
            return Exchange(None, self._known.clusters)
        if self.settings.get("within") != [] or way == Conditional.way:
            return UnknownDonors(self._known.clusters)
        return self._known.dependence(lambda block, repeat: self._donors(block, feature, repeat), self.repeats)

    def _donors(self, block: ShuffleBlock, feature: str, repeat: int) -> np.ndarray:
        """Return the donors in a block without strata; a batch of a sample is one."""
        seed = self.settings["seed"]
        if not self.is_sample:
            return donor_positions(block, seed, feature, repeat)
        draw = cycle_positions if self.settings["donors"] == "cycles" else other_positions
        return draw(block, seed, feature, repeat, np.zeros(len(block.rows), dtype=np.int64))

    def _blocks(self, sizes: list[int], rows: np.ndarray | None) -> Iterator[ShuffleBlock]:
        """Yield the shuffle blocks of rows as they are written; which these are matters to clusters alone."""
        start = 0
        for number, size in enumerate(sizes):
            stretch = np.arange(start, start + size)
            yield ShuffleBlock(number, stretch if rows is None else rows[stretch])
            start += size

    def _dealt(self, sizes: list[int]) -> KnownBlocks:
        """Return the blocks on which variances are found, with the clusters of their rows, if the table holds these."""
        most_rows = SHUFFLE_BLOCK_ROWS if self.is_sample else 0
        if self.settings.get("cluster") is None:
            return KnownBlocks.of(self._blocks(sizes, None), None, most_rows)
        rows, clusters = (np.concatenate([*self._table.repeat(name, self.repeats[0])]) for name in ("row", CLUSTER))
        held = np.unique(rows)
        if len(held) != self.all_rows or not (self.is_sample or np.array_equal(held, np.arange(self.all_rows))):
            raise EvidenceError("the deviation table does not hold each row once. Audit the version again.")
        found, places = np.empty_like(clusters), np.searchsorted(held, rows)
        found[places] = clusters
        return KnownBlocks.of(self._blocks(sizes, places), found, most_rows)

    def _first(self, column: str, repeat: int, n_first: int) -> np.ndarray:
        """Return what a column holds for the rows that come first in each repeat."""
        parts, filled = [], 0
        for values in self._table.repeat(column, repeat):
            parts.append(values[: n_first - filled])
            filled += len(parts[-1])
            if filled == n_first:
                break
        if filled < n_first:
            raise EvidenceError(f"the deviation table lacks rows of repeat {repeat}. Audit the version again.")
        return np.concatenate(parts)
