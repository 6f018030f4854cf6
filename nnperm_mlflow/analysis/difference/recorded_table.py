"""An audit that is over, as its deviation table tells of it: rows, deviations, and the donors drawn once more."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from nnperm_mlflow.analysis.difference.influences import Varies, known_variance, largest_variance
from nnperm_mlflow.analysis.engine.table import TableReader, read_schema, table_metadata
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions, shuffle_block_sizes
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle
from nnperm_mlflow.analysis.statistics.variance import receivers_of
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


class FirstBlock:
    """What a deviation table tells of the rows of its first shuffle block; to be used in a `with` statement.

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
        self._block = ShuffleBlock(0, np.arange(sizes[0]))  # donors depend on how many rows it has, not on which

    def __enter__(self) -> FirstBlock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)

    def rows(self, repeat: int) -> np.ndarray:
        """Return the positions in the data of the rows of the block, as written for a repeat; shape (n_known,)."""
        return self._first("row", repeat)

    def deviations(self, perturbation: str) -> np.ndarray:
        """Return a perturbation's deviations, of shape (n_repeats, n_known), float32; NaN where a row is left out."""
        return np.stack([self._first(self._columns[perturbation], repeat) for repeat in self.repeats])

    @property
    def tells_donors(self) -> bool:
        """Whether donors can be drawn once more: not within strata, since the columns that make them are not held."""
        return self.settings.get("within") == []

    def receivers(self, feature: str) -> list[np.ndarray]:
        """Return, for each repeat, the position in the block of the row that received each row's value of a feature."""
        seed = self.settings["seed"]
        return receivers_of([donor_positions(self._block, seed, feature, repeat) for repeat in self.repeats])

    def varies(self, feature: str, way: str) -> Varies:
        """Return what tells how much the mean of values of the block's rows varies under a perturbation.

        Parameters
        ----------
        feature : str
        way : str
            What is done to it: only a shuffle has donors.

        Returns
        -------
        callable
        """
        if way != Shuffle.way:
            return partial(known_variance, None)
        return partial(known_variance, self.receivers(feature)) if self.tells_donors else largest_variance

    def _first(self, column: str, repeat: int) -> np.ndarray:
        """Return what a column holds for the rows of the first shuffle block, which come first in each repeat."""
        n_known, parts, filled = len(self._block.rows), [], 0
        for values in self._table.repeat(column, repeat):
            parts.append(values[: n_known - filled])
            filled += len(parts[-1])
            if filled == n_known:
                break
        if filled < n_known:
            raise EvidenceError(f"the deviation table lacks rows of repeat {repeat}. Audit the version again.")
        return np.concatenate(parts)
