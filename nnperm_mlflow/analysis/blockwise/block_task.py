"""One shuffle block audited by itself, by whoever holds its rows: an Arrow table in, record batches out.

Nothing here knows where it runs. A block's numbers hang on the seed, its number and its rows alone, so that blocks may
be audited in any order, by any number of workers, and more than once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise.block_outcome import BlockOutcome, dump
from nnperm_mlflow.analysis.blockwise.columns import BLOCK, OUTCOME, ROW
from nnperm_mlflow.analysis.engine.block_result import BlockResult
from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import Measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import audit_shuffle_block
from nnperm_mlflow.analysis.engine.table import column_names, id_type, id_values
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, shuffle_block, shuffle_block_sizes
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.inputs.binding import fill_inputs
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, Wanted
from nnperm_mlflow.inputs.layout import Layout
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.predictor import Predictor

NamedResult = tuple[BlockResult, np.ndarray | None]
"""What came of some rows of a shuffle block, and their names, where rows have such."""


@dataclass(frozen=True)
class BlockTask:
    """All that is the same for every shuffle block of an audit, but for the model.

    Attributes
    ----------
    n_rows : int
        Rows of the data.
    seed, repeats, block_rows : int
    perturbations : tuple of Perturbation
    measure : Measure
    decision : Decision or None
    model : str
        For messages.
    specs : tuple of InputSpec
        What the model takes.
    wanted : mapping
        Which columns feed which input.
    layout : Layout
        Of the data.
    first_row : pyarrow.Table
        The row at position 0, which shapes are read off.
    row_id : str or None
        Column with the rows' names.
    skips_missing : bool
    void_inputs : frozenset of str
        As for `Job`.
    """

    n_rows: int
    seed: int
    repeats: int
    block_rows: int
    perturbations: tuple[Perturbation, ...]
    measure: Measure
    decision: Decision | None
    model: str
    specs: tuple[InputSpec, ...]
    wanted: Wanted
    layout: Layout
    first_row: pa.Table
    row_id: str | None = None
    skips_missing: bool = False
    void_inputs: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """The table's column for each perturbation."""
        return column_names(self.perturbations, self.measure.baseline_names)

    @property
    def needed_columns(self) -> list[str]:
        """The columns of the data that inputs and row ids are made of."""
        names: list[str] = [] if self.row_id is None else [self.row_id]
        for target in self.wanted.values():
            spec = self.layout.config.temporal.get(target) if isinstance(target, str) else None
            if spec is None:
                names += [target] if isinstance(target, str) else target
            else:
                names += [*spec.cells, *(step for steps in (spec.steps or {}).values() for step in steps)]
        return [*dict.fromkeys(names)]

    @property
    def schema(self) -> pa.Schema:
        """The columns of what comes out, in their order: those of a deviation table, and two behind."""
        ids = []
        if self.row_id is not None:
            ids = [pa.field("row_id", id_type(np.empty(0, self.layout.dtypes[self.row_id])))]
        return pa.schema(
            [
                pa.field("row", pa.int64()),
                *ids,
                pa.field("repeat", pa.int32()),
                *[pa.field(name, pa.float64()) for name in self.measure.baseline_names],
                *[pa.field(name, pa.float32()) for name in self.columns],
                pa.field(BLOCK, pa.int32()),
                pa.field(OUTCOME, pa.binary()),
            ]
        )

    def job(self, predictor: Predictor, inputs: BoundInputs) -> Job:
        """Return what is done to every block of rows."""
        return Job(
            predictor=predictor,
            inputs=inputs,
            perturbations=self.perturbations,
            measure=self.measure,
            model=self.model,
            seed=self.seed,
            repeats=self.repeats,
            decision=self.decision,
            skips_missing=self.skips_missing,
            void_inputs=self.void_inputs,
        )

    def inputs_of(self, table: pa.Table, positions: np.ndarray) -> BoundInputs:
        """Return the model's inputs, of which some rows are held.

        Parameters
        ----------
        table : pyarrow.Table
            Of the rows, without their numbers.
        positions : ndarray of shape (n_rows,), int64
            Their numbers, ascending.
        """
        sources = fill_inputs(self.specs, self.layout.dataset(table), self.wanted)
        return BoundInputs.holding(positions, sources, self.wanted, self.n_rows)


def audit_rows(task: BlockTask, predictor: Predictor, number: int, table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Audit one shuffle block.

    Parameters
    ----------
    task : BlockTask
    predictor : Predictor
        Fitted on the same rows as everywhere.
    number : int
        Of the shuffle block.
    table : pyarrow.Table
        Its rows, in any order, with their positions in the data in the column `ROW`.

    Yields
    ------
    RecordBatch
        With the columns of `BlockTask.schema`; the last one ends with the outcome.

    Raises
    ------
    DataError
        If the rows are not those of the block, each once: the data have changed while they were read.
    PredictionError
        If the model fails, or predicts NaN.
    """
    yield from table_batches(task, number, named_results(task, predictor, number, table))


def named_results(
    task: BlockTask, predictor: Predictor, number: int, table: pa.Table, positions: Sequence[int] | None = None
) -> Iterator[NamedResult]:
    """Yield what comes of the rows of one shuffle block, part by part, in the order of the rows.

    Parameters
    ----------
    task, predictor, number, table
        As for `audit_rows`.
    positions : sequence of int, optional
        Of the perturbations that are audited; all of them if not said.
    """
    table = table.take(np.argsort(table.column(ROW).to_numpy(), kind="stable"))
    block = shuffle_block(number, task.n_rows, task.seed)
    rows = table.column(ROW).to_numpy()
    if not np.array_equal(rows, block.rows):
        raise DataError(
            f"shuffle block {number} was expected to hold {len(block.rows):,} rows, each once, and {len(rows):,} came "
            "that are not these: the data have changed since they were counted. Pin their version, or copy them."
        )
    cells = table.drop_columns([ROW])
    ids = None
    if task.row_id is not None:
        ids = task.layout.dataset(cells.select([task.row_id])).columns[task.row_id]
    job = _job_of(task, predictor, cells, block)
    for result in audit_shuffle_block(job if positions is None else job.only(positions), block, task.block_rows, None):
        yield result, None if ids is None else ids[np.searchsorted(block.rows, result.rows)]


def _job_of(task: BlockTask, predictor: Predictor, cells: pa.Table, block: ShuffleBlock) -> Job:
    """Return the job of a block, which holds the first row of the data as well."""
    positions = block.rows
    if positions[0] != 0:
        cells = pa.concat_tables([task.first_row.select(cells.column_names).cast(cells.schema), cells])
        positions = np.concatenate([[0], positions])
    return task.job(predictor, task.inputs_of(cells, positions))


def table_batches(task: BlockTask, number: int, results: Iterable[NamedResult]) -> Iterator[pa.RecordBatch]:
    """Yield the table of one shuffle block, and in its last row what was counted of all its rows.

    Parameters
    ----------
    task : BlockTask
    number : int
        Of the shuffle block.
    results : iterable of NamedResult
        Of all its rows, in their order.
    """
    followed, signed = len(task.measure.columns), task.measure.distance is None
    outcome = BlockOutcome.empty(task.repeats, len(task.perturbations), followed, signed=signed)
    n_left = shuffle_block_sizes(task.n_rows)[number]
    for result, own in results:
        outcome.add(result, task.decision, keeps_marks=number == 0)
        n_left -= len(result.rows)
        for repeat in range(task.repeats):
            is_last = n_left == 0 and repeat == task.repeats - 1
            yield _batch(task, number, result, own, repeat=repeat, told=dump(outcome) if is_last else None)


def _batch(
    task: BlockTask, number: int, result: BlockResult, ids: np.ndarray | None, *, repeat: int, told: bytes | None
) -> pa.RecordBatch:
    n_rows, schema = len(result.rows), task.schema
    outcomes: list[bytes | None] = [*[None] * (n_rows - 1), told]
    arrays: Sequence[pa.Array] = [
        pa.array(result.rows),
        *([] if ids is None else [pa.array(id_values(ids), type=schema.field("row_id").type)]),
        pa.array(np.full(n_rows, repeat, dtype=np.int32)),
        *[pa.array(column.astype(np.float64)) for column in result.baseline.T],
        *[pa.array(column) for column in result.deviations[repeat]],
        pa.array(np.full(n_rows, number, dtype=np.int32)),
        pa.array(outcomes, type=pa.binary()),
    ]
    return pa.record_batch(arrays, schema=schema)
