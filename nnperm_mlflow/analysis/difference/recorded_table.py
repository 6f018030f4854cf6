"""An audit that is over, as its deviation table tells of it: rows, deviations, and the donors drawn once more."""

from __future__ import annotations

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
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions, shuffle_block_sizes
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.variance import Dependence, Exchange
from nnperm_mlflow.basics.documents import Tolerant, wrong_keys
from nnperm_mlflow.basics.errors import EvidenceError, name_list


class DisturbedColumn(Tolerant):
    """What was done to a feature, and the column with what came of it."""

    perturbation: str
    column: str
    feature: str
    way: str


class Provenance(Tolerant):
    """What a deviation table tells of the audit that made it."""

    model: str | None = None
    model_digest: str | None = None
    data_digest: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    within: list[str] | None = None
    cluster: str | None = None
    donors: str | None = None
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
        Rows of the data.
    """

    def __init__(self, path: Path) -> None:
        told = read_provenance(path)
        self.settings: dict[str, Any] = dict(told)
        self._columns = {done.perturbation: done.column for done in told.perturbations}
        self._table = TableReader(path)
        self.repeats = self._table.repeats
        if not self.repeats:
            raise EvidenceError(f"{path.name} holds no rows. Audit the version again.")
        self.n_rows = pq.read_metadata(path).num_rows // len(self.repeats)
        sizes = told.shuffle_blocks or shuffle_block_sizes(self.n_rows)
        if sum(sizes) != self.n_rows:
            raise EvidenceError(f"{path.name} tells of blocks that are not those of its rows. Audit the version again.")
        self._known = self._dealt(sizes)

    def __enter__(self) -> KnownRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)

    def rows(self, repeat: int) -> np.ndarray:
        """Return the positions in the data of these rows, as written for a repeat; shape (n_known,)."""
        return self._first("row", repeat)

    def deviations(self, perturbation: str) -> np.ndarray:
        """Return a perturbation's deviations, of shape (n_repeats, n_known), float32; NaN where a row is left out."""
        return np.stack([self._first(self._columns[perturbation], repeat) for repeat in self.repeats])

    def dependence(self, feature: str, way: str) -> Dependence:
        """Return which of these rows have to do with each other under a perturbation.

        Parameters
        ----------
        feature : str
        way : str
            What is done to it: only a shuffle has donors. Those within strata are not known, since the table does not
            hold the columns that make them.

        Returns
        -------
        Dependence
        """
        if way != Shuffle.way:
            return Exchange(None, self._known.clusters)
        if self.settings.get("within") != []:
            return UnknownDonors(self._known.clusters)
        seed = self.settings["seed"]
        return self._known.dependence(lambda block, repeat: donor_positions(block, seed, feature, repeat), self.repeats)

    def _blocks(self, sizes: list[int], rows: np.ndarray | None) -> Iterator[ShuffleBlock]:
        """Yield the shuffle blocks of rows as they are written; which these are matters to clusters alone."""
        start = 0
        for number, size in enumerate(sizes):
            stretch = np.arange(start, start + size)
            yield ShuffleBlock(number, stretch if rows is None else rows[stretch])
            start += size

    def _dealt(self, sizes: list[int]) -> KnownBlocks:
        """Return the blocks on which variances are found, with the clusters of their rows, if the table holds these."""
        if self.settings.get("cluster") is None:
            return KnownBlocks.of(self._blocks(sizes, None), None)
        rows, clusters = (np.concatenate([*self._table.repeat(name, self.repeats[0])]) for name in ("row", CLUSTER))
        if not np.array_equal(np.sort(rows), np.arange(self.n_rows)):
            raise EvidenceError("the deviation table does not hold each row once. Audit the version again.")
        found = np.empty_like(clusters)
        found[rows] = clusters
        return KnownBlocks.of(self._blocks(sizes, rows), found)

    def _first(self, column: str, repeat: int) -> np.ndarray:
        """Return what a column holds for these rows, which come first in each repeat."""
        n_known, parts, filled = self._known.n_rows, [], 0
        for values in self._table.repeat(column, repeat):
            parts.append(values[: n_known - filled])
            filled += len(parts[-1])
            if filled == n_known:
                break
        if filled < n_known:
            raise EvidenceError(f"the deviation table lacks rows of repeat {repeat}. Audit the version again.")
        return np.concatenate(parts)
