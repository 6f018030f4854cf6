"""The deviation table: streamed to Parquet block by block, in its final layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.basics.errors import EvidenceError

METADATA_KEY = b"nnperm"
"""Where the schema's metadata hold what is known of the audit, as JSON."""

Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows, their baseline (n_rows, n_baseline_names), their deviations (n_perturbations, n_rows)."""

CLUSTER = "cluster"
"""The column with the number of each row's cluster, where there are clusters."""

_INDEX = ("row", "row_id", "repeat")
_GROUP_BYTES = 1 << 26  # of deviations, of all repeats, that wait for a row group to be full: 64 MiB
_FEWEST_GROUP_ROWS = 128
_NO_TABLE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_COMPRESSION = "zstd"
_REPEATING = ["row_id", CLUSTER]  # deviations hardly repeat: looking for a dictionary of them would be lost time


def column_names(
    perturbations: Sequence[Perturbation], baseline_names: Sequence[str], *, has_clusters: bool = False
) -> list[str]:
    """Return the table's column for each perturbation: its name, with `_` behind it where another column has it."""
    taken = {*_INDEX, *([CLUSTER] if has_clusters else []), *baseline_names}
    names = []
    for perturbation in perturbations:
        name = perturbation.name
        while name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return names


class TableWriter:
    """Writes a deviation table; a table that is not finished leaves no file.

    Parameters
    ----------
    path : Path
        File to write; it appears when the table is complete.
    perturbations : sequence of Perturbation
        One float32 column each.
    baseline_names : sequence of str
        One float column each.
    row_ids : ndarray of shape (n_rows,) or None
        All rows' names.
    metadata : mapping
        Of model, data and seed: anything JSON can hold.
    repeats : range
        Numbers of the repeats that are written of each row.
    clusters : ndarray of shape (n_rows,), int64, or None
        All rows' clusters, for the column `CLUSTER`.
    positions : ndarray of shape (n_rows,), int64, or None
        Where the rows are some of the data, their positions there, for the column `row`.
    audited : mapping of int to int, optional
        Of how many of the first rows that are written there is something of a perturbation, by its position, where that
        is not all: the others are null.
    """

    def __init__(
        self,
        path: Path,
        perturbations: Sequence[Perturbation],
        baseline_names: Sequence[str],
        row_ids: np.ndarray | None,
        metadata: Mapping[str, object],
        *,
        repeats: range = range(1),
        clusters: np.ndarray | None = None,
        positions: np.ndarray | None = None,
        audited: Mapping[int, int] | None = None,
    ) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._row_ids = row_ids
        self._clusters = clusters
        self._positions = positions
        self._audited = dict(audited or {})
        self._written = dict.fromkeys(repeats, 0)
        self._columns = column_names(perturbations, baseline_names, has_clusters=clusters is not None)
        described = [
            {
                "perturbation": done.name,
                "column": column,
                "feature": done.feature.name,
                "way": done.way,
                "value": done.value,
                **({"rows": self._audited[position]} if position in self._audited else {}),
            }
            for position, (column, done) in enumerate(zip(self._columns, perturbations, strict=True))
        ]
        ids = [] if row_ids is None else [pa.field("row_id", id_type(row_ids))]
        self._schema = pa.schema(
            [
                pa.field("row", pa.int64()),
                *ids,
                *([] if clusters is None else [pa.field(CLUSTER, pa.int64())]),
                pa.field("repeat", pa.int32()),
                *[pa.field(name, pa.float64()) for name in baseline_names],
                *[pa.field(name, pa.float32()) for name in self._columns],
            ],
            metadata={METADATA_KEY: json.dumps({**metadata, "perturbations": described})},
        )
        self._writer: pq.ParquetWriter | None = None
        self._group_rows = max(_FEWEST_GROUP_ROWS, _GROUP_BYTES // (4 * len(repeats) * max(1, len(perturbations))))
        self._waiting: dict[int, list[Piece]] = {repeat: [] for repeat in repeats}

    def __enter__(self) -> TableWriter:
        self._writer = pq.ParquetWriter(
            self._partial, self._schema, compression=_COMPRESSION, use_dictionary=_REPEATING
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                with self._writer:
                    if error is None and any(map(_count_rows, self._waiting.values())):
                        self._write_groups(slice(None))
            if error is None:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)

    def write(self, rows: np.ndarray, repeat: int, baseline: np.ndarray, deviations: np.ndarray) -> None:
        """Append rows of one repeat.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), int64
            Positions among all that are audited.
        repeat : int
        baseline : ndarray of shape (n_rows, n_baseline_names)
        deviations : ndarray of shape (n_perturbations, n_rows), float32
        """
        if self._writer is None:
            raise RuntimeError("the table is written inside 'with' only")
        self._waiting[repeat].append((rows, baseline, deviations))
        while min(map(_count_rows, self._waiting.values())) >= self._group_rows:
            self._write_groups(slice(self._group_rows))

    def _write_groups(self, part: slice) -> None:
        """Write a row group for each repeat; where one ends does not depend on the size of the blocks."""
        for repeat, waiting in self._waiting.items():
            joined = _joined(waiting)
            waiting.clear()
            self._write_group(repeat, _cut(joined, part))
            if part.stop:
                rest = _cut(joined, slice(part.stop, None))
                waiting.append((rest[0].copy(), rest[1].copy(), rest[2].copy()))  # a view would keep all that is joined

    def _write_group(self, repeat: int, piece: Piece) -> None:
        rows, baseline, deviations = piece
        ids = []
        if self._row_ids is not None:
            ids = [pa.array(id_values(self._row_ids[rows]), type=self._schema.field("row_id").type)]
        arrays = [
            pa.array(rows if self._positions is None else self._positions[rows]),
            *ids,
            *([] if self._clusters is None else [pa.array(self._clusters[rows])]),
            pa.array(np.full(len(rows), repeat, dtype=np.int32)),
            *[pa.array(column.astype(np.float64)) for column in baseline.T],
            *[self._deviations(repeat, position, column) for position, column in enumerate(deviations)],
        ]
        self._written[repeat] += len(rows)
        if self._writer is not None:
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def _deviations(self, repeat: int, position: int, column: np.ndarray) -> pa.Array:
        """Return what came of a perturbation in the rows that are to be written next; null where nothing was done."""
        n_audited = self._audited.get(position, math.inf) - self._written[repeat]
        return pa.array(column, mask=np.arange(len(column)) >= n_audited if n_audited < len(column) else None)


def _count_rows(pieces: Sequence[Piece]) -> int:
    return sum(len(rows) for rows, _, _ in pieces)


def _joined(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    rows, baselines, deviations = zip(*pieces, strict=True)
    return np.concatenate(rows), np.concatenate(baselines), np.concatenate(deviations, axis=1)


def _cut(piece: Piece, part: slice) -> Piece:
    rows, baseline, deviations = piece
    return rows[part], baseline[part], deviations[:, part]


class TableReader:
    """Reads a deviation table by columns, from one file or several; to be used in a `with` statement.

    Parameters
    ----------
    paths : Path
        Files of one table, each with other repeats.
    """

    def __init__(self, *paths: Path) -> None:
        with _refused():
            self._files = [pq.ParquetFile(path) for path in paths]
            self._groups = [(file, group) for file in self._files for group in range(file.num_row_groups)]

    def __enter__(self) -> TableReader:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    @property
    def repeats(self) -> list[int]:
        """Numbers of the repeats that the table holds, ascending."""
        return sorted(self._by_repeat)

    def column(self, name: str) -> Iterator[np.ndarray]:
        """Yield a column row group by row group, as arrays of shape (n_rows,) in its own type."""
        return self._read(name, self._groups)

    def repeat(self, name: str, repeat: int) -> Iterator[np.ndarray]:
        """Yield what a column holds for one repeat; arrays of shape (n_rows,), since a row group holds one repeat."""
        return self._read(name, self._by_repeat.get(repeat, []))

    @cached_property
    def _by_repeat(self) -> dict[int, list[tuple[pq.ParquetFile, int]]]:
        held: dict[int, list[tuple[pq.ParquetFile, int]]] = {}
        with _refused():
            for file, group in self._groups:
                column = file.read_row_group(group, columns=["repeat"], use_threads=False).column("repeat")
                number = int(column[0].as_py())  # the statistics of a crafted file can end the process
                held.setdefault(number, []).append((file, group))
        return held

    @staticmethod
    def _read(name: str, groups: Iterable[tuple[pq.ParquetFile, int]]) -> Iterator[np.ndarray]:
        for file, group in groups:
            with _refused():
                values = file.read_row_group(group, columns=[name], use_threads=False).column(name).to_numpy()
            yield values


def join_tables(parts: Sequence[Path], path: Path) -> None:
    """Make one file of the parts of a table, and remove them; row groups stay as they are."""
    if len(parts) == 1:
        parts[0].replace(path)
        return
    partial, schema = path.with_name(f"{path.name}.partial"), pq.read_schema(parts[0])
    try:
        with pq.ParquetWriter(partial, schema, compression=_COMPRESSION, use_dictionary=_REPEATING) as writer:
            for part in parts:
                with pq.ParquetFile(part) as file:
                    for group in range(file.num_row_groups):
                        writer.write_table(file.read_row_group(group))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    for part in parts:
        part.unlink()


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a deviation table, with what it knows of the audit.

    Raises
    ------
    EvidenceError
        If the file is no table that an audit wrote.
    """
    with _refused():
        return pq.read_schema(path)


def table_metadata(schema: pa.Schema) -> dict[str, list[dict[str, str]]]:
    """Return what a deviation table's schema knows of the audit that made it."""
    with _refused():
        return dict(json.loads(schema.metadata[METADATA_KEY]))


def columns_by_perturbation(schema: pa.Schema) -> dict[str, str]:
    """Return the table's column for the name of each perturbation."""
    with _refused():
        return {done["perturbation"]: done["column"] for done in table_metadata(schema)["perturbations"]}


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what a file shows that is no deviation table, or a damaged one, into one error."""
    try:
        yield
    except _NO_TABLE as error:
        raise EvidenceError(
            f"the file is no deviation table that an audit wrote, or is damaged ({type(error).__name__}). Audit again."
        ) from error


def id_type(row_ids: np.ndarray) -> pa.DataType:
    """Return the type of the column of row ids: their own, or text."""
    return pa.from_numpy_dtype(row_ids.dtype) if row_ids.dtype.kind in "iufbM" else pa.string()


def id_values(row_ids: np.ndarray) -> np.ndarray | list[str | None]:
    """Return row ids as numbers or dates where they are such, else as text."""
    if row_ids.dtype.kind in "iufbM":
        return row_ids
    return [None if pd.isna(value) else str(value) for value in row_ids]
